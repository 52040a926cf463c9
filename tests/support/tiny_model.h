/* Tiny models cut into chunks, for the tests of passes and decoding: their weights, a packed batch,
 * a loss, and the messages between chunks carried by hand. Header only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_TINY_MODEL_H
#define DUET_TESTS_SUPPORT_TINY_MODEL_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/chunk.h"
#include "tests/support/dims_row.h"

enum { TINY_STAGES = 4, TINY_ROWS = 29, TINY_CAPACITY = 160, TINY_SEQUENCES = 4, TINY_SLOTS = 2 };
enum { TINY_CHOSEN = 64 }; /* layers of a chunk times experts, at most */
static const int TINY_START[TINY_SEQUENCES + 1] = {0, 7, 8, 26, 29};

/* --- inputs: the formulas of tests/oracle/model.py --- */

static inline double tiny_wave(const char *name, size_t i)
{
    double k = 0, x = (double)i;
    for (; *name; name++) k += (unsigned char)*name;
    return sin(0.1 * x * x + 0.3 * x + k);
}

/* To the nearest bf16, ties to even: such a weight is the same in either precision. */
static inline float tiny_round(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float tiny_weight(const struct param *p, size_t i)
{
    double s = tiny_wave(param_saved_name(p), i);
    return tiny_round((float)(p->role == ROLE_NORM ? 1 + 0.2 * s : 0.3 * s));
}

struct tiny_batch {
    int token[TINY_CAPACITY], pos[TINY_CAPACITY], target[TINY_CAPACITY];
    float logp[TINY_CAPACITY], entropy[TINY_CAPACITY], dlogp[TINY_CAPACITY];
    double loss;
    float balance; /* of the passes backward */
    struct rows rows;
    struct head_io head;
};

static inline double tiny_loss_weight(int t)
{
    return 1 + 0.5 * sin(t);
}

static inline void tiny_loss(void *ctx, const struct head_io *io, int from, int to)
{
    struct tiny_batch *b = ctx;
    if (from == 0) b->loss = 0;
    for (int t = from; t < to; t++) {
        double w = tiny_loss_weight(t) / b->rows.T;
        b->loss -= io->target[t] < 0 ? 0 : w * (double)io->logp[t]; /* scores are there, too */
        io->dlogp[t] = io->target[t] < 0 ? 0 : (float)-w;
    }
}

/* The packed sequences of TINY_START. shift tells batches apart; 0 is the oracle's. A test may use
 * more rows, up to TINY_CAPACITY, with segments and positions of its own. */
static inline void tiny_batch_make(struct tiny_batch *b, const struct dims *d, int shift)
{
    *b = (struct tiny_batch){0};
    for (int s = 0; s < TINY_SEQUENCES; s++)
        for (int t = TINY_START[s]; t < TINY_START[s + 1]; t++) b->pos[t] = t - TINY_START[s];
    for (int t = 0; t < TINY_CAPACITY; t++) {
        b->token[t] = (5 * t + 3 + shift) % d->V;
        b->target[t] = t % 6 == 5 ? -1 : (7 * t + 2 + shift) % d->V;
    }
    b->rows = (struct rows){TINY_ROWS, {TINY_SEQUENCES, TINY_START}, b->token, b->pos};
    b->head = (struct head_io){.target = b->target,
                               .logp = b->logp,
                               .entropy = b->entropy,
                               .dlogp = b->dlogp,
                               .inv_temperature = 1 / 0.8f,
                               .loss = tiny_loss,
                               .learns = true,
                               .ctx = b};
}

/* --- a model in chunks --- */

static enum recompute tiny_recompute; /* of models made from now on */

struct tiny_model {
    struct dims d;
    const struct ops *ops;
    int stages;
    struct arena arena;
    size_t slots_at, slots_end; /* where activations are kept */
    struct chunk *chunk[TINY_STAGES];
    void *weights[TINY_STAGES];
    float *grad[TINY_STAGES];
    unsigned char *message[TINY_STAGES + 1]; /* [i]: from chunk i-1 to i, or back */
};

static inline void *tiny_weights_make(const struct param_list *l, const struct ops *ops)
{
    float *w = calloc(l->total + 1, sizeof *w);
    void *out = calloc(l->total + 1, ops->real_bytes);
    for (int i = 0; i < l->n; i++)
        for (size_t e = 0; e < l->p[i].n; e++)
            w[l->p[i].offset + e] = tiny_weight(&l->p[i], param_index(&l->p[i], e));
    ops->to_real(out, w, l->total);
    free(w);
    return out;
}

/* For chunks made from here on (chunk_setup.expert_room). */
static double tiny_expert_room;

/* A rank's share, where d and parallel say that there are several. */
static inline void tiny_share_make(struct tiny_model *m, const struct dims *d,
                                   struct parallel parallel, const struct ops *ops, int stages,
                                   int T_max, bool training)
{
    *m = (struct tiny_model){.d = *d, .ops = ops, .stages = stages};
    m->d.precision = ops->precision;
    for (int c = 0; c < stages; c++) {
        struct param_list l;
        param_list_make(&l, &m->d, chunk_span_of(&m->d, stages, c));
        m->weights[c] = tiny_weights_make(&l, ops);
        m->grad[c] = calloc(l.total, sizeof(float));
        param_list_free(&l);
    }
    for (int c = 0; c <= stages; c++)
        m->message[c] = calloc((size_t)T_max * (size_t)m->d.C, ops->real_bytes);
    for (int round = 0; round < 2; round++) {
        for (int c = 0; c < stages; c++) {
            chunk_free(m->chunk[c]);
            struct chunk_setup setup = {.dims = &m->d,
                                        .span = chunk_span_of(&m->d, stages, c),
                                        .ops = ops,
                                        .parallel = parallel,
                                        .weights = m->weights[c],
                                        .T_max = T_max,
                                        .expert_room = tiny_expert_room,
                                        .slots = training ? TINY_SLOTS : 1,
                                        .recompute = tiny_recompute,
                                        .training = training};
            m->chunk[c] = chunk_new(&setup, &m->arena);
        }
        m->slots_at = m->arena.used;
        for (int c = 0; training && c < stages; c++) chunk_place_slots(&m->chunk[c], 1, &m->arena);
        m->slots_end = m->arena.used;
        if (round == 0) arena_back(&m->arena, &device_host, m->arena.used);
    }
}

static inline void tiny_model_make(struct tiny_model *m, const struct dims *d,
                                   const struct ops *ops, int stages, int T_max, bool training)
{
    tiny_share_make(m, d, (struct parallel){0}, ops, stages, T_max, training);
}

static inline void tiny_model_free(struct tiny_model *m)
{
    for (int c = 0; c < m->stages; c++) {
        chunk_free(m->chunk[c]);
        free(m->weights[c]);
        free(m->grad[c]);
    }
    for (int c = 0; c <= m->stages; c++) free(m->message[c]);
    arena_free(&m->arena);
}

static inline void tiny_grad_clear(struct tiny_model *m)
{
    for (int c = 0; c < m->stages; c++)
        memset(m->grad[c], 0, chunk_params(m->chunk[c])->total * sizeof(float));
}

static inline struct pass tiny_pass(struct tiny_model *m, int c, enum pass_kind kind, int slot,
                                    struct tiny_batch *b)
{
    bool forward = kind == PASS_F, first = c == 0, last = c == m->stages - 1;
    void *left = first ? NULL : m->message[c], *right = last ? NULL : m->message[c + 1];
    return (struct pass){.kind = kind,
                         .chunk = m->chunk[c],
                         .slot = slot,
                         .rows = &b->rows,
                         .in = forward ? left : right,
                         .out = forward ? right : left,
                         .grad = m->grad[c],
                         .head = last ? &b->head : NULL,
                         .balance = b->balance};
}

/* One kind of pass over all chunks, forward or backward. */
static inline void tiny_run(struct tiny_model *m, enum pass_kind kind, int slot,
                            struct tiny_batch *b)
{
    for (int i = 0; i < m->stages; i++) {
        struct pass p = tiny_pass(m, kind == PASS_F ? i : m->stages - 1 - i, kind, slot, b);
        pass_run(&p);
    }
}

/* The gradient of a tensor, whichever chunk has it. */
static inline const float *tiny_grad(const struct tiny_model *m, const char *name)
{
    for (int c = 0; c < m->stages; c++) {
        const struct param *p = param_find(chunk_params(m->chunk[c]), name);
        if (p) return m->grad[c] + p->offset;
    }
    return NULL;
}

/* --- what varies --- */

/* What models with experts have in common; the first layer is dense. */
#define TINY_EXPERTS                                                                             \
    .V = 29, .first_dense = 1, .route_norm = true, .Hq = 2, .Hkv = 1, .D = 8, .max_context = 32, \
    .rope_theta = 1e3f, .norm_eps = 1e-6f

/* Four layers, for up to four chunks. */
static const struct dims TINY_FAMILY[] = {
    DIMS(29, 4, 16, 24, 4, 2, 4, .max_context = 32, .rope_theta = 500, .norm_eps = 1e-5f),
    DIMS(31, 4, 24, 40, 4, 1, 8, .max_context = 32, .rope_theta = 1e4f, .norm_eps = 1e-6f,
         .qkv_bias = true),
    DIMS(29, 4, 32, 48, 2, 2, 16, .max_context = 32, .rope_theta = 1e3f, .norm_eps = 1e-6f,
         .qk_norm = true, .tied = true),
    {TINY_EXPERTS, .L = 4, .C = 24, .F = 40, .E = 5, .K = 2, .Fe = 16},
    DIMS(29, 4, 24, 40, 6, 2, 8, .max_context = 32, .rope_theta = 1e4f, .norm_eps = 1e-6f,
         .qkv_bias = true, .o_bias = true, .mlp_bias = true,
         .rope = {ROPE_YARN, ROPE_FP32, .factor = 4, .original = 8, .fast = 4, .slow = 1,
                  .whole = true, .attention = 1.1}),
};
enum { TINY_FAMILIES = sizeof TINY_FAMILY / sizeof *TINY_FAMILY };

/* The tables under test: the i-th, NULL where this machine cannot run it. */
enum { TINY_TABLES = 4, TINY_CASES = TINY_FAMILIES * TINY_TABLES };
static inline const struct ops *tiny_ops(int i)
{
    enum precision precision = i % 2 ? PRECISION_BF16 : PRECISION_FP32;
    return ops_find(precision, i < 2 ? "plain" : NULL);
}

#endif
