/* Linear equations in x, solved step by step.
 *
 *   7x-12=65        7x=65+12=77;x=77/7=11</think><answer>11</answer>
 *   5x+3=2x+18      5x-2x=18-3;3x=15;x=15/3=5</think><answer>5</answer>
 *   3(x+4)=-2x+5    3x+12=-2x+5;3x+2x=5-12;5x=-7;x=-7/5</think><answer>-7/5</answer>
 *
 * The answer is a whole number or a fraction in lowest terms, written so: 15/3 is no answer, or the
 * last step would not need learning. A demonstration that gives up shows no working and guesses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trainer/data/completion.h"
#include "trainer/data/task.h"
#include "trainer/data/tasks/expression.h"

/* a(x+e)+b = cx+d, where e is 0 without brackets and b is 0 with them. */
enum { DATA_A, DATA_E, DATA_B, DATA_C, DATA_D, DATA_NUM, DATA_DEN };

enum { LEVELS = 10 };
static const struct {
    long factor, constant, root; /* largest absolute values */
    bool minus, both_sides, brackets, fractions;
} levels[LEVELS + 1] = {
    [1] = {9, 0, 9, .minus = false},
    [2] = {9, 9, 9, .minus = false},
    [3] = {9, 20, 12, .minus = true},
    [4] = {9, 20, 9, .minus = true, .both_sides = true},
    [5] = {20, 50, 12, .minus = true, .both_sides = true},
    [6] = {9, 9, 9, .minus = true, .brackets = true},
    [7] = {9, 12, 9, .minus = true, .both_sides = true, .brackets = true},
    [8] = {9, 20, 0, .minus = true, .both_sides = true, .fractions = true},
    [9] = {9, 12, 0, .minus = true, .both_sides = true, .brackets = true, .fractions = true},
    [10] = {50, 99, 0, .minus = true, .both_sides = true, .brackets = true, .fractions = true},
};

/* In -most..most or, without minus, 1..most. */
static long draw_value(struct rng_stream *rng, long most, bool minus)
{
    if (most == 0) return 0;
    long value = 1 + (long)rng_next_below(rng, (uint32_t)most * (minus ? 2 : 1));
    return value > most ? most - value : value;
}

/* "3x+5", "-x", "7"; "0" when nothing is there. */
static void write_line(struct text *t, long factor, long constant)
{
    if (factor == 1 || factor == -1)
        text_add(t, factor == 1 ? "x" : "-x");
    else if (factor)
        text_add(t, "%ldx", factor);
    if (factor == 0)
        text_add(t, "%ld", constant);
    else if (constant)
        text_add(t, "%+ld", constant);
}

/* One draw; false when both sides have the same slope. */
static bool problem_draw(struct problem *p, int level, struct rng_stream *rng)
{
    long most = levels[level].constant;
    bool minus = levels[level].minus, brackets = levels[level].brackets;
    long a = 2 + (long)rng_next_below(rng, (uint32_t)levels[level].factor - 1);
    long constant = draw_value(rng, most, minus), e = brackets ? constant : 0,
         b = brackets ? 0 : constant;
    long c = levels[level].both_sides ? draw_value(rng, levels[level].factor, minus) : 0;
    long root = draw_value(rng, levels[level].root, minus);
    long d =
        levels[level].fractions ? draw_value(rng, 3 * most, minus) : a * (root + e) + b - c * root;
    if (a == c) return false;
    struct fraction x;
    if (!fraction_apply(&x, (struct fraction){d - a * e - b, 1}, '/', (struct fraction){a - c, 1}))
        return false;
    *p = (struct problem){.data = {a, e, b, c, d, x.num, x.den}, .record = -1};
    p->prompt = p->own_prompt;
    p->answer = p->own_answer;
    struct text t = {p->own_prompt, 0, sizeof p->own_prompt, false};
    if (brackets)
        text_add(&t, "%ld(x%+ld)", a, e);
    else
        write_line(&t, a, b);
    text_add(&t, "=");
    write_line(&t, c, d);
    snprintf(p->own_answer, sizeof p->own_answer, x.den == 1 ? "%ld" : "%ld/%ld", (long)x.num,
             (long)x.den);
    return true;
}

static void equations_make(struct problem *out, const struct task_options *o, enum split split,
                           uint32_t index)
{
    struct rng_stream rng = problem_draws(o, split, index);
    while (!problem_draw(out, o->difficulty, &rng) || problem_split(out->prompt) != split) {
    }
}

static enum reason equations_verify(const struct problem *p, struct span answer, struct text *read)
{
    return number_verify(answer, p->answer, read);
}

/* Steps from the equation to "x=answer", without a last ';'. */
static void write_steps(struct text *out, const struct problem *p)
{
    long a = p->data[DATA_A], e = p->data[DATA_E], c = p->data[DATA_C], d = p->data[DATA_D];
    long b = p->data[DATA_B] + a * e, factor = a - c, right = d - b;
    if (e) {
        write_line(out, a, b);
        text_add(out, "=");
        write_line(out, c, d);
        text_add(out, ";");
    }
    if (c) { /* x to the left, constants to the right */
        write_line(out, a, 0);
        text_add(out, c < 0 ? "+" : "-");
        write_line(out, labs(c), 0);
        text_add(out, b ? "=%ld%+ld;" : "=%ld;", d, -b);
        write_line(out, factor, 0);
        text_add(out, "=%ld", right);
    } else if (b) {
        write_line(out, factor, 0);
        text_add(out, "=%ld%+ld=%ld", d, -b, right);
    }
    if (factor == 1) return;
    char quotient[48];
    snprintf(quotient, sizeof quotient, "%ld/%ld", right, factor);
    text_add(out, "%sx=%s", b || c ? ";" : "", quotient);
    if (strcmp(quotient, p->answer) != 0) text_add(out, "=%s", p->answer);
}

static void equations_demonstrate(struct text *out, const struct problem *p,
                                  const struct task_options *o, struct rng_stream *rng)
{
    if (rng_next_uniform(rng) < o->give_up) {
        long guess = draw_value(rng, 9, levels[o->difficulty].minus);
        text_add(out, "</think><answer>%ld</answer>", guess);
        return;
    }
    write_steps(out, p);
    text_add(out, "</think><answer>%s</answer>", p->answer);
}

enum { PART_ARITHMETIC, PART_MOVES, PART_COPY };
static const char *const part_names[] = {"arithmetic", "moves", "copy", NULL};

/* One step "e=e=...": counts each = in it; returns its last side. */
static struct span step_parts(struct fraction root, struct span chain, int right[], int total[])
{
    struct expression now, before = {.value = {0, 1}};
    struct span side = {NULL, 0};
    bool known_before = false;
    for (int i = 0; i == 0 || chain.n; i++) {
        side = span_take(&chain, '=');
        bool known = expression_read(&now, side, EXPRESSION_SIGN | EXPRESSION_X, root);
        if (i) {
            int part = now.has_x || before.has_x ? PART_MOVES : PART_ARITHMETIC;
            total[part]++;
            right[part] += known && known_before && fraction_equal(now.value, before.value);
        }
        before = now;
        known_before = known;
    }
    return side;
}

/* arithmetic: sums and quotients of numbers that are right; moves: equations that the problem's x
 * satisfies; copy: the answer is what the last step ends in. An answer without working counts for
 * nothing. */
static void equations_parts(const struct problem *p, const char *completion, size_t n, int right[],
                            int total[])
{
    bool closed;
    struct fraction root = {p->data[DATA_NUM], p->data[DATA_DEN]};
    struct span whole = {completion, n}, rest = completion_reasoning(whole, &closed),
                last = {NULL, 0};
    while (rest.n) {
        struct span step = span_take(&rest, ';');
        if (!rest.n && !closed) return;
        last = step_parts(root, step, right, total);
    }
    struct span answer = completion_answer(whole);
    if (!answer.at || !last.at) return;
    total[PART_COPY]++;
    right[PART_COPY] += answer.n == last.n && memcmp(answer.at, last.at, last.n) == 0;
}

const struct task task_equations = {
    .name = "equations",
    .help = "difficulty: 1: 4x=12; 2: 4x+3=15; 3: with minus, numbers up to 20; 4: x on both "
            "sides; 5: larger numbers; 6: 3(x+2)=18; 7: the same with x on both sides; 8: "
            "fractions; 9: fractions and brackets; 10: larger numbers",
    .least_difficulty = 1,
    .most_difficulty = LEVELS,
    .make = equations_make,
    .verify = equations_verify,
    .demonstrate = equations_demonstrate,
    .part_names = part_names,
    .parts = equations_parts,
};
