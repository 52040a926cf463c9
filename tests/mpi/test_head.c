/* ranks: 1 2 3 5 */
/* The head over shares of a vocabulary, in blocks of rows: the bits of one block, whichever loss;
 * close to what one rank computes; and tokens decoded in blocks of another size get the
 * log-probabilities of training, to the bit (P2). */
#include "tests/support/headed.h"
#include "tests/support/check_mpi.h"

enum { ROWS = HEADED_ROWS };
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

/* The head of one rank, or its share, and what is decoded with it. */
struct decoded {
    struct headed h;
    int drawn[ROWS];
    float *logits; /* (ROWS, V) */
};

static void loss(void *ctx, const struct head_io *io, int from, int to)
{
    (void)ctx;
    for (int t = from; t < to; t++)
        io->dlogp[t] = io->target[t] < 0 ? 0 : -(float)tiny_loss_weight(t) * 1e-3f;
}

/* tp NULL: the whole vocabulary on this rank. */
static void make(struct headed *h, const struct ops *ops, struct exchange *tp, int head_rows)
{
    const struct headed_shape shape = {
        .d = DIMS_HEAD, .ops = ops, .tp = tp, .head_rows = head_rows, .loss = loss};
    headed_make(h, &shape);
}

static void decoded_make(struct decoded *d, const struct ops *ops, struct exchange *tp,
                         int head_rows)
{
    make(&d->h, ops, tp, head_rows);
    d->logits = calloc((size_t)ROWS * (size_t)d->h.d.V, sizeof *d->logits);
}

static void decoded_free(struct decoded *d)
{
    headed_free(&d->h);
    free(d->logits);
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
    struct decoded *d = ctx;
    size_t V = (size_t)d->h.d.V;
    memcpy(d->logits + (size_t)from * V, logits, (size_t)n * V * sizeof *logits);
    memcpy(d->drawn + from, d->h.target + from, (size_t)n * sizeof *d->drawn);
}

/* The last `skip` rows have no logits. */
static void decode(struct decoded *d, int skip)
{
    static int pos[ROWS];
    static const int *table[ROWS];
    struct headed *h = &d->h;
    const struct decode_rows rows = {.T = ROWS, .skip = skip, .kv = {pos, table}};
    const struct head_draw how = {.draw = draw,
                                  .ctx = d,
                                  .target = d->drawn,
                                  .logp = h->logp,
                                  .entropy = h->entropy,
                                  .inv_temperature = h->io.inv_temperature};
    memset(h->logp, 0, sizeof h->logp);
    chunk_decode(h->chunk, &rows, NULL, h->in, NULL, &how);
}

/* How far the logits of two ways lie apart. */
static double logits_apart(const struct decoded *a, const struct decoded *b, int rows)
{
    double most = 0;
    for (int i = 0; i < rows * a->h.d.V; i++)
        most = fmax(most, fabs((double)a->logits[i] - (double)b->logits[i]));
    return most;
}

static double near_limit(const struct ops *ops)
{
    return ops->precision == PRECISION_FP32 ? 1e-5 : 1e-4;
}

/* The same logits in blocks of any size. Of one rank they may differ in the last bits: the columns
 * behind a kernel's last full tile are summed in another order, and shares end at other columns. */
static void check_decoded(struct headed *one, struct exchange *tp, const struct decoded *alone)
{
    static const int blocks[] = {0, 64, 7};
    enum { KEPT = ROWS - 123 };
    struct decoded d[3];
    for (int k = 0; k < 3; k++) {
        const struct headed *h = &d[k].h;
        const char *name = one->ops->name;
        decoded_make(&d[k], one->ops, tp, blocks[k]);
        decode(&d[k], ROWS - KEPT);
        ck_all(memcmp(h->logp, one->logp, KEPT * sizeof *h->logp) == 0,
               "%s: ratio not one, blocks of %d", name, blocks[k]);
        for (int t = KEPT; t < ROWS; t++) ck_all(h->logp[t] == 0, "row %d", t);
        size_t bytes = KEPT * (size_t)h->d.V * sizeof *d[k].logits;
        ck_all(memcmp(d[k].logits, d[0].logits, bytes) == 0, "%s: logits in blocks of %d", name,
               blocks[k]);
        double apart = logits_apart(&d[k], alone, KEPT);
        ck_all(apart < near_limit(one->ops), "%s: logits %g from one rank", name, apart);
    }
    for (int k = 0; k < 3; k++) decoded_free(&d[k]);
}

static void check_near(const struct headed *one, const struct headed *alone)
{
    double most = 0, limit = near_limit(one->ops);
    for (int t = 0; t < ROWS; t++)
        most = fmax(most, fabs((double)one->logp[t] - (double)alone->logp[t]));
    ck_all(most < limit, "%s: %g from one rank", one->ops->name, most);
}

START_TEST(blocks_of_a_shared_vocabulary)
{
    struct exchange *x = exchange_new(&transport_mpi, ck_world.comm, EXCHANGE_CHANNELS);
    struct exchange *tp = ck_world.size > 1 ? x : NULL;
    for (int i = 0; i < TINY_TABLES; i++) {
        struct headed one, h;
        struct decoded alone;
        make(&one, tiny_ops(i), tp, 0);
        headed_train(&one);
        for (int k = 0; k < 4; k++) {
            make(&h, tiny_ops(i), tp, k % 2 ? 512 : 256);
            h.io.whole = k >= 2;
            headed_train(&h);
            check_same(&one, &h, h.io.whole ? "a whole loss" : "a loss by blocks");
            headed_free(&h);
        }
        decoded_make(&alone, tiny_ops(i), NULL, 0);
        decode(&alone, 0);
        check_near(&one, &alone.h);
        check_decoded(&one, tp, &alone);
        decoded_free(&alone);
        headed_free(&one);
    }
    exchange_free(x);
}
END_TEST

#define TESTS(X) X(blocks_of_a_shared_vocabulary)

MPI_MAIN("head")
