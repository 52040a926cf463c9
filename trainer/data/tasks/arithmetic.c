/* Written arithmetic: + - * of numbers of several digits, column by column with carries.
 *
 *   347+285   7+5=12;4+8+1=13;3+2+1=6</think><answer>632</answer>
 *   347-285   7-5=2;14-8=6;3-2-1=0</think><answer>62</answer>      (a borrow shows as 14, and as
 *                                                                  -1 in the next)
 *   347*8     7*8=56;4*8+5=37;3*8+3=27</think><answer>2776</answer>
 *   347*28
 * 7*8=56;4*8+5=37;3*8+3=27;2776;7*2=14;4*2+1=9;3*2=6;6940;6+0=6;7+4=11;7+9+1=17;2+6+1=9</think>...
 *
 * The answer is the last digit of every column, from the last column (whole) to the first. A
 * demonstration that gives up shows no working and forgets the carries, which is right now and
 * then: what is left to discover is that working pays.
 *
 * The task arithmetic_words asks the same in words, for models that have read English:
 *
 *   What is 47 + 85?   7+5=12;4+8+1=13</think><answer>132</answer> */
#include <stdio.h>
#include <string.h>
#include "trainer/data/completion.h"
#include "trainer/data/task.h"
#include "trainer/data/tasks/expression.h"

/* problem.data */
enum { DATA_A, DATA_OP, DATA_B };

static long power10(int n)
{
    long p = 1;
    while (n-- > 0) p *= 10;
    return p;
}

/* A number of exactly this many digits. */
static long draw_number(struct rng_stream *rng, int digits)
{
    long value = 1 + (long)rng_next_below(rng, 9);
    while (--digits > 0) value = 10 * value + (long)rng_next_below(rng, 10);
    return value;
}

/* Differences are never negative: a - b has a >= b. `prompt` is the format of a, the operation, b.
 */
static void problem_draw(struct problem *p, const char *prompt, int digits, struct rng_stream *rng)
{
    char op = "+-*"[rng_next_below(rng, 3)];
    long a = draw_number(rng, digits);
    long b = draw_number(rng, op != '*' ? digits : digits > 3 ? digits / 2 : 1);
    if (op == '-' && a < b) {
        long hold = a;
        a = b;
        b = hold;
    }
    *p = (struct problem){.data = {a, op, b}, .record = -1};
    long value = op == '+' ? a + b : op == '-' ? a - b : a * b;
    snprintf(p->own_prompt, sizeof p->own_prompt, prompt, a, op, b);
    snprintf(p->own_answer, sizeof p->own_answer, "%ld", value);
    p->prompt = p->own_prompt;
    p->answer = p->own_answer;
}

static void make(struct problem *out, const char *prompt, const struct task_options *o,
                 enum split split, uint32_t index)
{
    struct rng_stream rng = problem_draws(o, split, index);
    do problem_draw(out, prompt, o->difficulty, &rng);
    while (problem_split(out->prompt) != split);
}

static void arithmetic_make(struct problem *out, const struct task_options *o, enum split split,
                            uint32_t index)
{
    make(out, "%ld%c%ld", o, split, index);
}

static void words_make(struct problem *out, const struct task_options *o, enum split split,
                       uint32_t index)
{
    make(out, "What is %ld %c %ld?", o, split, index);
}

/* The number as it is written, without leading zeros: 0632 is no answer to 347+285. */
static enum reason arithmetic_verify(const struct problem *p, struct span answer, struct text *read)
{
    return number_verify(answer, p->answer, read);
}

/* Columns of the sum of n numbers; each shows the digits that are there, and the carry. */
static void write_sum(struct text *out, const long *number, int n)
{
    long carry = 0, left = 1;
    for (long place = 1; left; place *= 10) {
        long sum = carry;
        int written = 0;
        left = 0;
        for (int i = 0; i < n; i++) {
            if (number[i] < place && place > 1) continue;
            long digit = number[i] / place % 10;
            text_add(out, written++ ? "+%ld" : "%ld", digit);
            sum += digit;
            if (number[i] / place >= 10) left = 1;
        }
        if (carry) text_add(out, "+%ld", carry);
        text_add(out, left ? "=%ld;" : "=%ld", sum);
        carry = sum / 10;
    }
}

static void write_difference(struct text *out, long a, long b)
{
    long borrow = 0;
    for (; a; a /= 10, b /= 10) {
        long digit = a % 10, less = b % 10 + borrow, ten = digit < less ? 10 : 0;
        text_add(out, borrow ? "%ld-%ld-1=%ld" : "%ld-%ld=%ld", digit + ten, b % 10,
                 digit + ten - less);
        if (a >= 10) text_add(out, ";");
        borrow = ten / 10;
    }
}

static void write_digit_product(struct text *out, long a, long digit)
{
    long carry = 0;
    for (; a; a /= 10) {
        long value = a % 10 * digit + carry;
        text_add(out, carry ? "%ld*%ld+%ld=%ld" : "%ld*%ld=%ld", a % 10, digit,
                 carry ? carry : value, value);
        if (a >= 10) text_add(out, ";");
        carry = value / 10;
    }
}

/* A row a digit of b that is not 0, written out with its zeros, then their sum. */
static void write_product(struct text *out, long a, long b)
{
    long row[20];
    int n = 0;
    if (b < 10) {
        write_digit_product(out, a, b);
        return;
    }
    for (long place = 1; place <= b; place *= 10) {
        long digit = b / place % 10;
        if (digit == 0) continue;
        if (n) text_add(out, ";");
        write_digit_product(out, a, digit);
        row[n] = a * digit * place;
        text_add(out, ";%ld", row[n++]);
    }
    if (n > 1) {
        text_add(out, ";");
        write_sum(out, row, n);
    }
}

/* a op b digit by digit as if there were no carries. */
static long without_carries(long a, char op, long b)
{
    long value = 0;
    for (int i = 0; power10(i) <= a; i++) {
        long x = a / power10(i) % 10, y = b / power10(i) % 10;
        if (op != '*') value += (op == '+' ? x + y : 10 + x - y) % 10 * power10(i);
        for (int j = 0; op == '*' && power10(j) <= b; j++) {
            long was = value / power10(i + j) % 10, digit = b / power10(j) % 10;
            value += ((was + x * digit) % 10 - was) * power10(i + j);
        }
    }
    return value;
}

/* With chance give_up the demonstration forgets the carries and is wrong: reinforcement learning
 * has something to improve. */
static void arithmetic_demonstrate(struct text *out, const struct problem *p,
                                   const struct task_options *o, struct rng_stream *rng)
{
    long a = p->data[DATA_A], b = p->data[DATA_B];
    char op = (char)p->data[DATA_OP];
    if (rng_next_uniform(rng) < o->give_up) {
        text_add(out, "</think><answer>%ld</answer>", without_carries(a, op, b));
        return;
    }
    if (op == '+') write_sum(out, (long[]){a, b}, 2);
    if (op == '-') write_difference(out, a, b);
    if (op == '*') write_product(out, a, b);
    text_add(out, "</think><answer>%s</answer>", p->answer);
}

enum { PART_ARITHMETIC, PART_COPY };
static const char *const part_names[] = {"arithmetic", "copy", NULL};

/* The number that columns spell: below are the last digits of all but the latest one. */
struct columns {
    int64_t below, last;
    int n; /* columns so far; negative: no number can be made of them */
};

static void columns_add(struct columns *c, bool known, const struct expression *value)
{
    bool usable =
        known && value->value.den == 1 && value->value.num >= 0 && value->value.num < 1000;
    if (c->n < 0 || c->n > 15 || !usable) {
        c->n = -1;
        return;
    }
    if (c->n) c->below += c->last % 10 * power10(c->n - 1);
    c->last = value->value.num;
    c->n++;
}

/* Is it the number, with any zeros behind it that shift a row? */
static bool columns_spell(const struct columns *c, int64_t number, bool shifted)
{
    if (c->n <= 0) return false;
    int64_t spelt = c->last * power10(c->n - 1) + c->below;
    while (shifted && number > spelt && number % 10 == 0) number /= 10;
    return number == spelt;
}

static bool plain_read(struct expression *e, struct span s)
{
    return expression_read(e, s, EXPRESSION_PLAIN, (struct fraction){0, 1});
}

/* arithmetic: columns whose sides are equal; copy: rows, and the answer, that are what the columns
 * before them spell. Nothing is counted for an answer without working; nor is the unfinished end of
 * a cut completion. */
static void arithmetic_parts(const struct problem *p, const char *completion, size_t n, int right[],
                             int total[])
{
    (void)p;
    bool closed, after_row = false;
    struct span whole = {completion, n}, rest = completion_reasoning(whole, &closed);
    struct columns c = {0};
    struct expression left, value = {.value = {0, 1}};
    bool worked = rest.n > 0;
    while (rest.n) {
        struct span side = span_take(&rest, ';'), head = span_take(&side, '=');
        if (!rest.n && !closed) return;
        bool row = side.n == 0;
        bool known_left = plain_read(&left, head), known = plain_read(&value, row ? head : side);
        int part = row ? PART_COPY : PART_ARITHMETIC;
        if (!row && after_row) c = (struct columns){0};
        if (!row) columns_add(&c, known, &value);
        total[part]++;
        right[part] += known && known_left &&
                       (row ? columns_spell(&c, value.value.num, true)
                            : fraction_equal(left.value, value.value));
        after_row = row;
    }
    struct span answer = completion_answer(whole);
    if (!answer.at || !worked) return;
    struct expression given;
    bool known = plain_read(&given, answer) && given.n == 1;
    total[PART_COPY]++;
    right[PART_COPY] += known && (after_row ? fraction_equal(given.value, value.value)
                                            : columns_spell(&c, given.value.num, false));
}

const struct task task_arithmetic = {
    .name = "arithmetic",
    .help = "difficulty: number of digits (1 to 10); the second factor of a product has 1 digit up "
            "to difficulty 3, from 4 on half as many",
    .least_difficulty = 1,
    .most_difficulty = 10,
    .make = arithmetic_make,
    .verify = arithmetic_verify,
    .demonstrate = arithmetic_demonstrate,
    .part_names = part_names,
    .parts = arithmetic_parts,
};

const struct task task_arithmetic_words = {
    .name = "arithmetic_words",
    .help = "difficulty: as in arithmetic, asked in words: What is 47 + 85?",
    .least_difficulty = 1,
    .most_difficulty = 10,
    .make = words_make,
    .verify = arithmetic_verify,
    .demonstrate = arithmetic_demonstrate,
    .part_names = part_names,
    .parts = arithmetic_parts,
};
