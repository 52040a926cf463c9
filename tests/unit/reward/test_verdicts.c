/* Verifiers against tables of right and wrong answers, the parts of completions against counts made
 * by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/data/task.h"
#include "trainer/data/tasks/expression.h"
#include "tests/support/check_unit.h"

static struct problem countdown_problem(long target, long a, long b, long c)
{
    return (struct problem){.answer = "", .data = {3, target, a, b, c}, .record = -1};
}

/* A row's answer may hold a NUL: n is its length, 0 for that of the string. */
struct verdict {
    const char *answer;
    size_t n;
    int right;
};

static void check_verdicts(const struct task *t, const struct problem *p, const struct verdict *v,
                           size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t length = v[i].n ? v[i].n : strlen(v[i].answer);
        char *copy = malloc(length + 1); /* exact size: a sanitizer sees a read beyond it */
        memcpy(copy, v[i].answer, length);
        char *exact = realloc(copy, length ? length : 1);
        ck_assert_msg((int)task_right(t, p, exact, length) == v[i].right, "row %zu: \"%s\"", i,
                      v[i].answer);
        free(exact);
    }
}

/* 8, 6, 2 to 32. */
START_TEST(countdown_verdicts)
{
    static const struct verdict rows[] = {
        {"(6-2)*8", 0, 1},
        {"8*(6-2)", 0, 1},
        {"((6-2)*8)", 0, 1},
        {"(6-2)*(8)", 0, 1},
        {"(((((6)-(2))*(8))))", 0, 1},
        {"8/(2/(6+2))", 0, 0}, /* 32, but 2 twice */
        {"8*6-2", 0, 0},
        {"6-2*8", 0, 0},
        {"32", 0, 0},
        {"?", 0, 0},
        {"", 0, 0},
        {"8*4", 0, 0},         /* a number that was not given */
        {"8+8+8+8", 0, 0},     /* reuse */
        {"(6-2)*8+2-2", 0, 0}, /* reuse */
        {"(6-2)*8*1", 0, 0},   /* one more */
        {"6+2+8*3", 0, 0},     /* another */
        {"(6-2)*8 ", 0, 0},    /* white space is not of the grammar */
        {" (6-2)*8", 0, 0},
        {"(6-2)*8\n", 0, 0},
        {"(6-2)*8=32", 0, 0},
        {"(6-2)*8;", 0, 0},
        {"(6-2)8", 0, 0},   /* no unwritten products */
        {"(06-2)*8", 0, 0}, /* leading zero */
        {"(6-2)*+8", 0, 0},
        {"-(2-6)*8", 0, 0}, /* no signs */
        {"(2-6)*-8", 0, 0},
        {"(6-2)*8.0", 0, 0},
        {"(6-2)x8", 0, 0},
        {"(6-2)*8\0", 8, 0}, /* NUL inside */
        {"(6-2)\0*8", 8, 0},
        {"\0", 1, 0},
        {"((6-2)*8", 0, 0},
        {"(6-2)*8)", 0, 0},
        {")6-2(*8", 0, 0},
        {"()", 0, 0},
        {"(6-2)*", 0, 0},
        {"*8", 0, 0},
        {"6--2*8", 0, 0},
        {"8**4", 0, 0},
        {"8/(6-6)", 0, 0}, /* division by zero */
        {"8/0", 0, 0},
        {"(6-2)*\xd9\xa8", 0, 0},     /* U+0668, Arabic eight */
        {"(6-2)*\xef\xbc\x98", 0, 0}, /* U+FF18, full-width eight */
        {"(6\xe2\x88\x92"
         "2)*8",
         0, 0},                           /* U+2212, minus sign */
        {"99999999999999999999*8", 0, 0}, /* overflow */
        {"9223372036854775807+8", 0, 0},
        {"9223372036854775807*9223372036854775807*9", 0, 0},
        {"862", 0, 0},
        {"8,6,2", 0, 0},
    };
    struct problem p = countdown_problem(32, 8, 6, 2);
    check_verdicts(&task_countdown, &p, rows, sizeof rows / sizeof *rows);
}
END_TEST

/* Equal numbers, and division that is exact only in the end. */
START_TEST(countdown_more_verdicts)
{
    static const struct verdict twice[] = {
        {"4+4-2", 0, 1}, {"4-2+4", 0, 1}, {"4+(4-2)", 0, 1},   {"(4+4)-2", 0, 1},
        {"4+2", 0, 0},   {"4*2-2", 0, 0}, {"4+4+4-2-4", 0, 0},
    };
    struct problem p = countdown_problem(6, 4, 4, 2);
    check_verdicts(&task_countdown, &p, twice, sizeof twice / sizeof *twice);
    static const struct verdict fractions[] = {
        {"8/(3-8/3)", 0, 0}, /* 24 with too many numbers */
        {"9*(6/4)", 0, 0},   /* 13.5 */
        {"9/6*4", 0, 1},     /* 6 through 3/2 */
        {"9*4/6", 0, 1},     {"9/(6/4)", 0, 1}, {"4/(6/9)", 0, 1}, {"4/6*9", 0, 1}, {"9-6+4", 0, 0},
    };
    struct problem q = countdown_problem(6, 9, 6, 4);
    check_verdicts(&task_countdown, &q, fractions, sizeof fractions / sizeof *fractions);
}
END_TEST

START_TEST(bombs)
{
    static char bytes[1 << 20];
    struct problem p = countdown_problem(32, 8, 6, 2);
    static const char kinds[] = "(-)0198*/x=;";
    for (size_t k = 0; k < sizeof kinds; k++) { /* the last kind is NUL */
        memset(bytes, kinds[k], sizeof bytes);
        for (int t = 0; t < 3; t++)
            ck_assert(task_right(task_find(t), &p, bytes, sizeof bytes) == 0);
    }
    char deep[64];
    for (int depth = 1; depth < 25; depth++) {
        int n = snprintf(deep, sizeof deep, "%.*s8%.*s", depth, "((((((((((((((((((((((((", depth,
                         "))))))))))))))))))))))))");
        struct expression e;
        bool read = expression_read(&e, (struct span){deep, (size_t)n}, EXPRESSION_PLAIN,
                                    (struct fraction){0, 1});
        ck_assert(read == (depth <= EXPRESSION_DEPTH));
    }
}
END_TEST

START_TEST(arithmetic_verdicts)
{
    static const struct verdict rows[] = {
        {"632", 0, 1},  {"0632", 0, 0},  {"+632", 0, 0},    {"632 ", 0, 0}, {"632.0", 0, 0},
        {"-632", 0, 0}, {"633", 0, 0},   {"63", 0, 0},      {"6320", 0, 0}, {"", 0, 0},
        {"?", 0, 0},    {"632\0", 4, 0}, {"347+285", 0, 0},
    };
    struct problem p = {.answer = "632", .data = {347, '+', 285}};
    check_verdicts(&task_arithmetic, &p, rows, sizeof rows / sizeof *rows);
}
END_TEST

/* Lowest terms, so written: 14/6 would leave the last step undone. */
START_TEST(equations_verdicts)
{
    static const struct verdict rows[] = {
        {"-7/3", 0, 1}, {"7/-3", 0, 0}, {"-14/6", 0, 0},  {"-2.333", 0, 0}, {"x=-7/3", 0, 0},
        {"7/3", 0, 0},  {"-7", 0, 0},   {"(-7)/3", 0, 0}, {"-7/3\0", 5, 0}, {"-7/0", 0, 0},
    };
    struct problem p = {.answer = "-7/3"};
    check_verdicts(&task_equations, &p, rows, sizeof rows / sizeof *rows);
}
END_TEST

struct counted {
    const char *completion;
    int right[TASK_PARTS], total[TASK_PARTS];
};

static void check_parts(const struct task *t, const struct problem *p, const struct counted *rows,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int right[TASK_PARTS] = {0}, total[TASK_PARTS] = {0};
        t->parts(p, rows[i].completion, strlen(rows[i].completion), right, total);
        for (int k = 0; k < TASK_PARTS; k++)
            ck_assert_msg(right[k] == rows[i].right[k] && total[k] == rows[i].total[k],
                          "%s: part %d is %d/%d, not %d/%d", rows[i].completion, k, right[k],
                          total[k], rows[i].right[k], rows[i].total[k]);
    }
}

/* arithmetic, verdict, copy, numbers */
START_TEST(countdown_parts)
{
    static const struct counted rows[] = {
        {"(6-2)*8=4*8=32:32y</think><answer>(6-2)*8</answer>", {2, 1, 1, 1}, {2, 1, 1, 1}},
        {"(6-2)*8=4*8=33:32n</think><answer>?</answer>", {1, 1, 0, 1}, {2, 1, 0, 1}},
        {"(6-2)*8=4*8=32:32n</think><answer>?</answer>", {2, 0, 0, 1}, {2, 1, 0, 1}},
        {"(6-2)*8=4*8=32:33y</think><answer>(6-2)*8</answer>", {2, 0, 1, 1}, {2, 1, 1, 1}},
        {"(6-2)*8=4*8=32:32y</think><answer>(6-2)*9</answer>", {2, 1, 0, 1}, {2, 1, 1, 1}},
        {"(6-2)*8=4*8=32:32y</think><answer>?</answer>", {2, 1, 0, 1}, {2, 1, 1, 1}},
        {"(6-2)*9=4*9=36:32n</think><answer>(6-2)*8</answer>", {2, 1, 0, 0}, {2, 1, 1, 1}},
        {"2-6-8=-4-8=-12:32n</think><answer>?</answer>", {2, 1, 0, 1}, {2, 1, 0, 1}},
        {"8+6+2=14+2=16:32n;(6-2)*8=4*",
         {2, 1, 0, 1},
         {2, 1, 0, 1}}, /* cut: the last is not counted */
        {"", {0}, {0}},
        {";;</think>", {0}, {0, 2, 0, 2}},
        {"abc:32y</think><answer>abc</answer>", {0, 0, 1, 0}, {0, 1, 1, 1}},
        {"=:</think><answer></answer>", {0}, {0, 1, 1, 1}},
    };
    struct problem p = countdown_problem(32, 8, 6, 2);
    check_parts(&task_countdown, &p, rows, sizeof rows / sizeof *rows);
}
END_TEST

START_TEST(arithmetic_parts)
{
    static const struct counted rows[] = {
        {"7+5=12;4+8+1=13;3+2+1=6</think><answer>632</answer>", {3, 1}, {3, 1}},
        {"7+5=12;4+8+1=13;3+2+1=6</think><answer>633</answer>", {3, 0}, {3, 1}},
        {"7+5=13;4+8+1=13;3+2+1=6</think><answer>633</answer>",
         {2, 1},
         {3, 1}}, /* copies its own mistake */
        {"7+5=12;4+8+1=13;3+2+1=16</think><answer>1632</answer>", {2, 1}, {3, 1}},
        {"7-5=2;14-8=6;3-2-1=0</think><answer>62</answer>", {3, 1}, {3, 1}},
        {"7*2=14;4*2+1=9;3*2=6;6940</think><answer>6940</answer>", {3, 2}, {3, 2}},
        {"7*2=14;4*2+1=9;3*2=6;6941</think><answer>6941</answer>", {3, 1}, {3, 2}},
        {"</think><answer>632</answer>", {0}, {0}},
        {"7+5=12;4+8", {1}, {1}},
        {"x=1;</think><answer></answer>", {0}, {1, 1}},
    };
    struct problem p = {.answer = "632", .data = {347, '+', 285}};
    check_parts(&task_arithmetic, &p, rows, sizeof rows / sizeof *rows);
}
END_TEST

/* 7x-12=65: arithmetic, moves, copy */
START_TEST(equations_parts)
{
    static const struct counted rows[] = {
        {"7x=65+12=77;x=77/7=11</think><answer>11</answer>", {2, 2, 1}, {2, 2, 1}},
        {"7x=65-12=53;x=53/7</think><answer>53/7</answer>", {1, 0, 1}, {1, 2, 1}},
        {"7x=65+12=78;x=77/7=11</think><answer>12</answer>", {1, 2, 0}, {2, 2, 1}},
        {"</think><answer>11</answer>", {0}, {0}},
        {"7(x+1)=84;7x", {0, 1}, {0, 1}},
    };
    struct problem p = {.answer = "11", .data = {7, 0, -12, 0, 65, 11, 1}};
    check_parts(&task_equations, &p, rows, sizeof rows / sizeof *rows);
}
END_TEST

#define TESTS(X)               \
    X(countdown_verdicts)      \
    X(countdown_more_verdicts) \
    X(bombs)                   \
    X(arithmetic_verdicts)     \
    X(equations_verdicts)      \
    X(countdown_parts)         \
    X(arithmetic_parts)        \
    X(equations_parts)

UNIT_MAIN("verdicts")
