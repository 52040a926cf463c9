/* The task generators: verifiers against tables of right and wrong answers, problems that are solvable and pure, splits
 * that never share one, demonstrations that verify and whose parts are all right; and no bytes that break a verifier.
 * Solutions are found again by a search of this file's own. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/config/settings.h"
#include "trainer/data/answer.h"
#include "trainer/data/task.h"
#include "trainer/data/tasks/expression.h"

static const struct task_options plain = {.difficulty = 3, .give_up = 0.3, .seed = 1};

static struct problem countdown_problem(long target, long a, long b, long c)
{
    return (struct problem){.data = {3, target, a, b, c}, .record = -1};
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
        ck_assert_msg((int)t->verify(p, exact, length) == v[i].right, "row %zu: \"%s\"", i,
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
        for (int t = 0; t < 3; t++) ck_assert(task_find(t)->verify(&p, bytes, sizeof bytes) == 0);
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

/* Can the target be made? Every pair, every operation, rational: independent of the generator. */
static bool search(struct fraction *v, int n, struct fraction target)
{
    if (n == 1) return fraction_equal(v[0], target);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            for (int op = 0; i != j && op < 4; op++) {
                struct fraction rest[8], joined;
                int m = 0;
                if (!fraction_apply(&joined, v[i], "+-*/"[op], v[j])) continue;
                for (int k = 0; k < n; k++)
                    if (k != i && k != j) rest[m++] = v[k];
                rest[m++] = joined;
                if (search(rest, m, target)) return true;
            }
    return false;
}

START_TEST(countdown_problems_are_solvable)
{
    for (uint32_t i = 0; i < 10000; i++) {
        struct problem p;
        struct fraction v[8];
        task_countdown.make(&p, &plain, i % 2 ? SPLIT_TRAIN : SPLIT_HELDOUT, i);
        for (int k = 0; k < 3; k++) {
            v[k] = (struct fraction){p.data[2 + k], 1};
            ck_assert(p.data[2 + k] >= 1 && p.data[2 + k] <= 9);
        }
        ck_assert(p.data[1] >= 1 && p.data[1] <= 60);
        ck_assert_msg(search(v, 3, (struct fraction){p.data[1], 1}), "%s", p.prompt);
    }
}
END_TEST

/* At every difficulty: the generator's own answer verifies, the prompt is short, a problem is a pure function. */
START_TEST(problems_at_every_difficulty)
{
    for (int number = 0; number < 3; number++) {
        const struct task *t = task_find(number);
        for (int d = t->least_difficulty; d <= t->most_difficulty; d++) {
            int other = 0;
            for (uint32_t i = 0; i < 300; i++) {
                struct task_options o = {.difficulty = d, .give_up = 0.3, .seed = 7};
                struct problem p, again;
                t->make(&p, &o, SPLIT_TRAIN, i);
                t->make(&again, &o, SPLIT_TRAIN, i);
                ck_assert_mem_eq(&p, &again, sizeof p);
                ck_assert_msg(t->verify(&p, p.answer, strlen(p.answer)) == 1, "%s: %s", p.prompt,
                              p.answer);
                ck_assert_uint_le(strlen(p.prompt), 40);
                o.seed = 8;
                t->make(&again, &o, SPLIT_TRAIN, i);
                other += strcmp(p.prompt, again.prompt) != 0;
            }
            ck_assert_int_gt(other, 250); /* another seed, other problems */
        }
    }
}
END_TEST

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

START_TEST(splits_share_no_problem)
{
    enum { N = 3000 };
    static char prompt[2][N][64];
    for (int number = 0; number < 3; number++) {
        const struct task *t = task_find(number);
        for (int split = 0; split < 2; split++)
            for (uint32_t i = 0; i < N; i++) {
                struct problem p;
                t->make(&p, &plain, (enum split)split, i);
                ck_assert_int_eq(problem_split(p.prompt), split);
                ck_assert_int_eq(problem_hash(p.prompt) % 10 == 0, split == SPLIT_HELDOUT);
                snprintf(prompt[split][i], sizeof prompt[split][i], "%.63s", p.prompt);
            }
        qsort(prompt[0], N, sizeof prompt[0][0], compare_texts);
        for (int i = 0; i < N; i++)
            ck_assert_ptr_null(
                bsearch(prompt[1][i], prompt[0], N, sizeof prompt[0][0], compare_texts));
    }
}
END_TEST

/* XXH64 with seed 0: the reference implementation's value for "a". */
START_TEST(hash_is_the_published_one)
{
    ck_assert_uint_eq(problem_hash("a"), UINT64_C(0xd24ec4f1a98c6e5b));
    ck_assert_uint_eq(problem_hash(""), UINT64_C(0xef46db3751d8e999));
}
END_TEST

struct tally {
    int solved, n, right[TASK_PARTS], total[TASK_PARTS];
    size_t tokens, longest;
};

/* Demonstrations of n problems: in form, verified exactly when they claim to be solved, all parts right. */
static struct tally tally_demonstrations(const struct task *t, const struct task_options *o, int n)
{
    struct tally c = {.n = n};
    for (int i = 0; i < n; i++) {
        char bytes[2048];
        struct problem p;
        struct text text = {bytes, 0, sizeof bytes, false};
        struct rng_stream rng = {1, {.purpose = RNG_DEMO, .prompt = (uint32_t)i}};
        t->make(&p, o, SPLIT_TRAIN, (uint32_t)i);
        t->demonstrate(&text, &p, o, &rng);
        struct span whole = {bytes, text.n}, answer = answer_text(whole);
        ck_assert(!text.cut && answer_in_form(whole));
        bool right = t->verify(&p, answer.at, answer.n) == 1;
        if (t == &task_countdown) ck_assert(right == (strstr(bytes, "y</think>") != NULL));
        c.solved += right;
        t->parts(&p, bytes, text.n, c.right, c.total);
        size_t tokens = text.n - strlen("</think><answer></answer>") + 3;
        c.tokens += tokens;
        if (tokens > c.longest) c.longest = tokens;
    }
    return c;
}

START_TEST(demonstrations)
{
    static const double give_up[] = {0.3, 0};
    for (int number = 0; number < 3; number++)
        for (int k = 0; k < 2; k++) {
            const struct task *t = task_find(number);
            struct task_options o = plain;
            o.give_up = give_up[k];
            struct tally c = tally_demonstrations(t, &o, 2000);
            printf("%s, difficulty 3, give_up %.1f: %.1f %% solved, %.1f tokens, longest %zu\n",
                   t->name, o.give_up, 100.0 * c.solved / c.n, (double)c.tokens / c.n, c.longest);
            for (int i = 0; t->part_names[i]; i++) {
                ck_assert_int_gt(c.total[i], 0);
                ck_assert_msg(c.right[i] == c.total[i], "%s %s: %d of %d", t->name,
                              t->part_names[i], c.right[i], c.total[i]);
            }
            if (number > 0 && k == 1)
                ck_assert_int_eq(c.solved, c.n); /* full working is always right */
            if (number == 0) ck_assert_int_gt(c.solved, k ? c.n * 7 / 10 : c.n * 2 / 10);
            if (number == 0 && k == 0) ck_assert_int_lt(c.solved, c.n * 4 / 10);
        }
}
END_TEST

START_TEST(demonstrations_at_every_difficulty)
{
    for (int number = 0; number < 3; number++) {
        const struct task *t = task_find(number);
        for (int d = t->least_difficulty; d <= t->most_difficulty; d++) {
            struct task_options o = {.difficulty = d, .give_up = 0.1, .seed = 3};
            struct tally c = tally_demonstrations(t, &o, 200);
            ck_assert_int_gt(c.solved, 0);
            for (int i = 0; t->part_names[i]; i++) ck_assert_int_eq(c.right[i], c.total[i]);
        }
    }
}
END_TEST

/* A solver that is certain never to give up tries no expression twice. */
START_TEST(no_try_is_repeated)
{
    struct task_options o = {.difficulty = 3, .give_up = 0, .seed = 5};
    for (uint32_t i = 0; i < 300; i++) {
        char bytes[2048];
        struct problem p;
        struct text text = {bytes, 0, sizeof bytes, false};
        struct rng_stream rng = {5, {.purpose = RNG_DEMO, .prompt = i}};
        task_countdown.make(&p, &o, SPLIT_TRAIN, i);
        task_countdown.demonstrate(&text, &p, &o, &rng);
        bool closed;
        struct span rest = answer_reasoning((struct span){bytes, text.n}, &closed), tried[64];
        int n = 0;
        while (rest.n) {
            struct span attempt = span_take(&rest, ';'), expression = span_take(&attempt, '=');
            for (int k = 0; k < n; k++)
                ck_assert(tried[k].n != expression.n ||
                          memcmp(tried[k].at, expression.at, expression.n));
            tried[n++] = expression;
        }
        ck_assert_int_gt(n, 0);
    }
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

/* Mutated demonstrations: verifiers and parts read anything; a mutant that verifies is re-checked by search's rules. */
START_TEST(mutants)
{
    struct rng_stream rng = {1, {.purpose = RNG_TEST}};
    static const char letters[] = "0123456789+-*/()=:;xyn?<>\0\xff";
    for (int i = 0; i < 20000; i++) {
        const struct task *t = task_find(i % 3);
        char bytes[2048];
        struct problem p;
        struct text text = {bytes, 0, sizeof bytes, false};
        int right[TASK_PARTS] = {0}, total[TASK_PARTS] = {0};
        t->make(&p, &plain, SPLIT_TRAIN, (uint32_t)i / 100);
        t->demonstrate(&text, &p, &plain, &rng);
        for (uint32_t k = 1 + rng_next_below(&rng, 4); k > 0; k--)
            bytes[rng_next_below(&rng, (uint32_t)text.n)] =
                letters[rng_next_below(&rng, sizeof letters - 1)];
        size_t n = text.n - rng_next_below(&rng, 2) * rng_next_below(&rng, (uint32_t)text.n);
        t->parts(&p, bytes, n, right, total);
        for (int k = 0; k < TASK_PARTS; k++)
            ck_assert(right[k] >= 0 && right[k] <= total[k] && total[k] < 300);
        struct span answer = answer_text((struct span){bytes, n});
        double score = answer.at ? t->verify(&p, answer.at, answer.n) : 0;
        ck_assert(score == 0 || score == 1);
        if (score == 1 && t != &task_countdown) ck_assert(span_is(answer, p.answer));
    }
}
END_TEST

START_TEST(text_never_overflows)
{
    char bytes[8] = "XXXXXXX";
    struct text t = {bytes, 0, 5, false};
    text_add(&t, "%s", "ab");
    ck_assert(!t.cut && t.n == 2);
    text_add(&t, "%s", "cdef");
    ck_assert(t.cut && t.n == 4);
    ck_assert_str_eq(bytes, "abcd");
    text_add(&t, "g");
    ck_assert(t.cut && t.n == 4 && bytes[5] == 'X');
}
END_TEST

START_TEST(worked_steps)
{
    static const char *const rows[][6] = {
        {"(6-2)*8", "4*8", "32", NULL},
        {"8-3*2", "8-6", "2", NULL},
        {"(12*9+3)*5", "(108+3)*5", "111*5", "555", NULL},
        {"(3+5)*(9-7)", "8*(9-7)", "8*2", "16", NULL},
        {"20-5-6/3", "20-5-2", "15-2", "13", NULL},
        {"(2+(7-4))*2", "(2+3)*2", "5*2", "10", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char step[64];
        snprintf(step, sizeof step, "%s", rows[i][0]);
        for (int k = 1; rows[i][k]; k++) {
            ck_assert(expression_step(step, sizeof step, step));
            ck_assert_str_eq(step, rows[i][k]);
        }
        ck_assert(!expression_step(step, sizeof step, step));
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("tasks");
    Suite *s = suite_create("tasks");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, countdown_verdicts);
    tcase_add_test(tc, countdown_more_verdicts);
    tcase_add_test(tc, bombs);
    tcase_add_test(tc, arithmetic_verdicts);
    tcase_add_test(tc, equations_verdicts);
    tcase_add_test(tc, countdown_problems_are_solvable);
    tcase_add_test(tc, problems_at_every_difficulty);
    tcase_add_test(tc, splits_share_no_problem);
    tcase_add_test(tc, hash_is_the_published_one);
    tcase_add_test(tc, demonstrations);
    tcase_add_test(tc, demonstrations_at_every_difficulty);
    tcase_add_test(tc, no_try_is_repeated);
    tcase_add_test(tc, countdown_parts);
    tcase_add_test(tc, arithmetic_parts);
    tcase_add_test(tc, equations_parts);
    tcase_add_test(tc, mutants);
    tcase_add_test(tc, text_never_overflows);
    tcase_add_test(tc, worked_steps);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
