#include "trainer/reward/math/math.h"
#include <stdio.h>
#include "trainer/reward/math/compare.h"
#include "trainer/reward/math/extract.h"
#include "trainer/reward/math/parse.h"

/* One comparison, whole. */
struct comparison {
    struct tokens expected, answer;
    struct math_work work;
};

const char *math_verdict_text(enum math_verdict v)
{
    static const char *const texts[MATH_VERDICTS] = {"correct", "wrong", "no answer", "undecided"};
    return texts[v];
}

static enum math_verdict say(enum math_verdict v, char *why, size_t n, const char *text)
{
    snprintf(why, n, "%s", text);
    return v;
}

static bool has_letter_i(const struct tokens *t)
{
    for (int i = 0; i < t->n; i++)
        if (t->token[i].kind == TOKEN_LETTER && span_is(t->token[i].text, "i")) return true;
    return false;
}

/* C4: the sign of a percentage behind the box belongs to the value, where a percentage is expected.
 */
static int add_percent(struct math_work *w, int expected, int answer)
{
    if (!w->node[expected].percent || w->node[answer].percent) return answer;
    int hundredth = math_node(w, NODE_DIVIDE, answer, math_number(w, 100));
    return hundredth ? hundredth : answer;
}

/* What cannot be read as mathematics is right where it is the same text, to the byte. */
static enum math_verdict compare_read(struct comparison *c, bool percent, char *why, size_t n)
{
    struct math_work *w = &c->work;
    const char *trouble;
    bool expected_two, answer_two;
    w->imaginary = has_letter_i(&c->expected);
    int g = math_parse(w, &c->expected, 0, &trouble, &expected_two);
    if (!g) {
        snprintf(why, n, "the expected answer cannot be read: %s", trouble);
        return MATH_UNDECIDED;
    }
    int a = math_parse(w, &c->answer, g, &trouble, &answer_two);
    if (!a) return say(MATH_WRONG, why, n, trouble);
    if (percent) a = add_percent(w, g, a);
    enum same same = expected_two || answer_two ? SAME_UNKNOWN : math_matches(w, g, a);
    if (same == SAME_YES) return say(MATH_CORRECT, why, n, "equal values");
    if (same == SAME_NO) return say(MATH_WRONG, why, n, "another value");
    return say(MATH_UNDECIDED, why, n,
               w->steps > MATH_STEPS        ? "the comparison takes too many steps"
               : expected_two || answer_two ? "it can be read in two ways"
                                            : "no value can be compared");
}

/* Tokens first: equal ones need no meaning (C1). */
static enum math_verdict compare(struct extracted *answer, struct extracted *expected, char *why,
                                 size_t n)
{
    struct comparison c;
    const char *trouble = math_lex(&c.expected, (struct span){expected->text.at, expected->text.n});
    if (trouble || c.expected.n == 0) {
        snprintf(why, n, "the expected answer cannot be read: %s", trouble ? trouble : "empty");
        return MATH_UNDECIDED;
    }
    trouble = math_lex(&c.answer, (struct span){answer->text.at, answer->text.n});
    if (trouble) return say(MATH_WRONG, why, n, trouble);
    if (c.answer.n == 0) return say(MATH_NO_ANSWER, why, n, "the answer is empty");
    if (math_tokens_equal(&c.expected, &c.answer))
        return say(MATH_CORRECT, why, n, "the same text");
    math_work_begin(&c.work);
    enum math_verdict v = compare_read(&c, answer->percent_follows, why, n);
    math_work_end(&c.work);
    return v;
}

static bool find_expected(struct extracted *e, struct span expected, char *why, size_t n)
{
    const char *missing = math_expected(e, expected);
    if (missing) snprintf(why, n, "the expected answer cannot be read: %s", missing);
    return !missing;
}

enum math_verdict math_grade(struct span completion, struct span expected, char *why, size_t n)
{
    char bytes[2][MATH_ANSWER + 1];
    struct extracted answer = {.text = {bytes[0], 0, sizeof bytes[0], false}};
    struct extracted right = {.text = {bytes[1], 0, sizeof bytes[1], false}};
    if (!find_expected(&right, expected, why, n)) return MATH_UNDECIDED;
    const char *missing = math_extract(&answer, completion);
    if (missing) return say(MATH_NO_ANSWER, why, n, missing);
    return compare(&answer, &right, why, n);
}

enum math_verdict math_compare(struct span answer, struct span expected, char *why, size_t n)
{
    char bytes[2][MATH_ANSWER + 1];
    struct extracted given = {.text = {bytes[0], 0, sizeof bytes[0], false}};
    struct extracted right = {.text = {bytes[1], 0, sizeof bytes[1], false}};
    if (!find_expected(&right, expected, why, n)) return MATH_UNDECIDED;
    const char *missing = math_expected(&given, answer);
    if (missing) return say(MATH_NO_ANSWER, why, n, missing);
    return compare(&given, &right, why, n);
}

/* The steps of compare that need no answer: what passes may still be undecided for one. */
const char *math_unreadable(struct span expected)
{
    char bytes[MATH_ANSWER + 1];
    struct extracted e = {.text = {bytes, 0, sizeof bytes, false}};
    struct tokens t;
    struct math_work w;
    bool two;
    t.n = 0;
    const char *trouble = math_expected(&e, expected);
    if (!trouble) trouble = math_lex(&t, (struct span){bytes, e.text.n});
    if (trouble || t.n == 0) return trouble ? trouble : "it is empty";
    math_work_begin(&w);
    math_parse(&w, &t, 0, &trouble, &two);
    math_work_end(&w);
    return !trouble && two ? "it can be read in two ways" : trouble;
}

void math_forget(void)
{
    flint_cleanup();
}
