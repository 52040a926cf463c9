#include "trainer/reward/math/compare.h"
#include "trainer/reward/math/fold.h"
#include "trainer/reward/math/lex.h"

static bool is_relation(const struct node *n)
{
    return n->kind == NODE_RELATION || n->kind == NODE_CHAIN;
}

static bool is_interval(const struct node *n)
{
    bool all = n->kind == NODE_CONSTANT && (n->op == CONSTANT_REALS || n->op == CONSTANT_EMPTY);
    return all || n->kind == NODE_UNION || n->kind == NODE_WITHOUT;
}

static enum same any_same(struct math_work *w, int g, int a);

/* --- items --- */

static enum same in_order(struct math_work *w, const struct node *g, const struct node *a)
{
    enum same all = SAME_YES;
    if (g->n != a->n) return SAME_NO;
    for (int k = 0, i = g->a, j = a->a; k < g->n; k++, i = w->node[i].next, j = w->node[j].next) {
        enum same one = any_same(w, i, j);
        if (one == SAME_NO) return SAME_NO;
        if (one == SAME_UNKNOWN) all = SAME_UNKNOWN;
    }
    return all;
}

/* C7: as multisets. Each expected item takes the first that matches: equal values are equal to the
 * same others. */
static enum same any_order(struct math_work *w, const struct node *g, const struct node *a)
{
    uint8_t taken[MATH_ANSWER] = {0};
    enum same all = SAME_YES;
    if (g->n != a->n || a->n > MATH_ANSWER) return SAME_NO;
    for (int k = 0, i = g->a; k < g->n; k++, i = w->node[i].next) {
        enum same best = SAME_NO;
        for (int m = 0, j = a->a; m < a->n && best != SAME_YES; m++, j = w->node[j].next) {
            if (taken[m]) continue;
            enum same one = any_same(w, i, j);
            if (one == SAME_YES) taken[m] = 1;
            if (one != SAME_NO) best = one;
        }
        if (best == SAME_NO) return SAME_NO;
        if (best == SAME_UNKNOWN) all = SAME_UNKNOWN;
    }
    return all;
}

/* "x=1, y=2" against "1, 2": names that differ say the order. */
static bool is_ordered(struct math_work *w, const struct node *g, const struct node *a)
{
    bool differ = false;
    int first = -1; /* the name before */
    for (int k = 0, i = g->a; k < g->n; k++, i = w->node[i].next) {
        const struct node *n = &w->node[i];
        if (n->kind != NODE_RELATION || w->node[n->a].kind != NODE_NAME) return false;
        if (first >= 0 && w->node[n->a].op != first) differ = true;
        first = w->node[n->a].op;
    }
    for (int k = 0, i = a->a; k < a->n; k++, i = w->node[i].next)
        if (is_relation(&w->node[i])) return false;
    return differ;
}

static enum same tuples(struct math_work *w, int g, int a)
{
    const struct node *x = &w->node[g], *y = &w->node[a];
    if (is_interval(y)) return math_same_intervals(w, g, a);
    if (y->kind == NODE_LIST && x->closed == 0) return in_order(w, x, y);
    if (y->kind != NODE_TUPLE || (x->n == 2 && x->closed != y->closed)) return SAME_NO;
    return in_order(w, x, y);
}

static enum same sets(struct math_work *w, int g, int a)
{
    const struct node *x = &w->node[g], *y = &w->node[a];
    bool bare = x->kind == NODE_LIST;
    bool in_turn = !is_relation(&w->node[x->a]) || is_ordered(w, x, y);
    if (y->kind == NODE_TUPLE && bare && y->closed == 0 && in_turn) return in_order(w, x, y);
    if (y->kind == NODE_TUPLE || is_interval(y)) return math_same_intervals(w, g, a);
    if (y->kind != NODE_SET && y->kind != NODE_LIST) return SAME_NO;
    return bare && is_ordered(w, x, y) ? in_order(w, x, y) : any_order(w, x, y);
}

/* --- units --- */

/* A unit that only one of them has says nothing; two of one dimension are converted. */
static enum same units(struct math_work *w, int g, int a)
{
    struct node x = w->node[g], y = w->node[a];
    int expected = x.kind == NODE_UNIT ? x.a : g, answer = y.kind == NODE_UNIT ? y.a : a;
    bool both = x.kind == NODE_UNIT && y.kind == NODE_UNIT && x.op && y.op;
    if (both && x.op != y.op) return SAME_NO;
    if (!both || fmpq_equal(&w->value[x.value], &w->value[y.value]))
        return any_same(w, expected, answer);
    int of_x = math_node(w, NODE_NUMBER, 0, 0), of_y = math_node(w, NODE_NUMBER, 0, 0);
    if (!of_y) return SAME_UNKNOWN;
    w->node[of_x].value = x.value;
    w->node[of_y].value = y.value;
    expected = math_node(w, NODE_MULTIPLY, expected, of_x);
    answer = math_node(w, NODE_MULTIPLY, answer, of_y);
    return expected && answer ? math_same(w, expected, answer) : SAME_UNKNOWN;
}

/* --- relations --- */

static enum same with_relation(struct math_work *w, int g, int a)
{
    const struct node *x = &w->node[g], *y = &w->node[a];
    if (is_relation(x) && is_relation(y)) return math_same_relations(w, g, a);
    if (is_relation(y)) {
        int value = math_assigned(w, a);
        return value ? any_same(w, g, value) : SAME_NO;
    }
    int value = math_assigned(w, g);
    if (value) return any_same(w, value, a);
    bool equation = x->kind == NODE_RELATION && x->op == RELATION_EQUAL;
    enum same same = equation ? SAME_NO : math_same_intervals(w, g, a);
    return same == SAME_UNKNOWN && math_step(w, 0) ? SAME_NO : same;
}

/* A set of one is what is in it. */
static int alone(const struct math_work *w, int node)
{
    const struct node *n = &w->node[node];
    return n->kind == NODE_SET && n->n == 1 ? n->a : node;
}

/* By the kind of the expected answer; relations first, for they may say any kind. */
static enum same any_same(struct math_work *w, int g, int a)
{
    if (!g || !a || !math_step(w, 1)) return SAME_UNKNOWN;
    g = alone(w, g);
    a = alone(w, a);
    const struct node *x = &w->node[g], *y = &w->node[a];
    if (is_relation(x) || (is_relation(y) && x->kind != NODE_LIST)) return with_relation(w, g, a);
    if (x->kind == NODE_UNIT || y->kind == NODE_UNIT) return units(w, g, a);
    if (x->kind == NODE_TUPLE) return tuples(w, g, a);
    if (x->kind == NODE_SET || x->kind == NODE_LIST) return sets(w, g, a);
    if (is_interval(x)) return math_same_intervals(w, g, a);
    if (x->kind == NODE_MATRIX)
        return y->kind == NODE_MATRIX && x->op == y->op ? in_order(w, x, y) : SAME_NO;
    if (math_is_list(y) || y->kind == NODE_WITHOUT) return SAME_NO;
    return math_same(w, g, a);
}

static int matches(struct math_work *w, int expected, int answer)
{
    return (int)any_same(w, expected, answer);
}

enum same math_matches(struct math_work *w, int expected, int answer)
{
    w->matches = matches;
    return any_same(w, expected, answer);
}
