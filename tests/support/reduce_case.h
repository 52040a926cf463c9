/* For tests of reductions: maps of nodes, numbers whose sums depend on the order, and a reduction
 * of them. */
#ifndef DUET_TESTS_SUPPORT_REDUCE_CASE_H
#define DUET_TESTS_SUPPORT_REDUCE_CASE_H

#include "tests/support/check_mpi.h"

#include <math.h>
#include <string.h>

#include "comm/base/memory.h"
#include "comm/coll.h"
#include "comm/reduce.h"

enum { MOST = 8, ROOM = 64 }; /* ranks of most tests, and of any */

/* ---- maps ---- */

static inline int pairs(int i, int R)
{
    return R > 0 ? i / 2 : 0;
}
static inline int halves(int i, int R)
{
    return R > 1 ? i / ((R + 1) / 2) : 0;
}
static inline int alone(int i, int R)
{
    return R - i;
} /* names of nodes need not rise */
static inline int together(int i, int R)
{
    return 0 * (i + R);
}
static inline int interleaved(int i, int R)
{
    return R > 0 ? i % 2 : 0;
}
static inline int uneven(int i, int R)
{
    return i > 0 && R > 0;
}
static const struct map {
    const char *name;
    int (*node)(int member, int members);
} maps[] = {{"pairs", pairs},       {"halves", halves},           {"alone", alone},
            {"together", together}, {"interleaved", interleaved}, {"uneven", uneven}};
enum { MAPS = sizeof maps / sizeof *maps };

struct group {
    struct reduce_form form;
    int node[ROOM];
};

static inline void group_make(struct group *g, int map, int inner, enum reduce_path path,
                              enum codec wire)
{
    for (int i = 0; i < ck_world.size; i++) g->node[i] = maps[map].node(i, ck_world.size);
    g->form = (struct reduce_form){.members = ck_world.size,
                                   .me = ck_world.rank,
                                   .inner = inner,
                                   .node = g->node,
                                   .path = path,
                                   .wire = wire};
    g->form.map = reduce_map_of(&g->form);
}

/* ---- what is added ---- */

/* Numbers whose sum depends on the order: many magnitudes and both signs. */
static inline float number(int rank, size_t i, int seed)
{
    unsigned h = (unsigned)i * 2654435761u + (unsigned)rank * 40503u + (unsigned)seed * 97u;
    h ^= h >> 15, h *= 2246822519u, h ^= h >> 13;
    float x = (float)(h & 0xffffff) * (1.0f / (float)(1 << (h >> 24) % 24));
    return h & 1 ? x : -x;
}

/* Slices as uneven as they may be: small ones also empty. */
static inline size_t slices_make(size_t *count, size_t *offset, size_t base)
{
    size_t n = 0;
    for (int i = 0; i < ck_world.size; i++) {
        count[i] = base + (size_t)(i * 37 + 3) % 64;
        if (base == 0 && i % 3 == 1) count[i] = 0;
        offset[i] = n;
        n += count[i];
    }
    return n;
}

struct sum {
    size_t count[ROOM], offset[ROOM], n, mine, at;
    float *in, *out, *right, *scratch, *residual;
    size_t scratch_n, residual_n;
    int op;
    bool in_place, over;
};

static const float guard = 12345;

/* n floats, and one behind them that nobody may touch. */
static inline float *room(size_t n)
{
    float *at = memory_take(n + 1, sizeof(float), "a test");
    at[n] = guard;
    return at;
}

/* `right` is made by coll_reduce_scatter: the bits that must come out when nothing is rounded. */
static inline void sum_make(struct sum *s, const struct reduce_form *f, size_t base, int seed,
                            bool in_place)
{
    *s = (struct sum){.in_place = in_place};
    s->n = slices_make(s->count, s->offset, base);
    s->mine = s->count[f->me], s->at = s->offset[f->me];
    s->in = room(s->n), s->right = room(s->mine);
    s->scratch_n = reduce_scratch(f, s->n), s->residual_n = reduce_residual(f, s->n);
    s->scratch = room(s->scratch_n), s->residual = room(s->residual_n);
    s->out = in_place ? s->in + s->at : room(s->mine);
    for (size_t i = 0; i < s->n; i++) s->in[i] = number(f->me, i, seed);
    float *other = room((size_t)f->members * s->mine);
    coll_reduce_scatter(s->right, s->in, s->count, s->offset, f->inner, other, ck_world.comm);
    free(other);
}

static inline void sum_start(struct sum *s, struct reduce *r)
{
    s->op = reduce_start(r, &(struct reduce_job){.out = s->out,
                                                 .in = s->in,
                                                 .count = s->count,
                                                 .offset = s->offset,
                                                 .scratch = s->scratch,
                                                 .residual = s->residual});
}

/* Numbers that are not `right`, and guards that are gone. */
static inline size_t sum_wrong(const struct sum *s)
{
    size_t wrong = s->in[s->n] != guard;
    wrong += s->scratch[s->scratch_n] != guard;
    wrong += s->residual[s->residual_n] != guard;
    for (size_t i = 0; i < s->mine; i++)
        wrong += memcmp(&s->out[i], &s->right[i], sizeof(float)) != 0;
    return wrong;
}

static inline void sum_free(struct sum *s)
{
    if (!s->in_place) free(s->out);
    free(s->in);
    free(s->right);
    free(s->scratch);
    free(s->residual);
}

#endif
