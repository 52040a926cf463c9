/* The mathematics grader against labelled pairs (tests/golden/math_pairs.txt), and what pairs
 * cannot say: votes, long and broken texts, time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/reward/math/math.h"
#include "trainer/reward/verdict.h"
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

/* --- pairs from elsewhere --- */

/* What tests/peers/test_math_verify.py asks: the file MATH_CASES has expected answers and answers,
 * each closed by byte 0x1e; MATH_CASES.verdicts gets a sign for each pair. */
START_TEST(asked_pairs)
{
    const char *path = getenv("MATH_CASES");
    char name[1024], why[128];
    size_t n[2] = {0, 0}, length = 0;
    static char text[2][1 << 16];
    int c, which = 0;
    if (!path) return;
    snprintf(name, sizeof name, "%s.verdicts", path);
    FILE *in = fopen(path, "rb"), *out = fopen(name, "wb");
    ck_assert(in && out);
    while ((c = getc(in)) != EOF) {
        if (c != 0x1e && length < sizeof text[0]) text[which][length++] = (char)c;
        if (c != 0x1e) continue;
        n[which] = length;
        length = 0;
        if (which == 1)
            putc(signs[math_compare((struct span){text[1], n[1]}, (struct span){text[0], n[0]}, why,
                                    sizeof why)],
                 out);
        which = !which;
    }
    fclose(in);
    ck_assert_int_eq(fclose(out), 0);
    math_forget();
}
END_TEST

/* --- steps --- */

/* The same functions of x in the other order: each is compared with each. */
START_TEST(too_many_steps)
{
    char expected[1000], answer[1000], why[128];
    struct text e = {expected, 0, sizeof expected, false}, a = {answer, 0, sizeof answer, false};
    for (int i = 0; i < 120; i++) {
        text_add(&e, i ? ",x^%d" : "x^%d", i + 2);
        text_add(&a, i ? ",x^%d" : "x^%d", 121 - i);
    }
    ck_assert_int_eq(
        math_compare((struct span){answer, a.n}, (struct span){expected, e.n}, why, sizeof why),
        MATH_UNDECIDED);
    ck_assert_str_eq(why, "the comparison takes too many steps");
    math_forget();
}
END_TEST

/* --- as a verdict --- */

START_TEST(verdicts_by_value)
{
    static const struct {
        const char *completion;
        bool truncated;
        enum reason why;
    } rows[] = {
        {"x</think><answer>0.5</answer>", false, REASON_RIGHT},
        {"x</think>\\boxed{\\frac24}", false, REASON_RIGHT},
        {"x</think>\\boxed{\\frac24}", true, REASON_RIGHT},
        {"x</think><answer>0.4</answer>", false, REASON_WRONG_VALUE},
        {"x</think><answer></answer>", false, REASON_EMPTY},
        {"x</think><answer>0.5", false, REASON_NOT_CLOSED},
        {"x</think><answer>0.5", true, REASON_TRUNCATED},
        {"x</think>0.5", false, REASON_NO_ANSWER},
        {"0.5", false, REASON_NO_END_OF_THOUGHT},
    };
    struct problem p = {.answer = "1/2"}, other = {.answer = "\\int x"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct verdict v = verdict_by_value(&p, span_of(rows[i].completion), rows[i].truncated);
        ck_assert_msg(v.why == rows[i].why, "%s: %s", rows[i].completion, reason_text(v.why));
        ck_assert_int_eq(v.vote != 0, reason_votes(v.why));
    }
    struct verdict v = verdict_by_value(&other, span_of(rows[0].completion), false);
    ck_assert_int_eq(v.why, REASON_UNDECIDED);
    ck_assert_str_eq(v.read, "0.5");
    ck_assert_ptr_null(math_unreadable(span_of("\\frac12")));
    ck_assert_ptr_nonnull(math_unreadable(span_of("\\int x")));
    ck_assert_ptr_nonnull(math_unreadable(span_of("2\\frac12x")));
    math_forget();
}
END_TEST

/* --- long and broken completions --- */

/* A megabyte of one piece behind, before and in an answer. */
START_TEST(megabytes)
{
    static const char *const pieces[] = {
        "9",        "(",  "{", "\\boxed{",           "\\boxed{1}", "<answer>", "####",
        "</think>", "\\", " ", "<answer>1</answer>", "\xff",       "\n"};
    enum { BYTES = 10 << 20 };
    char *text = malloc(BYTES + 64), why[128];
    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
        size_t n = 0, length = strlen(pieces[k]);
        memcpy(text, "x</think>", n = 9);
        for (; n + length < BYTES; n += length) memcpy(text + n, pieces[k], length);
        enum math_verdict v = math_grade((struct span){text, n}, span_of("7"), why, sizeof why);
        ck_assert_msg(v == MATH_NO_ANSWER || v == MATH_WRONG, "%s: %d", pieces[k], (int)v);
        math_grade(span_of("x</think>\\boxed{7}"), (struct span){text, n}, why, sizeof why);
        memcpy(text + n, "</think>\\boxed{7}", 17);
        v = math_grade((struct span){text, n + 17}, span_of("7"), why, sizeof why);
        ck_assert_msg(v == MATH_CORRECT, "%s: %s", pieces[k], why);
    }
    free(text);
    ck_assert_int_eq(math_grade((struct span){NULL, 0}, span_of("7"), why, sizeof why),
                     MATH_NO_ANSWER);
    ck_assert_int_eq(math_compare((struct span){"", 0}, span_of("7"), why, sizeof why),
                     MATH_NO_ANSWER);
    ck_assert_int_eq(math_compare(span_of("7"), (struct span){NULL, 0}, why, sizeof why),
                     MATH_UNDECIDED);
    math_forget();
}
END_TEST

#define TESTS(X)          \
    X(labelled_pairs)     \
    X(votes_are_by_value) \
    X(verdicts_by_value)  \
    X(megabytes)          \
    X(asked_pairs)        \
    X(too_many_steps)

UNIT_MAIN("math")
