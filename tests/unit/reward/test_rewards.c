/* The matrix of rewards: which grader gives what to which answer, and how a recipe's weights add
 * them up. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/arena.h"
#include "trainer/data/pack.h"
#include "trainer/reward/rewards.h"
#include "tests/support/check_unit.h"

enum { ROOM = 512 };

/* An answer to "1+6", of a file: "7" is right. */
static const struct row {
    const char *text;
    bool eos, truncated;
    float accuracy, format;
    enum reason why;
} rows[] = {
    {"1+6=7</think><answer>7</answer>", true, false, 1, 1, REASON_RIGHT},
    {"1+6=7</think><answer>7.0</answer>", false, false, 1, 1, REASON_RIGHT},
    {"1+6=8</think><answer>8</answer>", true, false, 0, 1, REASON_WRONG_VALUE},
    {"</think>so <answer>7</answer>", true, false, 1, 0, REASON_RIGHT},
    {"1+6", false, true, 0, 0, REASON_TRUNCATED},
    {"", true, false, 0, 0, REASON_NO_END_OF_THOUGHT},
};
enum { ROWS = sizeof rows / sizeof *rows };
static const struct phase_settings weights = {.reward_accuracy = 1};

static struct tokenizer *tokenizer_new(void)
{
    struct problems p = {0};
    size_t n;
    char *json = tokenizer_builtin_json(&n);
    struct tokenizer *t = tokenizer_parse(json, n, "tokenizer.json", &p);
    ck_assert_ptr_nonnull(t);
    free(json);
    return t;
}

static struct completion completion_of(const struct grading *g, const struct problem *p,
                                       const struct row *row, int *token)
{
    int n = (int)tokenizer_encode(g->tokenizer, row->text, strlen(row->text), true, token, ROOM);
    if (row->eos) token[n++] = g->ends.id[0];
    return (struct completion){.problem = p, .token = token, .n = n, .truncated = row->truncated};
}

static struct grading grading_of(const struct tokenizer *t, const struct task *task, char *text)
{
    return (struct grading){.tokenizer = t,
                            .ends = {{tokenizer_find(t, TOKEN_EOS)}, 1},
                            .task = task,
                            .parts = true,
                            .text = text,
                            .text_size = ROOM};
}

static struct arena rewards_new(struct rewards *r, size_t answers)
{
    struct arena a = {0};
    rewards_place(r, graders_always(), answers, &a);
    arena_back(&a, &device_host, a.used);
    rewards_place(r, graders_always(), answers, &a);
    return a;
}

static void grade_all(struct rewards *r, const struct grading *g)
{
    const struct problem p = {.prompt = "1+6", .answer = "7"};
    rewards_clear(r, graders_always(), ROWS);
    for (int i = 0; i < ROWS; i++) {
        int token[ROOM];
        struct completion c = completion_of(g, &p, &rows[i], token);
        rewards_grade(r, g, i, &c, &weights);
        ck_assert_int_eq(c.verdict.why, rows[i].why);
        ck_assert_uint_eq(c.bytes, strlen(rows[i].text));
    }
}

static void check_values(const struct rewards *r)
{
    for (int i = 0; i < ROWS; i++) {
        ck_assert_msg(r->value[GRADER_ACCURACY][i] == rows[i].accuracy, "%s", rows[i].text);
        ck_assert_msg(r->value[GRADER_FORMAT][i] == rows[i].format, "%s", rows[i].text);
        ck_assert_msg((r->vote[i] != 0) == reason_votes(rows[i].why), "%s", rows[i].text);
    }
    ck_assert_uint_eq(r->vote[0], r->vote[1]); /* 7 and 7.0 are one answer */
    ck_assert_uint_ne(r->vote[0], r->vote[2]);
}

/* accuracy + weight * format, in single precision and in this order. */
static void check_totals(struct rewards *r)
{
    for (int w = 0; w < 3; w++) {
        const struct phase_settings k = {.reward_accuracy = 1,
                                         .reward_format = (double[]){0, 0.5, 0.1}[w]};
        rewards_sum(r, 1, ROWS, &k);
        for (int i = 0; i < ROWS; i++)
            ck_assert(r->total[i] == rows[i].accuracy + (float)k.reward_format * rows[i].format);
    }
}

START_TEST(of_a_file)
{
    char text[ROOM];
    struct tokenizer *t = tokenizer_new();
    const struct grading g = grading_of(t, NULL, text);
    struct rewards r = {0};
    struct arena a = rewards_new(&r, ROWS);
    ck_assert_int_eq(r.n, GRADERS);
    ck_assert_str_eq(r.name[GRADER_ACCURACY], "accuracy");
    ck_assert_str_eq(r.name[GRADER_FORMAT], "format");
    grade_all(&r, &g);
    check_values(&r);
    check_totals(&r);
    ck_assert_double_eq(rewards_mean(r.value[GRADER_FORMAT], 4), 0.75);
    arena_free(&a);
    tokenizer_free(t);
}
END_TEST

/* The answers of a task also have parts, each answer its own. */
START_TEST(of_a_task)
{
    const struct task *task = task_find(TASK_ARITHMETIC);
    const struct task_options o = {.difficulty = 3, .seed = 1};
    char text[ROOM], bytes[ROOM];
    struct tokenizer *t = tokenizer_new();
    const struct grading g = grading_of(t, task, text);
    struct rewards r = {0};
    struct arena a = rewards_new(&r, ROWS);
    rewards_clear(&r, graders_always(), ROWS);
    for (int i = 0; i < ROWS; i++) {
        struct rng_stream draws = problem_draws(&o, SPLIT_TRAIN, (uint32_t)i);
        struct text shown = {bytes, 0, sizeof bytes, false};
        int token[ROOM], right[TASK_PARTS] = {0}, total[TASK_PARTS] = {0};
        struct problem p;
        task->make(&p, &o, SPLIT_TRAIN, (uint32_t)i);
        task->demonstrate(&shown, &p, &o, &draws);
        task->parts(&p, bytes, shown.n, right, total);
        struct row row = {.text = bytes, .eos = true};
        struct completion c = completion_of(&g, &p, &row, token);
        rewards_grade(&r, &g, i, &c, &weights);
        ck_assert(r.value[GRADER_ACCURACY][i] == 1 && r.value[GRADER_FORMAT][i] == 1);
        ck_assert_mem_eq(r.parts[i][0], right, sizeof right);
        ck_assert_mem_eq(r.parts[i][1], total, sizeof total);
        ck_assert_int_gt(total[0], 0);
    }
    rewards_clear(&r, graders_always(), ROWS);
    for (int i = 0; i < ROWS; i++) ck_assert_int_eq(r.parts[i][1][0], 0);
    arena_free(&a);
    tokenizer_free(t);
}
END_TEST

/* Names are members of samples.jsonl and parts of metrics' names: no two graders share one. */
START_TEST(names)
{
    for (int i = 0; i < GRADERS; i++)
        for (int j = 0; j < i; j++) ck_assert_str_ne(grader_at(i)->name, grader_at(j)->name);
    ck_assert_uint_eq(graders_need(graders_always()), NEEDS_VERDICT);
}
END_TEST

/* An answer of three turns, whose first ends in <eos>: what an environment said between them has an
 * answer in form, which is not the model's. */
START_TEST(observations_are_not_graded)
{
    static const char *const pieces[] = {"1+6=", "</think><answer>7</answer>", "so ", "7",
                                         "</think><answer>8</answer>"};
    struct tokenizer *t = tokenizer_new();
    struct problem problem = {.prompt = "1+6", .answer = "7"};
    char text[ROOM];
    int token[ROOM], n = 0;
    float logp[ROOM];
    const struct grading g = grading_of(t, NULL, text);
    for (int i = 0; i < 5; i++) {
        int from = n;
        n += (int)tokenizer_encode(t, pieces[i], strlen(pieces[i]), true, token + n, ROOM);
        if (i % 2 == 0 && i != 2) token[n++] = g.ends.id[0];
        for (int k = from; k < n; k++) logp[k] = i % 2 ? LOGP_OBSERVED : -1;
    }
    struct completion c = {.problem = &problem, .token = token, .n = n, .logp = logp};
    grading_read(&g, &c, NEEDS_VERDICT);
    ck_assert_str_eq(c.text, "1+6=so </think><answer>8</answer>");
    ck_assert_uint_eq(c.bytes, strlen(c.text));
    ck_assert_int_eq(c.verdict.why, REASON_WRONG_VALUE);
    c.logp = NULL; /* all of it is the model's */
    grading_read(&g, &c, NEEDS_TEXT);
    ck_assert_ptr_nonnull(strstr(c.text, "<answer>7</answer>"));
    tokenizer_free(t);
}
END_TEST

#define TESTS(X)                   \
    X(of_a_file)                   \
    X(of_a_task)                   \
    X(observations_are_not_graded) \
    X(names)

UNIT_MAIN("rewards")
