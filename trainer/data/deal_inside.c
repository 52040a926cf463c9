#include "trainer/data/deal_inside.h"

/* --- bins --- */

void deal_bin_add(struct deal *d, int b, int i, int rows)
{
    struct bin *bin = &d->bin[b];
    d->bin_of[i] = b;
    d->next[i] = bin->first;
    bin->first = i;
    bin->rows += rows;
    bin->cost += d->cost[i];
}

void deal_bin_remove(struct deal *d, int i, int rows)
{
    struct bin *bin = &d->bin[d->bin_of[i]];
    int *at = &bin->first;
    while (*at != i) at = &d->next[*at];
    *at = d->next[i];
    bin->rows -= rows;
    bin->cost -= d->cost[i];
}

bool deal_less_costly(const struct deal *d, int x, int y)
{
    int64_t a = d->bin[x].cost, b = d->bin[y].cost;
    return a < b || (a == b && x > y);
}

/* --- heaps --- */

void deal_heap_down(struct deal_heap *h, int at)
{
    int x = h->at[at], c;
    for (; (c = 2 * at + 1) < h->n; at = c) {
        h->d->steps++;
        if (c + 1 < h->n && h->before(h->d, h->at[c + 1], h->at[c])) c++;
        if (!h->before(h->d, h->at[c], x)) break;
        h->at[at] = h->at[c];
    }
    h->at[at] = x;
}

void deal_heap_push(struct deal_heap *h, int x)
{
    int at = h->n++;
    for (int up; at > 0 && h->before(h->d, x, h->at[up = (at - 1) / 2]); at = up) {
        h->d->steps++;
        h->at[at] = h->at[up];
    }
    h->at[at] = x;
}

int deal_heap_pop(struct deal_heap *h)
{
    int top = h->at[0];
    h->at[0] = h->at[--h->n];
    if (h->n > 0) deal_heap_down(h, 0);
    return top;
}

/* The last by that order goes to the end, then the last but one, ... (A library's sort may
 * allocate.) */
void deal_sort(struct deal *d, int *at, int n, deal_before *last)
{
    struct deal_heap h = {d, last, at, n};
    for (int i = n / 2 - 1; i >= 0; i--) deal_heap_down(&h, i);
    while (h.n > 1) {
        int end = h.n - 1, top = deal_heap_pop(&h);
        at[end] = top;
    }
}
