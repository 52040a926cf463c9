/* Sets of real numbers as intervals: C8, C9. */
#include "trainer/reward/math/compare.h"
#include "trainer/reward/math/fold.h"
#include "trainer/reward/math/lex.h"

enum { MOST_INTERVALS = 32 };
struct intervals {
    struct interval {
        int low, high; /* nodes */
        int closed;    /* bits 1 (low), 2 (high) */
    } at[MOST_INTERVALS];
    int n;
    bool bad; /* it is no set of intervals, or one of too many */
};

static void add(struct intervals *s, int low, int high, int closed)
{
    if (s->n == MOST_INTERVALS || !low || !high)
        s->bad = true;
    else
        s->at[s->n++] = (struct interval){low, high, closed};
}

static int infinite(struct math_work *w, bool minus)
{
    int node = math_node(w, NODE_CONSTANT, 0, 0);
    if (node) w->node[node].op = CONSTANT_INFINITY;
    return minus ? math_node(w, NODE_NEGATE, node, 0) : node;
}

/* name op value, as name on the left. */
static void add_relation(struct math_work *w, struct intervals *s, const struct node *n)
{
    static const int turned[] = {[RELATION_LESS] = RELATION_MORE,
                                 [RELATION_MORE] = RELATION_LESS,
                                 [RELATION_AT_MOST] = RELATION_AT_LEAST,
                                 [RELATION_AT_LEAST] = RELATION_AT_MOST,
                                 [RELATION_OTHER] = RELATION_OTHER,
                                 [RELATION_EQUAL] = RELATION_EQUAL,
                                 [RELATION_IN] = RELATION_IN,
                                 [RELATION_ABOUT] = RELATION_ABOUT};
    bool right = w->node[n->a].kind != NODE_NAME;
    int name = right ? n->b : n->a, value = right ? n->a : n->b, op = right ? turned[n->op] : n->op;
    if (w->node[name].kind != NODE_NAME) s->bad = true;
    switch (op) {
    case RELATION_LESS: add(s, infinite(w, true), value, 0); break;
    case RELATION_AT_MOST: add(s, infinite(w, true), value, 2); break;
    case RELATION_MORE: add(s, value, infinite(w, false), 0); break;
    case RELATION_AT_LEAST: add(s, value, infinite(w, false), 1); break;
    case RELATION_EQUAL: add(s, value, value, 3); break;
    case RELATION_OTHER:
        add(s, infinite(w, true), value, 0);
        add(s, value, infinite(w, false), 0);
        break;
    default: s->bad = true;
    }
}

/* a < x <= b, or the other way round. */
static void add_chain(struct math_work *w, struct intervals *s, const struct node *chain)
{
    const struct node *first = &w->node[chain->a], *second = &w->node[first->next];
    bool up = first->op == RELATION_LESS || first->op == RELATION_AT_MOST;
    bool down = first->op == RELATION_MORE || first->op == RELATION_AT_LEAST;
    bool up_too = second->op == RELATION_LESS || second->op == RELATION_AT_MOST;
    bool down_too = second->op == RELATION_MORE || second->op == RELATION_AT_LEAST;
    bool left = first->op == RELATION_AT_MOST || first->op == RELATION_AT_LEAST;
    bool right = second->op == RELATION_AT_MOST || second->op == RELATION_AT_LEAST;
    if (chain->n != 2 || !math_is_name(w, first->b) || (up && !up_too) || (down && !down_too) ||
        (!up && !down))
        s->bad = true;
    else if (up)
        add(s, first->a, second->b, left | right << 1);
    else
        add(s, second->b, first->a, right | left << 1);
}

static int compare_nodes(struct math_work *w, int a, int b, bool *exact)
{
    fmpq_t x, y;
    fmpq_init(x);
    fmpq_init(y);
    *exact = math_exact(w, a, x) && math_exact(w, b, y);
    int order = *exact ? fmpq_cmp(x, y) : 0;
    fmpq_clear(x);
    fmpq_clear(y);
    return order;
}

/* All numbers without some: cut where these are, in order. */
static void cut_out(struct math_work *w, struct intervals *s, const struct node *points)
{
    int sorted[MOST_INTERVALS], n = 0;
    bool all = s->n == 1 && points->kind == NODE_SET && points->n < MOST_INTERVALS && !s->bad;
    for (int k = 0, i = points->a; all && k < points->n; k++, i = w->node[i].next) {
        int at = n++;
        while (all && at > 0 && compare_nodes(w, sorted[at - 1], i, &all) > 0) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = i;
    }
    if (!all) {
        s->bad = true;
        return;
    }
    struct interval whole = s->at[0];
    s->n = 0;
    for (int k = 0; k <= n; k++)
        add(s, k ? sorted[k - 1] : whole.low, k < n ? sorted[k] : whole.high, 0);
}

/* What intervals a tree says; relations: where they may. */
static void read(struct math_work *w, struct intervals *s, int node, bool relations)
{
    const struct node *n = &w->node[node];
    bool relation = n->kind == NODE_RELATION || n->kind == NODE_CHAIN || n->kind == NODE_LIST;
    if (!math_step(w, 1) || (relation && !relations)) s->bad = true;
    if (s->bad) return;
    switch (n->kind) {
    case NODE_TUPLE:
        if (n->n != 2) s->bad = true;
        add(s, n->a, n->b, n->closed);
        break;
    case NODE_CONSTANT:
        if (n->op == CONSTANT_REALS) add(s, infinite(w, true), infinite(w, false), 0);
        s->bad |= n->op != CONSTANT_REALS && n->op != CONSTANT_EMPTY;
        break;
    case NODE_SET:
        for (int k = 0, i = n->a; k < n->n; k++, i = w->node[i].next) add(s, i, i, 3);
        break;
    case NODE_LIST:
        if (n->op == '&') s->bad = true;
        /* fallthrough */
    case NODE_UNION:
        for (int k = 0, i = n->a; k < n->n; k++, i = w->node[i].next) read(w, s, i, relations);
        break;
    case NODE_RELATION: add_relation(w, s, n); break;
    case NODE_CHAIN: add_chain(w, s, n); break;
    case NODE_WITHOUT:
        read(w, s, n->a, relations);
        cut_out(w, s, &w->node[n->b]);
        break;
    default: s->bad = true;
    }
}

static enum same same_interval(struct math_work *w, const struct interval *g,
                               const struct interval *a)
{
    if (g->closed != a->closed) return SAME_NO;
    enum same low = (enum same)w->matches(w, g->low, a->low);
    if (low != SAME_YES) return low;
    return (enum same)w->matches(w, g->high, a->high);
}

/* Each expected interval takes one of the answer's: their order says nothing. */
enum same math_same_intervals(struct math_work *w, int g, int a)
{
    struct intervals x = {.n = 0}, y = {.n = 0};
    bool taken[MOST_INTERVALS] = {false};
    int kind = w->node[a].kind;
    bool relation = kind == NODE_RELATION || kind == NODE_CHAIN;
    int of = w->node[g].kind;
    read(w, &x, g, true);
    read(w, &y, a, relation && (of == NODE_RELATION || of == NODE_CHAIN));
    if (x.bad) return SAME_UNKNOWN;
    if (y.bad || x.n != y.n) return SAME_NO;
    for (int i = 0; i < x.n; i++) {
        enum same best = SAME_NO;
        for (int j = 0; j < y.n && best != SAME_YES; j++) {
            if (taken[j]) continue;
            enum same one = same_interval(w, &x.at[i], &y.at[j]);
            if (one == SAME_YES) taken[j] = true;
            if (one != SAME_NO) best = one;
        }
        if (best != SAME_YES) return best;
    }
    return SAME_YES;
}
