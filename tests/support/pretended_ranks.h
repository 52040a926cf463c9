/* The slices of pretended ranks, as those of optimizer_slices lie: each tensor is cut by columns or
 * rows over tp, and what a rank of tp has of it into equal parts over dp, which may begin and end
 * within a row. */
#ifndef DUET_TESTS_SUPPORT_PRETENDED_RANKS_H
#define DUET_TESTS_SUPPORT_PRETENDED_RANKS_H

#include <stdio.h>
#include <stdlib.h>

#include "comm/base/memory.h"
#include "trainer/checkpoint/layout.h"

enum { PRETENDED_TP = 8, PRETENDED_TENSORS = 6, PRETENDED_ROWS = 50021, PRETENDED_COLS = 520 };
enum { PRETENDED_MOST = PRETENDED_TENSORS * PARAM_RANGES }; /* slices of a rank */

/* Those of rank `rank` of `ranks`; returns how many. `data` is NULL. */
static inline int pretended_slices(struct slice out[PRETENDED_MOST], int rank, int ranks)
{
    const size_t whole = (size_t)PRETENDED_ROWS * PRETENDED_COLS, share = whole / PRETENDED_TP;
    const size_t dp = (size_t)(ranks / PRETENDED_TP), d = (size_t)(rank / PRETENDED_TP),
                 t = (size_t)(rank % PRETENDED_TP), each = (share + dp - 1) / dp;
    const size_t lo = d * each < share ? d * each : share,
                 hi = lo + each < share ? lo + each : share;
    int n = 0;
    for (int i = 0; i < PRETENDED_TENSORS; i++) {
        struct param p = {.whole = whole, .blocks = 1};
        const size_t run = PRETENDED_COLS / PRETENDED_TP, row = PRETENDED_COLS;
        p.block[0] = (struct range){t * share, (t + 1) * share, 0, 0};
        if (i % 2) p.block[0] = (struct range){t * run, whole - row + (t + 1) * run, run, row};
        struct range at[PARAM_RANGES];
        const int ranges = param_ranges(&p, lo, hi, at);
        for (int k = 0; k < ranges; k++) {
            out[n] = (struct slice){.n = whole, .at = at[k]};
            snprintf(out[n++].name, sizeof out->name, "model/layers.%d.w", i);
        }
    }
    return n;
}

static inline void pretended_layout(struct manifest *m, int ranks)
{
    struct slice slices[PRETENDED_MOST];
    struct layout *l = layout_new(ranks, (size_t)ranks * PRETENDED_MOST);
    for (int r = 0; r < ranks; r++)
        layout_add(l, slices, (size_t)pretended_slices(slices, r, ranks));
    layout_end(l, m);
    m->state = json_pack("{s:i}", "step", 1);
}

static inline size_t pretended_count(const struct manifest *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->tensors; i++) n += m->tensor[i].slices;
    return n;
}

#endif
