#include "trainer/reward/math/tree.h"
#include <string.h>
#include "trainer/reward/math/functions.h"

/* The tables stay as they are: only what is counted is read. */
void math_work_begin(struct math_work *w)
{
    w->nodes = 1;
    w->node[0] = (struct node){0};
    w->values = w->names = 0;
    w->steps = 0;
    w->full = w->imaginary = w->blurred = false;
}

void math_work_end(struct math_work *w)
{
    for (int i = 0; i < w->values; i++) fmpq_clear(&w->value[i]);
    w->values = 0;
}

bool math_step(struct math_work *w, long steps)
{
    w->steps += steps;
    return w->steps <= MATH_STEPS;
}

int math_node(struct math_work *w, int kind, int a, int b)
{
    if (w->nodes == MATH_NODES) {
        w->full = true;
        return 0;
    }
    w->node[w->nodes] = (struct node){.kind = (uint8_t)kind, .a = a, .b = b, .value = -1};
    return w->nodes++;
}

int math_value(struct math_work *w)
{
    if (w->values == MATH_VALUES) {
        w->full = true;
        return -1;
    }
    fmpq_init(&w->value[w->values]);
    return w->values++;
}

int math_number(struct math_work *w, long value)
{
    int v = math_value(w), n = v >= 0 ? math_node(w, NODE_NUMBER, 0, 0) : 0;
    if (!n) return 0;
    fmpq_set_si(&w->value[v], value, 1);
    w->node[n].value = v;
    return n;
}

/* Longer names are cut: they differ before that. */
int math_name(struct math_work *w, struct span name)
{
    char cut[MATH_NAME] = {0};
    memcpy(cut, name.at, name.n < sizeof cut ? name.n : sizeof cut - 1);
    for (int i = 0; i < w->names; i++)
        if (memcmp(w->name[i], cut, sizeof cut) == 0) return i;
    if (w->names == MATH_NAMES) {
        w->full = true;
        return 0;
    }
    memcpy(w->name[w->names], cut, sizeof cut);
    return w->names++;
}

void math_append(struct math_work *w, int list, int item)
{
    int *at = &w->node[list].a;
    if (!list || !item) return;
    if (w->node[list].n > 0) at = &w->node[w->node[list].b].next;
    *at = item;
    w->node[list].b = item; /* the last one */
    w->node[list].n++;
}

static bool all_names(const struct math_work *w, const struct node *list)
{
    int i = list->a;
    for (int k = 0; k < list->n; k++, i = w->node[i].next)
        if (w->node[i].kind != NODE_NAME) return false;
    return list->n > 0;
}

bool math_is_name(const struct math_work *w, int node)
{
    const struct node *n = &w->node[node];
    if (n->kind == NODE_NAME) return true;
    if (n->kind == NODE_TEXT) return !strchr(w->name[n->op], ' ');
    if (n->kind == NODE_TUPLE) return all_names(w, n);
    if (n->kind == NODE_CALL && n->op == FUNCTION_ABS) return math_is_name(w, n->a);
    if (n->kind == NODE_DIVIDE) return math_is_name(w, n->a) && math_is_name(w, n->b);
    if (n->kind != NODE_MULTIPLY || w->node[n->a].kind != NODE_NAME) return false;
    const struct node *argument = &w->node[n->b];
    return argument->kind == NODE_NAME || (argument->kind == NODE_TUPLE && all_names(w, argument));
}

bool math_has(struct math_work *w, int node, int kind, int op)
{
    const struct node *n = &w->node[node];
    if (!node || !math_step(w, 1)) return false;
    if (n->kind == kind && (op < 0 || n->op == op)) return true;
    if (math_is_list(n)) {
        int i = n->a;
        for (int k = 0; k < n->n; k++, i = w->node[i].next)
            if (math_has(w, i, kind, op)) return true;
        return false;
    }
    return math_has(w, n->a, kind, op) || math_has(w, n->b, kind, op);
}
