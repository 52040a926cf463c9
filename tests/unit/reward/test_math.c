/* The mathematics grader against labelled pairs (tests/golden/math_pairs.txt), and what pairs
 * cannot say: votes, long and broken texts, time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/math/math.h"
#include "tests/support/check_unit.h"

static struct span span_of(const char *s)
{
    return (struct span){s, strlen(s)};
}

static enum math_verdict graded(const char *completion, size_t n, struct span expected,
                                char why[static 128])
{
    char *exact = malloc(n ? n : 1); /* a sanitizer sees a read beyond it */
    memcpy(exact, completion, n);
    enum math_verdict v = math_grade((struct span){exact, n}, expected, why, 128);
    free(exact);
    return v;
}

/* --- the labelled pairs --- */

struct line {
    char text[4096];
    size_t n;
};

/* <0x0A> is that byte. */
static void unescape(struct line *out, const char *s)
{
    out->n = 0;
    while (*s) {
        unsigned byte;
        bool hex = strncmp(s, "<0x", 3) == 0 && s[5] == '>' && sscanf(s + 3, "%2x", &byte) == 1;
        out->text[out->n++] = hex ? (char)byte : *s;
        s += hex ? 6 : 1;
    }
}

static const char signs[MATH_VERDICTS] = {'+', '-', '0', '?'};

static int wrong, pairs, negatives;

static void check_pair(const struct line *expected, const char *row, const char *category)
{
    static struct line completion;
    char why[128], text[4200];
    if (row[1] == '|')
        snprintf(text, sizeof text, "%s", row + 2);
    else
        snprintf(text, sizeof text, "x</think><answer>%s</answer>", row + 2);
    unescape(&completion, text);
    enum math_verdict v =
        graded(completion.text, completion.n, (struct span){expected->text, expected->n}, why);
    pairs++;
    negatives += row[0] != '+';
    if (signs[v] == row[0]) return;
    wrong++;
    printf("%s: expected %.*s, %s is %s (%s)\n", category, (int)expected->n, expected->text, row,
           math_verdict_text(v), why);
}

START_TEST(labelled_pairs)
{
    static char row[4096], category[128];
    static struct line expected;
    int categories = 0;
    FILE *f = fopen("tests/golden/math_pairs.txt", "r");
    ck_assert(f);
    while (fgets(row, sizeof row, f)) {
        row[strcspn(row, "\n")] = '\0';
        if (row[0] == '@') {
            snprintf(category, sizeof category, "%.100s", row + 2);
            categories++;
        } else if (row[0] == '=')
            unescape(&expected, row + 2);
        else if (row[0] && row[0] != '#')
            check_pair(&expected, row, category);
    }
    fclose(f);
    math_forget();
    printf("%d pairs in %d categories, %d negatives, %d wrong\n", pairs, categories, negatives,
           wrong);
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_ge(pairs, 800);
    ck_assert_int_ge(10 * negatives, 4 * pairs);
}
END_TEST

/* --- votes --- */

START_TEST(votes_are_by_value)
{
    static const char *const same[][4] = {
        {"1/2", "0.5", "\\frac12", "50\\%"},
        {"\\{1,2\\}", "2, 1", "\\{2, 1.0\\}", "x=1, x=2"},
        {"\\sqrt8", "2\\sqrt{2}", "2^{3/2}", "x=\\sqrt 8"},
        {"x^2-1", "(x-1)(x+1)", "-1+x\\cdot x", "y=x^2-1"},
        {"odd", "\\text{odd}", "Odd", "ODD."},
        {"5 cm", "5", "5\\text{ cm}", "$5$"},
    };
    size_t n = sizeof same / sizeof *same;
    for (size_t i = 0; i < n; i++) {
        uint64_t vote = math_vote(span_of(same[i][0]));
        for (int k = 1; k < 4; k++)
            ck_assert_msg(math_vote(span_of(same[i][k])) == vote, "%s, %s", same[i][0], same[i][k]);
        for (size_t j = 0; j < i; j++) ck_assert(math_vote(span_of(same[j][0])) != vote);
    }
    ck_assert(math_vote(span_of("(1,2)")) != math_vote(span_of("(2,1)")));
    ck_assert(math_vote(span_of("\\frac")) != math_vote(span_of("\\frac1")));
    ck_assert(math_vote((struct span){"", 0}) != 0);
    math_forget();
}
END_TEST

#define TESTS(X)      \
    X(labelled_pairs) \
    X(votes_are_by_value)

UNIT_MAIN("math")
