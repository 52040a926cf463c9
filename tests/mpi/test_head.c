/* ranks: 1 2 3 5 */
/* The head over shares of a vocabulary, in blocks of rows: the bits of one block, whichever loss;
 * close to what one rank computes; and tokens decoded in blocks of another size get the
 * log-probabilities of training, to the bit (P2). */
#include "comm/exchange.h"
#include "model/block.h"
#include "tests/support/tiny_model.h"
#include "tests/support/check_mpi.h"

enum { ROWS = 600 };
static const struct dims DIMS_HEAD = {.V = 101,
                                      .L = 1,
                                      .C = 24,
                                      .F = 40,
                                      .Hq = 1,
                                      .Hkv = 1,
                                      .D = 8,
                                      .max_context = 32,
                                      .rope_theta = 1e4f,
                                      .norm_eps = 1e-6f};

/* A chunk that is the head alone. */
struct headed {
    struct dims d;
    const struct ops *ops;
    struct param_list params;
    struct chunk *chunk;
    struct arena arena;
    void *weights, *in, *back;
    float *grad;
    int target[ROWS], drawn[ROWS];
    float logp[ROWS], entropy[ROWS], dlogp[ROWS];
    float *logits; /* (ROWS, V) of decoding */
    struct rows rows;
    struct head_io io;
};

static void loss(void *ctx, const struct head_io *io, int from, int to)
{
    (void)ctx;
    for (int t = from; t < to; t++)
        io->dlogp[t] = io->target[t] < 0 ? 0 : -(float)tiny_loss_weight(t) * 1e-3f;
}

static void rows_make(struct headed *h)
{
    size_t n = (size_t)ROWS * (size_t)h->d.C;
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = tiny_round((float)tiny_wave("rows", i));
    h->in = calloc(n, h->ops->real_bytes);
    h->back = calloc(n, h->ops->real_bytes);
    h->logits = calloc((size_t)ROWS * (size_t)h->d.V, sizeof *h->logits);
    h->ops->to_real(h->in, x, n);
    free(x);
    for (int t = 0; t < ROWS; t++) h->target[t] = t % 6 == 5 ? -1 : (7 * t + 2) % h->d.V;
    h->rows = (struct rows){.T = ROWS};
    h->io = (struct head_io){.target = h->target,
                             .logp = h->logp,
                             .entropy = h->entropy,
                             .dlogp = h->dlogp,
                             .inv_temperature = 1 / 0.8f,
                             .loss = loss,
                             .learns = true,
                             .ctx = h};
}

/* tp NULL: the whole vocabulary on this rank. */
static void headed_make(struct headed *h, const struct ops *ops, struct exchange *tp, int head_rows)
{
    *h = (struct headed){.d = DIMS_HEAD, .ops = ops};
    h->d.precision = ops->precision;
    if (tp) h->d.tp = exchange_size(tp), h->d.t = exchange_rank(tp);
    struct chunk_setup setup = {.dims = &h->d,
                                .span = {h->d.L, 0, false, true},
                                .ops = ops,
                                .parallel = {.tp = tp},
                                .T_max = ROWS,
                                .head_rows = head_rows,
                                .slots = 1,
                                .training = true};
    param_list_make(&h->params, &h->d, setup.span);
    setup.weights = h->weights = tiny_weights_make(&h->params, ops);
    h->grad = calloc(h->params.total + 1, sizeof *h->grad);
    for (int round = 0; round < 2; round++) {
        chunk_free(h->chunk);
        h->chunk = chunk_new(&setup, &h->arena);
        chunk_place_slots(&h->chunk, 1, &h->arena);
        if (round == 0) arena_back(&h->arena, &device_host, h->arena.used);
    }
    rows_make(h);
}

static void headed_free(struct headed *h)
{
    chunk_free(h->chunk);
    param_list_free(&h->params);
    arena_free(&h->arena);
    free(h->weights);
    free(h->in);
    free(h->back);
    free(h->grad);
    free(h->logits);
}

static void run(struct headed *h, enum pass_kind kind)
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

static void train(struct headed *h)
{
    run(h, PASS_F);
    run(h, PASS_BW);
}

static size_t back_bytes(const struct headed *h)
{
    return (size_t)ROWS * (size_t)h->d.C * h->ops->real_bytes;
}

static void check_same(const struct headed *a, const struct headed *b, const char *what)
{
    const char *name = a->ops->name;
    ck_all(memcmp(a->logp, b->logp, sizeof a->logp) == 0, "%s, %s: logp", name, what);
    ck_all(memcmp(a->entropy, b->entropy, sizeof a->entropy) == 0, "%s, %s: entropy", name, what);
    ck_all(memcmp(a->back, b->back, back_bytes(a)) == 0, "%s, %s: input gradient", name, what);
    if (strcmp(a->ops->isa, "plain") == 0) return; /* sums all rows of a call in double */
    ck_all(memcmp(a->grad, b->grad, a->params.total * sizeof *a->grad) == 0, "%s, %s: gradients",
           name, what);
}

static void draw(void *ctx, const float *logits, int from, int n)
{
    struct headed *h = ctx;
    size_t V = (size_t)h->d.V;
    memcpy(h->logits + (size_t)from * V, logits, (size_t)n * V * sizeof *logits);
    memcpy(h->drawn + from, h->target + from, (size_t)n * sizeof *h->drawn);
}

/* The last `skip` rows have no logits. */
static void decode(struct headed *h, int skip)
{
    static int pos[ROWS];
    static const int *table[ROWS];
    const struct decode_rows rows = {.T = ROWS, .skip = skip, .kv = {pos, table}};
    const struct head_draw d = {.draw = draw,
                                .ctx = h,
                                .target = h->drawn,
                                .logp = h->logp,
                                .entropy = h->entropy,
                                .inv_temperature = h->io.inv_temperature};
    memset(h->logp, 0, sizeof h->logp);
    chunk_decode(h->chunk, &rows, NULL, h->in, NULL, &d);
}

static void check_decoded(struct headed *one, struct exchange *tp, const struct headed *alone)
{
    static const int blocks[] = {0, 64, 7};
    for (int k = 0; k < 3; k++) {
        struct headed h;
        headed_make(&h, one->ops, tp, blocks[k]);
        decode(&h, 123);
        ck_all(memcmp(h.logp, one->logp, (ROWS - 123) * sizeof *h.logp) == 0,
               "%s: ratio not one, blocks of %d", h.ops->name, blocks[k]);
        for (int t = ROWS - 123; t < ROWS; t++) ck_all(h.logp[t] == 0, "row %d", t);
        ck_all(memcmp(h.logits, alone->logits, (size_t)(ROWS - 123) * (size_t)h.d.V * 4) == 0,
               "%s: other logits than of one rank", h.ops->name);
        headed_free(&h);
    }
}

static void check_near(const struct headed *one, const struct headed *alone)
{
    double most = 0, limit = one->ops->precision == PRECISION_FP32 ? 1e-5 : 1e-4;
    for (int t = 0; t < ROWS; t++)
        most = fmax(most, fabs((double)one->logp[t] - (double)alone->logp[t]));
    ck_all(most < limit, "%s: %g from one rank", one->ops->name, most);
}

START_TEST(blocks_of_a_shared_vocabulary)
{
    struct exchange *x = exchange_new(&transport_mpi, ck_world.comm, EXCHANGE_CHANNELS);
    struct exchange *tp = ck_world.size > 1 ? x : NULL;
    for (int i = 0; i < TINY_TABLES; i++) {
        struct headed one, h, alone;
        headed_make(&one, tiny_ops(i), tp, 0);
        train(&one);
        for (int k = 0; k < 4; k++) {
            headed_make(&h, tiny_ops(i), tp, k % 2 ? 512 : 256);
            h.io.whole = k >= 2;
            train(&h);
            check_same(&one, &h, h.io.whole ? "a whole loss" : "a loss by blocks");
            headed_free(&h);
        }
        headed_make(&alone, tiny_ops(i), NULL, 0);
        decode(&alone, 0);
        check_near(&one, &alone);
        check_decoded(&one, tp, &alone);
        headed_free(&alone);
        headed_free(&one);
    }
    exchange_free(x);
}
END_TEST

#define TESTS(X) X(blocks_of_a_shared_vocabulary)

MPI_MAIN("head")
