/* The task generators: problems that are solvable and pure, splits that never share one,
 * demonstrations that verify and whose parts are all right; and mutants of them. Solutions are
 * found again by a search of this file's own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/config/settings.h"
#include "trainer/data/completion.h"
#include "trainer/data/task.h"
#include "trainer/data/tasks/expression.h"
#include "tests/support/check_unit.h"

static const struct task_options plain = {.difficulty = 3, .give_up = 0.3, .seed = 1};

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

/* At every difficulty: the generator's own answer verifies, the prompt is short, a problem is a
 * pure function. */
START_TEST(problems_at_every_difficulty)
{
    for (int number = 0; task_find(number); number++) {
        const struct task *t = task_find(number);
        for (int d = t->least_difficulty; d <= t->most_difficulty; d++) {
            int other = 0;
            for (uint32_t i = 0; i < 300; i++) {
                struct task_options o = {.difficulty = d, .give_up = 0.3, .seed = 7};
                struct problem p, again;
                t->make(&p, &o, SPLIT_TRAIN, i);
                t->make(&again, &o, SPLIT_TRAIN, i);
                ck_assert_str_eq(p.prompt, again.prompt);
                ck_assert_str_eq(p.answer, again.answer);
                ck_assert_mem_eq(p.data, again.data, sizeof p.data);
                ck_assert_msg(task_right(t, &p, p.answer, strlen(p.answer)), "%s: %s", p.prompt,
                              p.answer);
                ck_assert_uint_le(strlen(p.prompt), 48);
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
    for (int number = 0; task_find(number); number++) {
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

/* Demonstrations of n problems: in form, verified exactly when they claim to be solved, all parts
 * right. */
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
        struct span whole = {bytes, text.n}, answer = completion_answer(whole);
        ck_assert(!text.cut && completion_in_form(whole));
        bool right = task_right(t, &p, answer.at, answer.n);
        if (t == &task_countdown) ck_assert(right == (strstr(bytes, "y</think>") != NULL));
        c.solved += right;
        if (t->parts) t->parts(&p, bytes, text.n, c.right, c.total);
        size_t tokens = text.n - strlen("</think><answer></answer>") + 3;
        c.tokens += tokens;
        if (tokens > c.longest) c.longest = tokens;
    }
    return c;
}

START_TEST(demonstrations)
{
    static const double give_up[] = {0.3, 0};
    for (int number = 0; task_find(number); number++)
        for (int k = 0; k < 2; k++) {
            const struct task *t = task_find(number);
            struct task_options o = plain;
            o.give_up = give_up[k];
            struct tally c = tally_demonstrations(t, &o, 2000);
            printf("%s, difficulty 3, give_up %.1f: %.1f %% solved, %.1f tokens, longest %zu\n",
                   t->name, o.give_up, 100.0 * c.solved / c.n, (double)c.tokens / c.n, c.longest);
            for (int i = 0; t->part_names && t->part_names[i]; i++) {
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
    for (int number = 0; task_find(number); number++) {
        const struct task *t = task_find(number);
        for (int d = t->least_difficulty; d <= t->most_difficulty; d++) {
            struct task_options o = {.difficulty = d, .give_up = 0.1, .seed = 3};
            struct tally c = tally_demonstrations(t, &o, 200);
            ck_assert_int_gt(c.solved, 0);
            for (int i = 0; t->part_names && t->part_names[i]; i++)
                ck_assert_int_eq(c.right[i], c.total[i]);
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
        struct span rest = completion_reasoning((struct span){bytes, text.n}, &closed), tried[64];
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

/* Mutated demonstrations: verifiers and parts read anything; a mutant that verifies is re-checked
 * by search's rules. */
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
        struct span answer = completion_answer((struct span){bytes, n});
        bool right_answer = answer.at && task_right(t, &p, answer.at, answer.n);
        if (right_answer && t != &task_countdown) ck_assert(span_is(answer, p.answer));
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

#define TESTS(X)                          \
    X(countdown_problems_are_solvable)    \
    X(problems_at_every_difficulty)       \
    X(splits_share_no_problem)            \
    X(hash_is_the_published_one)          \
    X(demonstrations)                     \
    X(demonstrations_at_every_difficulty) \
    X(no_try_is_repeated)                 \
    X(mutants)                            \
    X(text_never_overflows)               \
    X(worked_steps)

UNIT_MAIN("tasks", .timeout_s = 30)
