/* THE tables of activations: what each part keeps of a micro-batch, and what it works on within a
 * step. Structs, sizes, the memory of slots (slot.c) and what the planner takes for kept follow
 * from them.
 *
 * A line is X(type, name, rows, columns, there when[, computed again from]). In scope are the sizes
 * of this rank's share, d; T rows of a micro-batch; `here`, those of the residual stream that are
 * on this rank (all T, unless sequences are cut over tp); R expert rows, and `more` of a further
 * round (rounds.h); K choices of a row; E experts, `held` of them here; ep ranks that share them;
 * r, the room itself. HOST are ints that the host reads: how large a product is, how much is sent.
 * A line with a setting of recompute.h is not kept from that setting on: a part's `recompute`
 * computes it again.
 *
 * "later" is what backward-input writes there for backward-weight. The gradient of the residual
 * stream needs no memory of its own: see struct slot. */
#ifndef DUET_MODEL_ACTS_H
#define DUET_MODEL_ACTS_H

#include "comm/base/arena.h"
#include "model/dims.h"
#include "model/recompute.h"

/* Nqkv is (Hq+2*Hkv)*D. raw is the projection before qk_norm, qkv what attention reads: queries and
 * keys rotated; later dqkv, of the projection. */
#define QKV_AGAIN (d->qk_norm ? RECOMPUTE_SELECTIVE : RECOMPUTE_PRODUCTS)
#define ATTENTION_ACTS(X)                                                        \
    X(REAL, n1, T, d->C, true, RECOMPUTE_SELECTIVE) /* norm1 of the input */     \
    X(REAL, raw, T, dims_qkv(d), d->qk_norm, RECOMPUTE_PRODUCTS)                 \
    X(REAL, qkv, T, dims_qkv(d), true, QKV_AGAIN)                                \
    X(REAL, att, T, d->Hq * d->D, true, RECOMPUTE_FULL) /* attention's output */ \
    X(FLOAT, rstd, here, 1, true)                                                \
    X(FLOAT, rstd_qk, T, d->Hq + d->Hkv, d->qk_norm)                             \
    X(FLOAT, lse, T, d->Hq, true, RECOMPUTE_FULL)

#define ATTENTION_SCRATCH(X)                                               \
    X(REAL, branch, T, d->C, true) /* what is added to the stream */       \
    X(BYTE, attention, 1, r->ops->attention_scratch(d, (int)T), true)      \
    X(REAL, dnorm, T, d->C, r->training) /* gradient of a norm's output */ \
    X(REAL, datt, T, d->Hq * d->D, r->training)                            \
    X(REAL, dqkv, T, dims_qkv(d), r->training) /* before it goes over qkv */

#define FFN_ACTS(X)                                                                 \
    X(REAL, n2, T, d->C, true, RECOMPUTE_SELECTIVE)    /* norm2 of the input */     \
    X(REAL, gu, T, 2 * d->F, true, RECOMPUTE_PRODUCTS) /* gate and up; later dgu */ \
    X(REAL, h, T, d->F, true, RECOMPUTE_SELECTIVE)     /* swiglu(gu) */             \
    X(FLOAT, rstd, here, 1, true)

#define FFN_SCRATCH(X)                   \
    X(REAL, branch, T, d->C, true)       \
    X(REAL, dnorm, T, d->C, r->training) \
    X(REAL, dh, T, d->F, r->training)

/* Where a router sent the rows. Choice j of row t is number t*K + j; the most probable expert is
 * its choice 0. Sorted by expert, then by row, choices lie in "home rows" (T*K). The ranks of ep
 * get their experts' part of them; there, sorted by expert, then by the rank they are from, they
 * are "expert rows": all of T*K on one rank, up to ep * T * min(K, held) on one of several. Of
 * those the first R, the rows of the first round, are kept. The router's gradient needs outputs as
 * home rows. With ep the rows of ye are not read again, only their place is. */
#define XE_AGAIN (ep > 1 ? RECOMPUTE_PRODUCTS : RECOMPUTE_SELECTIVE)
#define YE_AGAIN (ep > 1 ? RECOMPUTE_SELECTIVE : RECOMPUTE_FULL)
#define MOE_ACTS(X)                                                                                \
    X(REAL, n2, T, d->C, true, RECOMPUTE_SELECTIVE)     /* norm2 of the input */                   \
    X(REAL, xe, R, d->C, true, XE_AGAIN)                /* expert rows of n2 */                    \
    X(REAL, gu, R, 2 * d->Fe, true, RECOMPUTE_PRODUCTS) /* gate and up; later dgu */               \
    X(REAL, h, R, d->Fe, true, RECOMPUTE_SELECTIVE)     /* swiglu(gu) */                           \
    X(REAL, ye, R, d->C, true, YE_AGAIN)                /* their outputs; later dye */             \
    X(REAL, yh, T *K, d->C, ep > 1,                                                                \
      RECOMPUTE_FULL)                    /* the same as home rows; later dyh. One rank: ye */      \
    X(FLOAT, prob, T, E, true)           /* of every expert; later the gradient of the logits */   \
    X(FLOAT, weight, T, K, true)         /* of the chosen ones */                                  \
    X(INT, expert, T, K, true)           /* the chosen ones */                                     \
    X(INT, at, T, K, true)               /* home row of the choice */                              \
    X(HOST, start, 1, E + 1, true)       /* expert e owns home rows [start[e], start[e+1]) */      \
    X(HOST, first, ep, held + 1, ep > 1) /* of each rank, where its experts' rows begin; end */    \
    X(HOST, from, ep + 1, held, ep > 1) /* here, where those of each rank and expert begin; end */ \
    X(HOST, place, 1, E, ep > 1) /* where this rank's rows for an expert begin among its rank's */ \
    X(HOST, rounds, 1, 1, ep > 1)                                                                  \
    X(FLOAT, rstd, here, 1, true)

#define MOE_SCRATCH(X)                                                                     \
    X(INT, count, 1, E, true) /* choices of one sequence */                                \
    X(REAL, dnorm, here, d->C, r->training)                                                \
    X(REAL, dh, R, d->Fe, r->training)                                                     \
    X(REAL, dxe, R, d->C, r->training)                                                     \
    X(REAL, xe, more, d->C, r->training) /* of a further round, instead of what is kept */ \
    X(REAL, gu, more, 2 * d->Fe, r->training)                                              \
    X(REAL, h, more, d->Fe, r->training)                                                   \
    X(FLOAT, dweight, T, K, r->training)

#define HEAD_ACTS(X)                                                                            \
    X(REAL, nf, T, d->C, true, RECOMPUTE_SELECTIVE) /* norm_f of the input; F alone reads it */ \
    X(FLOAT, rstd, here, 1, true)                                                               \
    X(REAL, dnorm, here, d->C, r->kept) /* gradient of nf, from F until B */

/* --- what follows from a table --- */

struct ops;
/* What the sizes depend on. */
struct act_sizes {
    const struct dims *d; /* this rank's share */
    const struct ops *ops;
    size_t real_bytes;
    size_t T, here, R, more;
    int ep;
    bool training; /* false: nothing of backward is there */
    bool kept;     /* false: not from F until W, only while a part runs (decoding, scoring) */
    enum recompute recompute;
};

enum act_type { ACT_REAL, ACT_FLOAT, ACT_INT, ACT_HOST, ACT_BYTE };
struct act {
    enum act_type type;
    size_t n;   /* elements; 0: not there */
    bool again; /* not kept: computed again */
};
enum { PART_ACTS = 20 };
struct act_table {
    size_t bytes; /* of the struct: a pointer for each line */
    int n;
    void (*list)(struct act *out, const struct act_sizes *r); /* [n] */
};

#define ACT_TYPE_REAL                             void
#define ACT_TYPE_FLOAT                            float
#define ACT_TYPE_INT                              int
#define ACT_TYPE_HOST                             int
#define ACT_TYPE_BYTE                             void
#define ACT_FIELD(type, name, rows, columns, ...) ACT_TYPE_##type *name;
/* there, and behind it the setting, which may be left out */
#define ACT_THERE(there, ...)       there
#define ACT_AGAIN(there, from, ...) from
#define ACT_ROW(type, name, rows, columns, ...)                                         \
    *out++ = (struct act){                                                              \
        ACT_##type, ACT_THERE(__VA_ARGS__, 0) ? (size_t)(rows) * (size_t)(columns) : 0, \
        recompute_has(r->recompute, ACT_AGAIN(__VA_ARGS__, RECOMPUTE_NEVER, 0))};
#define ACT_COUNT(type, name, rows, columns, ...) +1

/* struct NAME of a table, and where its part is defined, what lists it. */
#define ACT_STRUCT(NAME, TABLE) \
    struct NAME {               \
        TABLE(ACT_FIELD)        \
    };
#define ACT_LIST(NAME, TABLE)                                                    \
    static void NAME##_list(struct act *out, const struct act_sizes *r)          \
    {                                                                            \
        const struct dims *d = r->d;                                             \
        const size_t T = r->T, here = r->here;                                   \
        const size_t R = r->R, more = r->more;                                   \
        const size_t K = (size_t)d->K, E = (size_t)d->E;                         \
        const size_t held = (size_t)dims_held(d), ep = (size_t)r->ep;            \
        (void)here, (void)R, (void)more, (void)K, (void)E, (void)held, (void)ep; \
        TABLE(ACT_ROW)                                                           \
    }                                                                            \
    enum { NAME##_lines = TABLE(ACT_COUNT) };                                    \
    _Static_assert(NAME##_lines <= (int)PART_ACTS, "too many rows");             \
    _Static_assert(sizeof(struct NAME) == NAME##_lines * sizeof(void *), "pointers of one size");
#define ACT_TABLE(NAME, TABLE) ACT_STRUCT(NAME, TABLE) ACT_LIST(NAME, TABLE)
#define ACTS_OF(NAME)                                  \
    {                                                  \
        sizeof(struct NAME), NAME##_lines, NAME##_list \
    }

/* Fills the struct `to` with memory from the arena, of lines of type HOST from arena_host, as they
 * measure or place: the lines that are kept, or (again) those that are not. The others stay as they
 * are. */
void acts_place(void *to, const struct act_table *t, const struct act_sizes *r, bool again,
                struct arena *a);

#endif
