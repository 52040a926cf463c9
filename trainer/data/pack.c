#include "trainer/data/pack.h"

#include <string.h>
#include "comm/base/die.h"

static int round_up(int n, int multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

int pack_bound(size_t rows, int T_max, int multiple, int least)
{
    /* Emptiest-first leaves any two bins together fuller than one bin: at most twice the ideal count. */
    size_t ideal = (rows + (size_t)T_max - 1) / (size_t)T_max;
    int bins = (int)(2 * ideal + 1);
    return round_up(bins > least ? bins : least, multiple) + multiple;
}

/* Longest first, equal lengths by number: a stable insertion by counting would need more memory than this merge of
 * runs is worth; n is a few thousand at most per step, and rows are short integers, so shell sort serves. */
static void order_longest_first(int *order, const int *rows, int n)
{
    for (int i = 0; i < n; i++) order[i] = i;
    int gap = 1;
    while (gap < n / 3) gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3)
        for (int i = gap; i < n; i++) {
            int x = order[i], j = i;
            for (; j >= gap; j -= gap) {
                int y = order[j - gap];
                if (rows[y] > rows[x] || (rows[y] == rows[x] && y < x)) break;
                order[j] = y;
            }
            order[j] = x;
        }
}

static bool deal(int *bin_of, const int *order, const int *rows, int n, int T_max, int bins,
                 int *load)
{
    memset(load, 0, (size_t)bins * sizeof *load);
    for (int k = 0; k < n; k++) {
        int i = order[k], best = 0;
        for (int b = 1; b < bins; b++)
            if (load[b] < load[best]) best = b;
        if (load[best] + rows[i] > T_max) return false;
        load[best] += rows[i];
        bin_of[i] = best;
    }
    return true;
}

int pack_deal(int *bin_of, const int *rows, int n, int T_max, int multiple, int least, int *order,
              int *load)
{
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        INVARIANT(rows[i] <= T_max, "sequence %d has %d rows, a micro-batch %d", i, rows[i], T_max);
        total += (size_t)rows[i];
    }
    order_longest_first(order, rows, n);
    int ideal = (int)((total + (size_t)T_max - 1) / (size_t)T_max);
    int bins = round_up(ideal > least ? ideal : least, multiple);
    int bound = pack_bound(total, T_max, multiple, least);
    while (!deal(bin_of, order, rows, n, T_max, bins, load)) {
        bins += multiple;
        INVARIANT(bins <= bound, "%d bins, bound %d", bins, bound);
    }
    return bins;
}

void micro_batch_place(struct micro_batch *m, int T_max, struct arena *a)
{
    size_t T = (size_t)T_max;
    m->token = arena_take_n(a, T, sizeof(int));
    m->pos = arena_take_n(a, T, sizeof(int));
    m->start = arena_take_n(a, T + 1, sizeof(int));
    m->target = arena_take_n(a, T, sizeof(int));
    float **const f[] = {&m->weight, &m->advantage, &m->old_logp, &m->ref_logp,
                         &m->logp,   &m->entropy,   &m->dlogp};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++) *f[i] = arena_take_n(a, T, sizeof(float));
}

static void append(struct micro_batch *m, const struct sequence *s, float weight)
{
    int at = m->start[m->rows.seg.n];
    for (int r = 0; r < sequence_rows(s); r++) {
        int t = at + r, answer = r + 1 - s->n_prompt; /* which answer token this row predicts */
        m->token[t] = s->token[r];
        m->pos[t] = r;
        m->target[t] = answer >= 0 ? s->token[r + 1] : -1;
        m->weight[t] = answer >= 0 ? weight : 0;
        m->advantage[t] = s->advantage;
        m->old_logp[t] = answer >= 0 && s->logp ? s->logp[answer] : 0;
        m->ref_logp[t] = 0;
    }
    m->rows.T = at + sequence_rows(s);
    m->start[++m->rows.seg.n] = m->rows.T;
}

void micro_batch_fill(struct micro_batch *m, const struct sequence *s, const float *weight,
                      const int *bin_of, int n, int bin)
{
    m->rows = (struct rows){.token = m->token, .pos = m->pos, .seg = {.start = m->start}};
    m->start[0] = 0;
    for (int i = 0; i < n; i++)
        if (bin_of[i] == bin) append(m, &s[i], weight[i]);
}
