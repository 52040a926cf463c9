/* A chunk that is the head alone, of any model, on the whole vocabulary or a share of it: one
 * micro-batch goes through it forward and back. Header only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_HEADED_H
#define DUET_TESTS_SUPPORT_HEADED_H

#include "comm/exchange.h"
#include "model/block.h"
#include "tests/support/tiny_model.h"

enum { HEADED_ROWS = 600 }; /* room of a micro-batch */

struct headed_shape {
    struct dims d; /* precision and share are filled in */
    const struct ops *ops;
    struct exchange *tp; /* NULL: the whole vocabulary on this rank */
    int head_rows;       /* rows of a block; 0: the head's own choice */
    struct never never;
    int T;                                                               /* rows; 0: HEADED_ROWS */
    void (*loss)(void *ctx, const struct head_io *io, int from, int to); /* ctx: the headed */
};

struct headed {
    struct dims d;
    const struct ops *ops;
    struct param_list params;
    struct chunk *chunk;
    struct arena arena;
    void *weights, *in, *back; /* back: the gradient of `in` */
    float *grad;
    int target[HEADED_ROWS]; /* every sixth has none */
    float logp[HEADED_ROWS], entropy[HEADED_ROWS], dlogp[HEADED_ROWS];
    int T;
    struct rows rows;
    struct head_io io;
    int calls, from[128], to[128]; /* for a loss to fill: what it was called with */
};

static inline bool headed_never(const struct never *never, int token)
{
    for (int i = 0; i < never->n; i++)
        if (token >= never->range[i].first && token < never->range[i].first + never->range[i].n)
            return true;
    return false;
}

/* Rows of numbers that bf16 holds exactly, and targets that may be sampled. */
static inline void headed_rows_make(struct headed *h, const struct headed_shape *shape)
{
    size_t n = (size_t)HEADED_ROWS * (size_t)h->d.C;
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = tiny_round((float)tiny_wave("rows", i));
    h->in = calloc(n, h->ops->real_bytes);
    h->back = calloc(n, h->ops->real_bytes);
    h->ops->to_real(h->in, x, n);
    free(x);
    for (int t = 0; t < HEADED_ROWS; t++) {
        h->target[t] = t % 6 == 5 ? -1 : (7 * t + 2) % h->d.V;
        if (headed_never(&shape->never, h->target[t])) h->target[t] = 0;
    }
    h->rows = (struct rows){.T = h->T};
    h->io = (struct head_io){.target = h->target,
                             .logp = h->logp,
                             .entropy = h->entropy,
                             .dlogp = h->dlogp,
                             .inv_temperature = 1 / 0.8f,
                             .loss = shape->loss,
                             .learns = true,
                             .ctx = h};
}

/* Measured, then placed, as stages do it. */
static inline void headed_make(struct headed *h, const struct headed_shape *shape)
{
    *h = (struct headed){.d = shape->d, .ops = shape->ops, .T = shape->T ? shape->T : HEADED_ROWS};
    h->d.precision = h->ops->precision;
    if (shape->tp) h->d.tp = exchange_size(shape->tp), h->d.t = exchange_rank(shape->tp);
    struct chunk_setup setup = {.dims = &h->d,
                                .span = {h->d.L, 0, false, true},
                                .ops = h->ops,
                                .parallel = {.tp = shape->tp},
                                .T_max = HEADED_ROWS,
                                .head_rows = shape->head_rows,
                                .never = shape->never,
                                .slots = 1,
                                .training = true};
    param_list_make(&h->params, &h->d, setup.span);
    setup.weights = h->weights = tiny_weights_make(&h->params, h->ops);
    h->grad = calloc(h->params.total + 1, sizeof *h->grad);
    for (int round = 0; round < 2; round++) {
        chunk_free(h->chunk);
        h->chunk = chunk_new(&setup, &h->arena);
        chunk_place_slots(&h->chunk, 1, &h->arena);
        if (round == 0) arena_back(&h->arena, &device_host, h->arena.used);
    }
    headed_rows_make(h, shape);
}

static inline void headed_free(struct headed *h)
{
    chunk_free(h->chunk);
    param_list_free(&h->params);
    arena_free(&h->arena);
    free(h->weights);
    free(h->in);
    free(h->back);
    free(h->grad);
}

static inline void headed_run(struct headed *h, enum pass_kind kind)
{
    bool forward = kind == PASS_F;
    struct pass p = {.kind = kind,
                     .chunk = h->chunk,
                     .rows = &h->rows,
                     .in = forward ? h->in : NULL,
                     .out = forward ? NULL : h->back,
                     .grad = h->grad,
                     .head = &h->io};
    pass_run(&p);
}

static inline void headed_train(struct headed *h)
{
    headed_run(h, PASS_F);
    headed_run(h, PASS_BW);
}

#endif
