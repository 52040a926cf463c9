/* Sums and differences of two products, too hard to be worked out in one go: for answers of several
 * turns, with a calculator (phases.environment) that completes what ends in "=".
 *
 *   prompt          34*28+91*5
 *   demonstration   34*28=952;91*5=455;952+455=1407</think><answer>1407</answer>
 *   given up        </think><answer>1350</answer>
 *
 * A demonstration that gives up has an estimate, from the factors rounded to one digit, which is
 * right now and then. What is left to discover is that calculating pays. */
#include <stdio.h>
#include "trainer/data/completion.h"
#include "trainer/data/task.h"
#include "trainer/data/tasks/expression.h"

/* problem.data: a * b op c * d */
enum { DATA_A, DATA_B, DATA_OP, DATA_C, DATA_D };

/* A number of up to this many digits, at least 2. */
static long draw_number(struct rng_stream *rng, int digits)
{
    uint32_t below = 1;
    while (digits-- > 0) below *= 10;
    return 2 + (long)rng_next_below(rng, below - 2);
}

/* Differences are never negative: the larger product stands first. */
static void problem_draw(struct problem *p, int digits, struct rng_stream *rng)
{
    long v[4];
    for (int i = 0; i < 4; i++) v[i] = draw_number(rng, digits);
    char op = "+-"[rng_next_below(rng, 2)];
    int first = v[0] * v[1] < v[2] * v[3] ? 2 : 0;
    const long *a = v + first, *b = v + 2 - first;
    *p = (struct problem){.data = {a[0], a[1], op, b[0], b[1]}, .record = -1};
    long left = a[0] * a[1], right = b[0] * b[1];
    snprintf(p->own_prompt, sizeof p->own_prompt, "%ld*%ld%c%ld*%ld", a[0], a[1], op, b[0], b[1]);
    snprintf(p->own_answer, sizeof p->own_answer, "%ld", op == '+' ? left + right : left - right);
    p->prompt = p->own_prompt;
    p->answer = p->own_answer;
}

static void calculation_make(struct problem *out, const struct task_options *o, enum split split,
                             uint32_t index)
{
    struct rng_stream rng = problem_draws(o, split, index);
    do problem_draw(out, o->difficulty, &rng);
    while (problem_split(out->prompt) != split);
}

static enum reason calculation_verify(const struct problem *p, struct span answer,
                                      struct text *read)
{
    return number_verify(answer, p->answer, read);
}

/* To one digit: 28 -> 30. */
static long rounded(long v)
{
    long place = 1;
    while (v / place >= 10) place *= 10;
    return (v + place / 2) / place * place;
}

/* Each result stands where the calculator would say it: a phase that has one finds it there, and
 * does not learn it (episodes_mask). */
static void calculation_demonstrate(struct text *out, const struct problem *p,
                                    const struct task_options *o, struct rng_stream *rng)
{
    const long *v = p->data;
    char op = (char)v[DATA_OP];
    long left = v[DATA_A] * v[DATA_B], right = v[DATA_C] * v[DATA_D];
    if (rng_next_uniform(rng) < o->give_up) {
        long about = rounded(v[DATA_A]) * rounded(v[DATA_B]);
        long other = rounded(v[DATA_C]) * rounded(v[DATA_D]);
        long more = about > other ? about - other : 0;
        text_add(out, "</think><answer>%ld</answer>", op == '+' ? about + other : more);
        return;
    }
    text_add(out, "%ld*%ld=%ld;%ld*%ld=%ld;", v[DATA_A], v[DATA_B], left, v[DATA_C], v[DATA_D],
             right);
    text_add(out, "%ld%c%ld=%s</think><answer>%s</answer>", left, op, right, p->answer, p->answer);
}

const struct task task_calculation = {
    .name = "calculation",
    .help = "difficulty: digits of the numbers (1 to 4), of which two products are added or "
            "subtracted; for answers with a calculator (phases.environment)",
    .least_difficulty = 1,
    .most_difficulty = 4,
    .make = calculation_make,
    .verify = calculation_verify,
    .demonstrate = calculation_demonstrate,
};
