/* Equations, inequalities, assignments: C9-C11, N12. */
#include "trainer/reward/math/compare.h"
#include "trainer/reward/math/evaluate.h"
#include "trainer/reward/math/lex.h"

/* --- assignments --- */

/* The last of a chain of equal values; values that are numbers must be equal. */
static int chain_value(struct math_work *w, const struct node *chain)
{
    int last = 0;
    for (int k = 0, i = chain->a; k < chain->n; k++, i = w->node[i].next) {
        if (w->node[i].op != RELATION_EQUAL) return 0;
        last = w->node[i].b;
    }
    for (int k = 0, i = chain->a; k < chain->n; k++, i = w->node[i].next) {
        int left = w->node[i].a;
        bool number = !math_is_name(w, left) && !math_has_names(w, left);
        if (number && w->matches(w, left, last) != SAME_YES) return 0;
    }
    return last;
}

int math_assigned(struct math_work *w, int node)
{
    const struct node *n = &w->node[node];
    if (n->kind == NODE_CHAIN) return chain_value(w, n);
    if (n->kind != NODE_RELATION || n->op != RELATION_EQUAL) return 0;
    if (math_is_name(w, n->a)) return n->b;
    bool numbers = !math_has_names(w, n->a) && !math_has_names(w, n->b);
    if (math_is_name(w, n->b)) return n->a;
    return numbers && w->matches(w, n->a, n->b) == SAME_YES ? n->b : 0;
}

/* --- relations --- */

/* The same name on the left, f(x) included. */
static bool same_name(struct math_work *w, int g, int a)
{
    const struct node *x = &w->node[g], *y = &w->node[a];
    if (!math_is_name(w, g) || !math_is_name(w, a) || x->kind != y->kind) return false;
    if (x->kind == NODE_NAME || x->kind == NODE_TEXT) return x->op == y->op;
    if (x->kind == NODE_MULTIPLY) return same_name(w, x->a, y->a) && same_name(w, x->b, y->b);
    for (int k = 0, i = x->a, j = y->a; k < x->n; k++, i = w->node[i].next, j = w->node[j].next)
        if (x->n != y->n || w->node[i].op != w->node[j].op) return false;
    return true;
}

/* a > b is b - a < 0: the difference that is negative, and whether it may be zero. */
static int difference(struct math_work *w, const struct node *n, int *op)
{
    bool turned = n->op == RELATION_MORE || n->op == RELATION_AT_LEAST;
    *op = n->op == RELATION_MORE       ? RELATION_LESS
          : n->op == RELATION_AT_LEAST ? RELATION_AT_MOST
                                       : n->op;
    int left = turned ? n->b : n->a, right = turned ? n->a : n->b;
    return math_node(w, NODE_SUBTRACT, left, right);
}

/* C10: the same kind, and one side's difference a multiple of the other's. */
static enum same proportional(struct math_work *w, int g, int a)
{
    struct node x = w->node[g], y = w->node[a];
    int of_x, of_y, sign = 1;
    int f = difference(w, &x, &of_x), h = difference(w, &y, &of_y);
    if (of_x != of_y) return SAME_NO;
    if (!f || !h) return SAME_UNKNOWN;
    enum same same = math_proportional(w, f, h, &sign);
    bool directed = of_x == RELATION_LESS || of_x == RELATION_AT_MOST;
    return same == SAME_YES && directed && sign < 0 ? SAME_NO : same;
}

static enum same equations(struct math_work *w, int g, int a)
{
    const struct node *x = &w->node[g], *y = &w->node[a];
    if (x->op == RELATION_EQUAL && y->op == RELATION_EQUAL && same_name(w, x->a, y->a))
        return (enum same)w->matches(w, x->b, y->b);
    enum same same = proportional(w, g, a);
    return same == SAME_UNKNOWN && math_step(w, 0) ? SAME_NO : same;
}

/* x = 1/2 = 0.5 is x = 0.5. */
static int shortened(struct math_work *w, int node)
{
    const struct node *n = &w->node[node];
    if (n->kind != NODE_CHAIN || !math_is_name(w, w->node[n->a].a)) return node;
    int value = chain_value(w, n), left = w->node[n->a].a;
    int relation = value ? math_node(w, NODE_RELATION, left, value) : 0;
    return relation ? relation : node;
}

/* The only variable of a tree; -1: none, or several. */
static int only_name(struct math_work *w, int node)
{
    int name = -1;
    for (int i = 0; i < w->names; i++) {
        if (!math_has(w, node, NODE_NAME, i)) continue;
        if (name >= 0) return -1;
        name = i;
    }
    return name;
}

/* Relations of one variable are sets of numbers; others are compared link by link. */
enum same math_same_relations(struct math_work *w, int g, int a)
{
    g = shortened(w, g);
    a = shortened(w, a);
    const struct node *x = &w->node[g], *y = &w->node[a];
    if (x->kind == NODE_RELATION && y->kind == NODE_RELATION) return equations(w, g, a);
    int name = only_name(w, g);
    if (name < 0 || name != only_name(w, a)) {
        if (x->kind != y->kind || x->n != y->n) return SAME_NO;
        for (int k = 0, i = x->a, j = y->a; k < x->n;
             k++, i = w->node[i].next, j = w->node[j].next) {
            enum same one = equations(w, i, j);
            if (one != SAME_YES) return one;
        }
        return SAME_YES;
    }
    enum same same = math_same_intervals(w, g, a);
    return same == SAME_UNKNOWN && math_step(w, 0) ? SAME_NO : same;
}
