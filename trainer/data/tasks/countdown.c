/* Countdown: make the target from the given numbers, each used exactly once.
 *
 *   prompt          8,6,2:32
 *   demonstration   8+6-2=14-2=12:32n;(6-2)*8=4*8=32:32y</think><answer>(6-2)*8</answer>
 *   given up        8+6-2=14-2=12:32n;8*6-2=48-2=46:32n</think><answer>?</answer>
 *
 * The solver of the demonstrations tries expressions, none twice: with up to three numbers it walks
 * round a fixed order of all of them from a random place, so that what comes next follows from what
 * was tried last, which a small model can learn; with more numbers, of which there are thousands of
 * expressions, it draws them. An attempt is written in the answer's own form, then evaluated step
 * by step, then the target stands again beside the value, then the verdict: a small model learns
 * verdict and copy only when what it must compare stands side by side. After each failed try the
 * solver gives up with some probability; so a policy that imitates it has the right form and
 * searches too little.
 *
 * Expressions are kept in a normal form (sums and products flattened and sorted, compound parts
 * first), so that trying 6+8 after 8+6 counts as trying twice. Values are whole and positive at
 * every step; nothing is lost by that: a solution with a negative part has an equal one without. */
#include <stdio.h>
#include <string.h>
#include "comm/base/die.h"
#include "trainer/data/completion.h"
#include "trainer/data/task.h"
#include "trainer/data/tasks/expression.h"

enum { NUMBERS = 6, NODES = 2 * NUMBERS, NODE_TEXT = 48, TRIES = 256 };

/* By count of numbers: the largest number, the largest target, whether / is tried, and how often a
 * try is the known solution: with four and more numbers a blind search would show next to no solved
 * problem. */
static const struct {
    long number, target;
    bool divide;
    double luck;
} levels[NUMBERS + 1] = {
    [2] = {9, 60, false, 0},     [3] = {9, 60, false, 0},      [4] = {12, 100, true, 0.08},
    [5] = {25, 300, true, 0.08}, [6] = {50, 1000, true, 0.08},
};

/* problem.data */
enum { DATA_N, DATA_TARGET, DATA_NUMBERS };

enum tree_kind { LEAF, SUM, PRODUCT };

struct tree_node;
struct expression_part {
    const struct tree_node *node;
    bool inverse; /* subtracted, or divided by */
};

/* An expression in normal form. Parts of a sum are leaves and products, of a product leaves and
 * sums. */
struct tree_node {
    enum tree_kind kind;
    long value;
    int n;
    struct expression_part part[NUMBERS];
    char text[NODE_TEXT];
};

static void node_add_part(struct tree_node *into, const struct tree_node *part, bool inverse)
{
    if (part->kind == into->kind) {
        for (int i = 0; i < part->n; i++)
            node_add_part(into, part->part[i].node, part->part[i].inverse ^ inverse);
        return;
    }
    into->part[into->n++] = (struct expression_part){part, inverse};
}

/* Order of the parts: inverse ones last, compound before leaves, larger first, then by text. */
static bool part_before(struct expression_part a, struct expression_part b)
{
    const struct tree_node *p = a.node, *q = b.node;
    if (a.inverse != b.inverse) return b.inverse;
    if ((p->kind == LEAF) != (q->kind == LEAF)) return q->kind == LEAF;
    if (p->value != q->value) return p->value > q->value;
    return strcmp(p->text, q->text) < 0;
}

static void node_sort(struct tree_node *x)
{
    for (int i = 1; i < x->n; i++)
        for (int j = i; j > 0 && part_before(x->part[j], x->part[j - 1]); j--) {
            struct expression_part hold = x->part[j];
            x->part[j] = x->part[j - 1];
            x->part[j - 1] = hold;
        }
}

/* Without superfluous brackets, so that an expression has one text. */
static void node_write(struct tree_node *x)
{
    struct text t = {x->text, 0, sizeof x->text, false};
    for (int i = 0; i < x->n; i++) {
        const struct tree_node *p = x->part[i].node;
        bool brackets = x->kind == PRODUCT && p->kind == SUM;
        const char *op =
            x->kind == SUM ? (x->part[i].inverse ? "-" : "+") : (x->part[i].inverse ? "/" : "*");
        text_add(&t, brackets ? "%s(%s)" : "%s%s", i ? op : "", p->text);
    }
    INVARIANT(!t.cut, "%d bytes are too few for %s...", NODE_TEXT, x->text);
}

/* out = a op b, with the larger first for -; false when the value would not be whole and positive.
 */
static bool node_combine(struct tree_node *out, char op, const struct tree_node *a,
                         const struct tree_node *b)
{
    if (op == '-' && a->value < b->value) {
        const struct tree_node *hold = a;
        a = b;
        b = hold;
    }
    *out = (struct tree_node){.kind = op == '+' || op == '-' ? SUM : PRODUCT};
    switch (op) {
    case '+': out->value = a->value + b->value; break;
    case '-': out->value = a->value - b->value; break;
    case '*': out->value = a->value * b->value; break;
    default: out->value = a->value % b->value == 0 ? a->value / b->value : 0;
    }
    if (out->value < 1 || out->value > 99999 || (op == '/' && b->value == 1)) return false;
    node_add_part(out, a, false);
    node_add_part(out, b, op == '-' || op == '/');
    node_sort(out);
    node_write(out);
    return true;
}

/* A random expression of all n numbers: two of the parts are joined until one is left. NULL: a join
 * was no good. */
static const struct tree_node *random_expression(struct tree_node pool[NODES], const long *number,
                                                 int n, struct rng_stream *rng)
{
    const struct tree_node *part[NUMBERS] = {NULL};
    int used = 0;
    for (int i = 0; i < n; i++) {
        struct tree_node *leaf = &pool[used++];
        *leaf = (struct tree_node){.kind = LEAF, .value = number[i]};
        snprintf(leaf->text, sizeof leaf->text, "%ld", number[i]);
        part[i] = leaf;
    }
    uint32_t ops = levels[n].divide ? 4 : 3;
    for (int left = n; left > 1; left--) {
        int i = (int)rng_next_below(rng, (uint32_t)left);
        int j = (int)rng_next_below(rng, (uint32_t)left - 1);
        if (j >= i) j++;
        char op = "+-*/"[rng_next_below(rng, ops)];
        if (!node_combine(&pool[used], op, part[i], part[j])) return NULL;
        part[i] = &pool[used++];
        part[j] = part[left - 1];
    }
    return part[0];
}

static void sort_descending(long *v, int n)
{
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && v[j] > v[j - 1]; j--) {
            long hold = v[j];
            v[j] = v[j - 1];
            v[j - 1] = hold;
        }
}

/* One draw: numbers, and the value of a random expression as the target. */
static bool problem_draw(struct problem *p, int n, struct rng_stream *rng)
{
    struct tree_node pool[NODES];
    long *number = p->data + DATA_NUMBERS;
    *p = (struct problem){.data[DATA_N] = n, .record = -1};
    for (int i = 0; i < n; i++)
        number[i] = 1 + (long)rng_next_below(rng, (uint32_t)levels[n].number);
    sort_descending(number, n);
    const struct tree_node *solution = random_expression(pool, number, n, rng);
    if (!solution || solution->value > levels[n].target) return false;
    p->data[DATA_TARGET] = solution->value;
    snprintf(p->own_answer, sizeof p->own_answer, "%s", solution->text);
    p->prompt = p->own_prompt;
    p->answer = p->own_answer;
    struct text t = {p->own_prompt, 0, sizeof p->own_prompt, false};
    for (int i = 0; i < n; i++) text_add(&t, i ? ",%ld" : "%ld", number[i]);
    text_add(&t, ":%ld", solution->value);
    return true;
}

static void countdown_make(struct problem *out, const struct task_options *o, enum split split,
                           uint32_t index)
{
    struct rng_stream rng = problem_draws(o, split, index);
    while (!problem_draw(out, o->difficulty, &rng) || problem_split(out->prompt) != split) {
    }
}

/* Are the numbers exactly the given ones, each once? */
static enum reason judge_numbers(const struct problem *p, const struct expression *e)
{
    long n = p->data[DATA_N];
    bool taken[NUMBERS] = {false};
    for (int i = 0; i < e->n; i++) {
        int j = 0;
        while (j < n && (taken[j] || p->data[DATA_NUMBERS + j] != e->number[i])) j++;
        if (j == n) return REASON_OTHER_NUMBER;
        taken[j] = true;
    }
    return e->n < n ? REASON_NUMBER_LEFT : REASON_RIGHT;
}

static bool plain_read(struct expression *e, struct span s)
{
    return expression_read(e, s, EXPRESSION_PLAIN, (struct fraction){0, 1});
}

/* What is read of an expression is its value: all that solve the problem are one answer to a
 * majority vote, and so are those of the given numbers that give the same wrong value. */
static enum reason countdown_verify(const struct problem *p, struct span answer, struct text *read)
{
    struct expression e;
    bool known = plain_read(&e, answer);
    if (known)
        fraction_write(read, e.value);
    else
        text_add_bytes(read, answer.at, answer.n);
    if (!known) return span_is(answer, "?") ? REASON_GIVEN_UP : REASON_NOT_AN_EXPRESSION;
    enum reason numbers = judge_numbers(p, &e);
    bool equal = fraction_equal(e.value, (struct fraction){p->data[DATA_TARGET], 1});
    return numbers != REASON_RIGHT ? numbers : equal ? REASON_RIGHT : REASON_WRONG_VALUE;
}

/* --- the solver: what it tries next --- */

enum { ORDERED = 3, LISTED = 32 }; /* up to 3 numbers there are at most 27 expressions */

/* All distinct expressions of up to ORDERED numbers, in the order in which their joins are listed.
 */
struct countdown_walk {
    char text[LISTED][NODE_TEXT];
    int n, start, done;
};

static void walk_add(struct countdown_walk *w, const char *text)
{
    for (int i = 0; i < w->n; i++)
        if (strcmp(w->text[i], text) == 0) return;
    INVARIANT(w->n < LISTED, "%d expressions", w->n);
    snprintf(w->text[w->n++], NODE_TEXT, "%s", text);
}

/* Every way to join `left` parts into one: each pair, each operator, then the rest. pool: nodes not
 * yet used. */
static void walk_list(struct countdown_walk *w, const struct tree_node *const part[], int left,
                      struct tree_node *pool)
{
    if (left == 1) {
        walk_add(w, part[0]->text);
        return;
    }
    for (int i = 0; i < left; i++)
        for (int j = i + 1; j < left; j++)
            for (const char *op = "+-*"; *op; op++) {
                const struct tree_node *rest[ORDERED] = {pool};
                int n = 1;
                if (!node_combine(pool, *op, part[i], part[j])) continue;
                for (int k = 0; k < left; k++)
                    if (k != i && k != j) rest[n++] = part[k];
                walk_list(w, rest, n, pool + 1);
            }
}

/* The walk over all expressions begins at a random one: demonstrations of a problem differ. */
static void walk_start(struct countdown_walk *w, const struct problem *p, struct rng_stream *rng)
{
    struct tree_node pool[NODES];
    const struct tree_node *part[ORDERED];
    int n = (int)p->data[DATA_N];
    *w = (struct countdown_walk){.n = 0};
    for (int i = 0; i < n; i++) {
        pool[i] = (struct tree_node){.kind = LEAF, .value = p->data[DATA_NUMBERS + i]};
        snprintf(pool[i].text, sizeof pool[i].text, "%ld", p->data[DATA_NUMBERS + i]);
        part[i] = &pool[i];
    }
    walk_list(w, part, n, pool + n);
    w->start = (int)rng_next_below(rng, (uint32_t)w->n);
}

/* The texts tried so far, by hash. */
struct countdown_tried {
    uint64_t hash[TRIES];
    int n;
};

static bool tried_add(struct countdown_tried *t, const char *text)
{
    uint64_t h = problem_hash(text);
    for (int i = 0; i < t->n; i++)
        if (t->hash[i] == h) return false;
    t->hash[t->n++] = h;
    return true;
}

/* A new expression at random; false when none was found. */
static bool next_drawn(char out[NODE_TEXT], const struct problem *p, struct countdown_tried *tried,
                       struct rng_stream *rng)
{
    int n = (int)p->data[DATA_N];
    if (tried->n == TRIES) return false;
    if (rng_next_uniform(rng) < levels[n].luck) {
        snprintf(out, NODE_TEXT, "%.*s", NODE_TEXT - 1, p->answer);
        if (tried_add(tried, out)) return true;
    }
    for (int draws = 0; draws < 1000; draws++) {
        struct tree_node pool[NODES];
        const struct tree_node *e = random_expression(pool, p->data + DATA_NUMBERS, n, rng);
        if (!e || !tried_add(tried, e->text)) continue;
        snprintf(out, NODE_TEXT, "%s", e->text);
        return true;
    }
    return false;
}

struct solver {
    struct countdown_walk walk;   /* up to ORDERED numbers */
    struct countdown_tried tried; /* more */
};

static bool next_try(char out[NODE_TEXT], const struct problem *p, struct solver *s,
                     struct rng_stream *rng)
{
    struct countdown_walk *w = &s->walk;
    if (p->data[DATA_N] > ORDERED) return next_drawn(out, p, &s->tried, rng);
    if (w->done == 0) walk_start(w, p, rng);
    if (w->done == w->n) return false;
    snprintf(out, NODE_TEXT, "%s", w->text[(w->start + w->done++) % w->n]);
    return true;
}

/* Writes "(6-2)*8=4*8=32:32y"; true when it solves the problem. */
static bool attempt_write(struct text *out, const struct problem *p, const char *expression)
{
    char step[NODE_TEXT];
    snprintf(step, sizeof step, "%s", expression);
    text_add(out, "%s", step);
    while (expression_step(step, sizeof step, step)) text_add(out, "=%s", step);
    struct expression value;
    bool solved = plain_read(&value, (struct span){step, strlen(step)}) &&
                  value.value.num == p->data[DATA_TARGET];
    text_add(out, ":%ld%c", p->data[DATA_TARGET], solved ? 'y' : 'n');
    return solved;
}

/* Tries expressions until one solves it, patience ends, or it gives up: the habit that
 * reinforcement learning then corrects. */
static void countdown_demonstrate(struct text *out, const struct problem *p,
                                  const struct task_options *o, struct rng_stream *rng)
{
    /* Patience, in characters: 240 with three numbers, 16 tries or so. */
    size_t start = out->n, patience = 80 * (size_t)p->data[DATA_N];
    struct solver solver = {.walk.done = 0};
    char expression[NODE_TEXT];
    const char *answer = "?";
    while (next_try(expression, p, &solver, rng)) {
        if (out->n > start) text_add(out, ";");
        if (attempt_write(out, p, expression)) {
            answer = expression;
            break;
        }
        if (out->n - start > patience || rng_next_uniform(rng) < o->give_up) break;
    }
    text_add(out, "</think><answer>%s</answer>", answer);
}

enum { PART_ARITHMETIC, PART_VERDICT, PART_COPY, PART_NUMBERS };
static const char *const part_names[] = {"arithmetic", "verdict", "copy", "numbers", NULL};

static void part_count(int right[], int total[], int part, bool is_right)
{
    total[part]++;
    right[part] += is_right;
}

/* One attempt, "e=e=v:target" and y or n. Returns its expression when it ends in y, else at = NULL.
 */
static struct span attempt_parts(const struct problem *p, struct span attempt, int right[],
                                 int total[])
{
    char verdict = attempt.n ? attempt.at[attempt.n - 1] : '\0', target[24];
    struct span rest = {attempt.at, attempt.n - (attempt.n > 0)};
    struct span chain = span_take(&rest, ':'), first = {NULL, 0};
    struct expression now = {.value = {0, 1}}, before;
    bool known = false;
    for (bool head = true; head || chain.n; head = false) {
        struct span e = span_take(&chain, '=');
        before = now;
        bool known_before = known;
        known = expression_read(&now, e, EXPRESSION_SIGN, (struct fraction){0, 1});
        if (head) {
            first = e;
            bool own_numbers = known && judge_numbers(p, &now) == REASON_RIGHT;
            part_count(right, total, PART_NUMBERS, own_numbers);
        } else {
            bool equal = known && known_before && fraction_equal(now.value, before.value);
            part_count(right, total, PART_ARITHMETIC, equal);
        }
    }
    snprintf(target, sizeof target, "%ld", p->data[DATA_TARGET]);
    bool equal = known && fraction_equal(now.value, (struct fraction){p->data[DATA_TARGET], 1});
    bool judged = known && verdict == (equal ? 'y' : 'n');
    part_count(right, total, PART_VERDICT, judged && span_is(rest, target));
    return verdict == 'y' ? first : (struct span){NULL, 0};
}

/* arithmetic: steps whose sides are equal; verdict: attempts with the target restated and y or n as
 * the value says; copy: the answer is the last expression judged y, or "?" when there is none;
 * numbers: attempts of the given numbers, each once. The unfinished end of a completion that was
 * cut is not counted. */
static void countdown_parts(const struct problem *p, const char *completion, size_t n, int right[],
                            int total[])
{
    bool closed;
    struct span whole = {completion, n}, rest = completion_reasoning(whole, &closed);
    struct span copied = {"?", 1};
    while (rest.n) {
        struct span attempt = span_take(&rest, ';');
        if (!rest.n && !closed) return;
        struct span solved = attempt_parts(p, attempt, right, total);
        if (solved.at) copied = solved;
    }
    struct span answer = completion_answer(whole);
    if (!answer.at) return;
    bool same = answer.n == copied.n && memcmp(answer.at, copied.at, answer.n) == 0;
    if (!same || !span_is(answer, "?")) part_count(right, total, PART_COPY, same);
}

const struct task task_countdown = {
    .name = "countdown",
    .help = "difficulty: number of numbers (2 to 6); up to 3: single digits, targets up to 60, + - "
            "*; 4: numbers up to 12, targets up to 100; 5: 25 and 300; 6: 50 and 1000; from 4 on "
            "also exact division",
    .least_difficulty = 2,
    .most_difficulty = 6,
    .make = countdown_make,
    .verify = countdown_verify,
    .demonstrate = countdown_demonstrate,
    .part_names = part_names,
    .parts = countdown_parts,
};
