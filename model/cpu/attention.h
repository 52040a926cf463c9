/* What the attention files share. Inside attention everything is float, in
 * scratch; a head's rows are padded with zeros from D to head_width floats.
 *
 * Queries are worked off in blocks, keys in runs, both counted from the
 * sequence's first position. A block meets a run in one tile of scores, which
 * stays in the nearest caches while it is used; the run's keys and values are
 * read once for all of the block. Where the diagonal crosses a tile, its rows
 * are cut into strips, each with as many keys as its last row sees. */
#ifndef DUET_MODEL_CPU_ATTENTION_H
#define DUET_MODEL_CPU_ATTENTION_H

#include "comm/watch.h"
#include "model/cpu/runs.h"
#include "model/cpu/vec.h"
#include <math.h>

enum { STRIP = 16 /* rows, and keys, of a strip on the diagonal */ };

static inline int head_width(int D)
{
    return round_up(D, 16);
}

/* A view of floats: rows `row` apart, columns `col` apart; one of the two is 1.
 */
struct tile {
    float *p;
    size_t row, col;
};

/* C (M, N) (+)= A (M, K) B (K, N). Each element adds its K products one after
 * the other (fused where the instruction set has it), whatever M and N are: a
 * row's bits do not depend on the other rows. C's and B's columns are adjacent;
 * N is a multiple of 16. */
void OP(tile_multiply)(struct tile C, struct tile A, struct tile B, int M, int N, int K, bool add);

/* Softmax of QUERIES rows of scores, run by run: first the largest of a row,
 * then weights and their sum. By lane: of the keys whose position has the
 * lane's remainder. */
struct softmax {
    vec most[QUERIES], total[QUERIES];
    float largest[QUERIES];
};

static inline void softmax_begin(struct softmax *s, int rows)
{
    for (int r = 0; r < rows; r++) {
        s->most[r] = vec_all(-INFINITY);
        s->total[r] = (vec){0};
    }
}

/* A run of row r, `end` scores, a multiple of 16. Those from `seen` on become
 * -inf, so that whole vectors are summed whatever a row's length: an entry's
 * place in the sum depends only on its position (P1). */
static inline void softmax_most(struct softmax *s, int r, float *score, int seen, int end)
{
    for (int i = larger(seen, 0); i < end; i++) score[i] = -INFINITY;
    vec most = s->most[r];
    for (int i = 0; i < end; i += LANES) most = vec_max(most, vec_load(score + i));
    s->most[r] = most;
}

static inline void softmax_largest(struct softmax *s, int rows)
{
    for (int r = 0; r < rows; r++) s->largest[r] = vec_largest(s->most[r]);
}

/* Scores -> e^(score - largest). */
static inline void softmax_weigh(struct softmax *s, int r, float *score, int end)
{
    vec total = s->total[r];
    for (int i = 0; i < end; i += LANES) {
        vec p = vec_exp(vec_load(score + i) - s->largest[r]);
        vec_store(score + i, p);
        total += p;
    }
    s->total[r] = total;
}

/* A row of weighted values: divided by the sum of the weights. */
void OP(row_finish)(real *out, const float *row, float sum, int D);

/* One head's rows, `step` elements apart, to float rows of head_width; scaled.
 */
void OP(head_load)(float *to, const real *from, size_t step, int rows, int D, float scale);

/* The same transposed, in runs: key j at column j % KEYS of run j / KEYS, which
 * is (D, KEYS); columns from n up to the end of the last run are 0. `some` is
 * room for KEYS rows. */
void OP(head_transpose)(float *to, const real *from, size_t step, int n, int D, float *some);

/* A block of queries [first, first + M) and the run of keys that begins at key
 * j: rows [row, row + rows) of the block see at most the run's first `keys`
 * keys, which is all of it or, in a strip, a multiple of 16. */
struct strip {
    int row, rows, keys;
};

/* From the strip's last row to the next one; {0} before the first. False: none
 * is left. */
static inline bool strip_next(struct strip *s, int first, int M, int j)
{
    int row = s->rows > 0 ? s->row + s->rows : larger(0, j - first);
    int whole = j + KEYS - STRIP - first; /* from this row on the run is seen to its last strip */
    bool cut = row < whole;
    *s = (struct strip){.row = row,
                        .rows = cut ? smaller(STRIP, M - row) : M - row,
                        .keys = cut ? first + row + STRIP - j : KEYS};
    return s->rows > 0;
}

/* How many of the strip's keys there are: none is behind the last query of all.
 */
static inline int strip_seen(const struct strip *s, int first, int j)
{
    return smaller(s->keys, first + s->row + s->rows - j);
}

#endif
