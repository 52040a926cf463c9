/* Answers as numbers for a majority vote: equal values, equal numbers. */
#include <string.h>
#include "comm/base/checksum.h"
#include "trainer/reward/math/evaluate.h"
#include "trainer/reward/math/extract.h"
#include "trainer/reward/math/fold.h"
#include "trainer/reward/math/lex.h"
#include "trainer/reward/math/math.h"
#include "trainer/reward/math/parse.h"

enum { VOTE_POINTS = 4, VOTE_BITS = 192, VOTE_DIGITS = 12 };

static uint64_t of_text(const char *s, uint64_t seed)
{
    return checksum(s, strlen(s), seed);
}

static uint64_t of_string(char *s, uint64_t seed)
{
    uint64_t sum = of_text(s, seed);
    flint_free(s);
    return sum;
}

static uint64_t of_ball(const acb_t x, uint64_t seed)
{
    const arb_struct *parts[] = {acb_realref(x), acb_imagref(x)};
    for (int i = 0; i < 2; i++)
        seed = arb_contains_zero(parts[i])
                   ? of_text("0", seed)
                   : of_string(arb_get_str(parts[i], VOTE_DIGITS, ARB_STR_NO_RADIUS), seed);
    return seed;
}

/* An expression by its exact value, or by its values at the first points where it has some. */
static uint64_t of_expression(struct math_work *w, int node)
{
    uint64_t sum = 1;
    fmpq_t exact;
    acb_t x;
    fmpq_init(exact);
    acb_init(x);
    bool names = math_has_names(w, node);
    if (!names && math_exact(w, node, exact))
        sum = of_string(fmpq_get_str(NULL, 10, exact), 2);
    else
        for (int i = 0, points = 0; i < MATH_POINTS && points < VOTE_POINTS; i++) {
            if (!math_evaluate(w, node, names ? i : -1, VOTE_BITS, x)) continue;
            sum = of_ball(x, sum + (uint64_t)i);
            points++;
        }
    fmpq_clear(exact);
    acb_clear(x);
    return sum;
}

static uint64_t of_node(struct math_work *w, int node);

/* In order, or in any order: sets are sums. */
static uint64_t of_items(struct math_work *w, const struct node *n, uint64_t seed)
{
    bool any = n->kind == NODE_SET || n->kind == NODE_LIST || n->kind == NODE_UNION;
    uint64_t sum = seed;
    for (int k = 0, i = n->a; k < n->n; k++, i = w->node[i].next) {
        uint64_t one = of_node(w, i);
        sum = any ? sum + one * 0x9e3779b97f4a7c15U : checksum(&one, sizeof one, sum);
    }
    return sum;
}

/* What compare.c takes for equal whatever is expected has one number. */
static uint64_t of_node(struct math_work *w, int node)
{
    const struct node *n = &w->node[node];
    if (!node || !math_step(w, 1)) return 3;
    switch (n->kind) {
    case NODE_TEXT: return of_text(w->name[n->op], 4);
    case NODE_CONSTANT:
        if (n->op == CONSTANT_PI || n->op == CONSTANT_E || n->op == CONSTANT_I)
            return of_expression(w, node);
        return 16 + (uint64_t)n->op;
    case NODE_UNIT: return of_node(w, n->a);
    case NODE_TUPLE: return of_items(w, n, 32 + n->closed);
    case NODE_SET:
    case NODE_LIST: return n->n == 1 ? of_node(w, n->a) : of_items(w, n, 5);
    case NODE_UNION:
    case NODE_MATRIX:
    case NODE_CHAIN: return of_items(w, n, 64 + n->kind);
    case NODE_RELATION:
        if (n->op == RELATION_EQUAL && math_is_name(w, n->a)) return of_node(w, n->b);
        return of_node(w, n->a) * 31 + of_node(w, n->b) + (uint64_t)n->op;
    case NODE_WITHOUT: return of_node(w, n->a) * 37 + of_node(w, n->b);
    case NODE_NEGATE:
        if (w->node[n->a].kind == NODE_CONSTANT) return ~of_node(w, n->a);
        /* fallthrough */
    default: return of_expression(w, node);
    }
}

/* What cannot be read is only equal to the same text. */
uint64_t math_vote(struct span answer)
{
    char bytes[MATH_ANSWER + 1];
    struct extracted e = {.text = {bytes, 0, sizeof bytes, false}};
    struct tokens t;
    struct math_work w;
    const char *trouble;
    bool two;
    if (math_expected(&e, answer)) return checksum(answer.at, answer.n, 7) | 1;
    if (math_lex(&t, (struct span){bytes, e.text.n})) return checksum(bytes, e.text.n, 8) | 1;
    math_work_begin(&w);
    for (int i = 0; i < t.n; i++)
        w.imaginary |= t.token[i].kind == TOKEN_LETTER && span_is(t.token[i].text, "i");
    int node = math_parse(&w, &t, 0, &trouble, &two);
    uint64_t vote = node ? of_node(&w, node) : of_text(t.text, 9);
    math_work_end(&w);
    return vote | 1;
}
