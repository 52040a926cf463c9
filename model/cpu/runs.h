/* How attention is cut, whatever multiplies its tiles: runs of keys counted from a sequence's first
 * position, and for the cache the queries that read a run's blocks together. */
#ifndef DUET_MODEL_CPU_RUNS_H
#define DUET_MODEL_CPU_RUNS_H

#include "model/cpu/real.h"

enum {
    QUERIES = 128, /* query rows handled together */
    KEYS = 64,     /* keys of a run */
    /* from here on a block takes so long that feeding the watchdog after it costs nothing */
    LONG_SEQUENCE = 1024
};

static inline int round_up(int n, int to)
{
    return (n + to - 1) / to * to;
}
static inline int smaller(int a, int b)
{
    return a < b ? a : b;
}
static inline int larger(int a, int b)
{
    return a > b ? a : b;
}

/* Queries of one kv head over the cache: of each of some rows all heads of the group, or as many as
 * fit. */
struct asked_rows {
    int M;
    int keys[QUERIES];         /* positions that each sees */
    const int *table[QUERIES]; /* its sequence's blocks */
};

/* Queries [first, first + n) read the same blocks of the run at key j, as far as each sees: those
 * of `table`; one of them sees `seen` keys of the run, none sees more. */
struct span {
    int first, n, j, seen;
    const int *table;
};

/* From the span's last query to the next one that sees the run. False: none does. */
static inline bool span_next(struct span *s, const struct asked_rows *a)
{
    int j = s->j, at = s->first + s->n;
    while (at < a->M && a->keys[at] <= j) at++;
    if (at == a->M) return false;
    *s = (struct span){at, 1, j, smaller(KEYS, a->keys[at] - j), a->table[at]};
    for (at++; at < a->M && a->keys[at] > j; at++, s->n++) {
        int seen = smaller(KEYS, a->keys[at] - j);
        size_t both = (size_t)(round_up(smaller(seen, s->seen), KV_BLOCK) / KV_BLOCK);
        size_t block = (size_t)(j / KV_BLOCK);
        if (memcmp(a->table[at] + block, s->table + block, both * sizeof *s->table) != 0) break;
        if (seen <= s->seen) continue;
        s->seen = seen;
        s->table = a->table[at];
    }
    return true;
}

/* Rows of a call that are done together, and query heads of one kv head. */
struct some_rows {
    int t, rows, head, heads;
};

/* The next ones of T rows: as many as there is room for, as long as they begin with the same block;
 * {0} before the first. False: none is left. */
static inline bool some_next(struct some_rows *s, struct kv_rows rows, int T, const struct dims *d)
{
    int all = d->Hq / d->Hkv;
    s->head += s->heads;
    if (s->rows == 0 || s->head == d->Hq) {
        *s = (struct some_rows){.t = s->t + s->rows, .rows = 1};
        while (s->t + s->rows < T && (s->rows + 1) * all <= QUERIES &&
               rows.table[s->t + s->rows][0] == rows.table[s->t][0])
            s->rows++;
    }
    s->heads = smaller(all - s->head % all, QUERIES); /* of this kv head */
    return s->t < T;
}

/* Their queries: of each row its heads. */
static inline void some_ask(struct asked_rows *a, struct kv_rows rows, const struct some_rows *s)
{
    a->M = 0;
    for (int t = s->t; t < s->t + s->rows; t++)
        for (int h = 0; h < s->heads; h++, a->M++) {
            a->keys[a->M] = rows.pos[t] + 1;
            a->table[a->M] = rows.table[t];
        }
}

#endif
