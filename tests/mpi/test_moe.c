/* ranks: 1 2 4; on each instruction set: 2 */
/* Expert parallelism: ranks that share experts give, each for its own rows, the bits of a rank that
 * holds all of them, forward, backward and in decoding. Gradients of shared experts are sums over
 * all ranks' rows, which one rank adds up in another order. */
#include "comm/exchange.h"
#include "model/block.h"
#include "tests/support/check_mpi.h"
#include "tests/support/tiny_model.h"

enum { STAGES = 2 };

static const struct dims DIMS = {TINY_EXPERTS, .L = 4, .C = 24, .F = 40, .E = 8, .K = 3, .Fe = 16};

/* The same model alone on this rank, and this rank's share of it. */
struct pair {
    struct tiny_model one, share;
    struct tiny_batch b[2]; /* of either: the same rows */
    struct exchange *ep;
};

static void pair_make(struct pair *p, const struct ops *ops)
{
    struct dims d = DIMS;
    d.ep = ck_world.size;
    d.e = ck_world.rank;
    p->ep = exchange_new(&transport_mpi, ck_world.comm, 4);
    tiny_model_make(&p->one, &DIMS, ops, STAGES, TINY_ROWS, true);
    tiny_share_make(&p->share, &d, (struct parallel){.ep = p->ep}, ops, STAGES, TINY_ROWS, true);
}

static void pair_free(struct pair *p)
{
    tiny_model_free(&p->one);
    tiny_model_free(&p->share);
    exchange_free(p->ep);
}

/* Every rank has other tokens; `rows` of the packed sequences. */
static void batches_make(struct pair *p, int shift, int sequences)
{
    for (int i = 0; i < 2; i++) {
        tiny_batch_make(&p->b[i], &DIMS, 3 * ck_world.rank + shift);
        p->b[i].balance = 0.01f;
        p->b[i].rows.T = TINY_START[sequences];
        p->b[i].rows.seg.n = sequences;
    }
}

static void same_rows(const struct pair *p, const char *what)
{
    size_t n = (size_t)p->b[0].rows.T * sizeof(float);
    size_t C = (size_t)DIMS.C * p->one.ops->real_bytes, bytes = (size_t)p->b[0].rows.T * C;
    ck_all(memcmp(p->b[0].logp, p->b[1].logp, n) == 0, "%s: logp", what);
    ck_all(memcmp(p->b[0].entropy, p->b[1].entropy, n) == 0, "%s: entropy", what);
    ck_all(memcmp(p->one.message[1], p->share.message[1], bytes) == 0, "%s: gradient", what);
}

/* A gradient of shared experts against the sum of all ranks' own. */
static double apart(const struct param *p, const float *share, const float *own)
{
    float *sum = malloc(p->whole * sizeof *sum);
    double most = 0, largest = 0;
    memcpy(sum, own, p->whole * sizeof *sum);
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, sum, (int)p->whole, MPI_FLOAT, MPI_SUM, ck_world.comm));
    for (size_t i = 0; i < p->whole; i++) largest = fmax(largest, fabs((double)sum[i]));
    for (size_t i = 0; i < p->n; i++)
        most = fmax(most, fabs((double)share[i] - (double)sum[param_index(p, i)]));
    free(sum);
    return most / (largest > 0 ? largest : 1);
}

static void same_gradients(const struct pair *p, const char *what)
{
    for (int c = 0; c < STAGES; c++) {
        const struct param_list *l = chunk_params(p->share.chunk[c]);
        for (int i = 0; i < l->n; i++) {
            const struct param *t = &l->p[i];
            const float *share = p->share.grad[c] + t->offset, *own = tiny_grad(&p->one, t->name);
            if (t->role != ROLE_EXPERT) {
                ck_all(memcmp(share, own, t->n * sizeof *own) == 0, "%s: %s", what, t->name);
                continue;
            }
            ck_all(t->n * (size_t)ck_world.size == t->whole, "%s: %zu of %zu elements", t->name,
                   t->n, t->whole);
            double d = apart(t, share, own);
            ck_all(d < 2e-6, "%s: %s is off by %g", what, t->name, d);
        }
    }
}

static void run(struct pair *p, enum pass_kind kind)
{
    tiny_run(&p->one, kind, 0, &p->b[0]);
    tiny_run(&p->share, kind, 0, &p->b[1]);
}

START_TEST(shared_experts_give_the_bits_of_one_rank)
{
    for (int i = 0; i < TINY_TABLES; i++) {
        struct pair p;
        const struct ops *ops = tiny_ops(i);
        pair_make(&p, ops);
        for (int shift = 0; shift < 2; shift++) { /* with rows on every rank; none on the last */
            bool empty = shift == 1 && ck_world.rank == ck_world.size - 1 && ck_world.size > 1;
            batches_make(&p, shift, empty ? 0 : TINY_SEQUENCES);
            run(&p, PASS_F);
            run(&p, shift ? PASS_BW : PASS_B);
            if (shift == 0) run(&p, PASS_W);
            same_rows(&p, ops->name);
            same_gradients(&p, ops->name);
        }
        for (int c = 0; c < STAGES; c++) {
            uint64_t chosen[2][TINY_CHOSEN] = {{0}};
            struct exact_sum balance[2];
            chunk_load(p.one.chunk[c], chosen[0], &balance[0]);
            chunk_load(p.share.chunk[c], chosen[1], &balance[1]);
            ck_all(memcmp(chosen[0], chosen[1], sizeof chosen[0]) == 0 &&
                       exact_value(&balance[0]) == exact_value(&balance[1]),
                   "%s: load", ops->name);
        }
        pair_free(&p);
    }
}
END_TEST

/* F of one micro-batch and BW of another on one chunk, a step of each in turn: exchanges of both
 * are open at once. */
START_TEST(passes_stepped_in_turn_do_not_disturb)
{
    struct pair p;
    struct tiny_batch next;
    pair_make(&p, ops_find(PRECISION_BF16, NULL));
    batches_make(&p, 0, TINY_SEQUENCES);
    run(&p, PASS_F);
    tiny_batch_make(&next, &DIMS, 5 + ck_world.rank);
    for (int c = STAGES - 1; c >= 0; c--) {
        struct pass b = tiny_pass(&p.share, c, PASS_BW, 0, &p.b[1]);
        struct pass f = tiny_pass(&p.share, c, PASS_F, 1, &next);
        unsigned char *in = calloc(TINY_ROWS, (size_t)DIMS.C * p.share.ops->real_bytes);
        unsigned char *out = calloc(TINY_ROWS, (size_t)DIMS.C * p.share.ops->real_bytes);
        if (c > 0) f.in = in;
        if (c < STAGES - 1) f.out = out;
        bool f_done = false, b_done = false;
        int steps = 0;
        pass_begin(&f);
        pass_begin(&b);
        while (!f_done || !b_done) {
            if (!f_done) f_done = pass_step(&f);
            if (!b_done) b_done = pass_step(&b);
            steps++;
        }
        ck_all(ck_world.size == 1 || steps > 2 * DIMS.L / STAGES + 1, "%d steps", steps);
        free(in);
        free(out);
    }
    tiny_run(&p.one, PASS_BW, 0, &p.b[0]);
    same_rows(&p, "in turn");
    same_gradients(&p, "in turn");
    pair_free(&p);
}
END_TEST

/* --- decoding --- */

struct decoder {
    struct cache cache[STAGES];
    struct arena arena;
    float logits[TINY_ROWS * 29]; /* (rows, V) */
    int target[TINY_ROWS];
    float logp[TINY_ROWS], entropy[TINY_ROWS];
    float *to; /* where those of the call under way go */
};

static void keep_logits(void *ctx, const float *logits, int from, int n)
{
    struct decoder *d = ctx;
    memcpy(d->to + from * DIMS.V, logits, (size_t)(n * DIMS.V) * sizeof *logits);
}

static void decoder_make(struct decoder *d, const struct tiny_model *m)
{
    *d = (struct decoder){0};
    for (int round = 0; round < 2; round++) {
        for (int c = 0; c < STAGES; c++)
            cache_place(&d->cache[c], &m->d, m->ops, m->chunk[c]->span, 1, 4, 32, &d->arena);
        if (round == 0) arena_back(&d->arena, &device_host, d->arena.used);
    }
}

/* Positions [from, from + n) of the third sequence; logits of all. */
static void decode(struct decoder *d, struct tiny_model *m, const struct tiny_batch *b, int from,
                   int n)
{
    int pos[TINY_ROWS];
    const int *table[TINY_ROWS];
    const struct head_draw draw = {.draw = keep_logits,
                                   .ctx = d,
                                   .target = d->target,
                                   .logp = d->logp,
                                   .entropy = d->entropy,
                                   .inv_temperature = 1};
    d->to = d->logits + from * DIMS.V;
    for (int c = 0; c < STAGES; c++) {
        for (int t = 0; t < n; t++) {
            pos[t] = from + t;
            cache_extend(&d->cache[c], 0, pos[t]);
            table[t] = cache_table(&d->cache[c], 0);
        }
        struct decode_rows rows = {
            .T = n, .token = b->token + TINY_START[2] + from, .kv = {pos, table}};
        chunk_decode(m->chunk[c], &rows, &d->cache[c], m->message[c], m->message[c + 1], &draw);
    }
}

/* Ranks are at different places, some have nothing to do; all get the bits of the training pass. */
START_TEST(decoding_gives_the_bits_of_training)
{
    for (int i = 0; i < TINY_TABLES; i++) {
        static struct decoder d;
        struct pair p;
        int length = TINY_START[3] - TINY_START[2], done = 0;
        pair_make(&p, tiny_ops(i));
        batches_make(&p, 2, TINY_SEQUENCES);
        p.b[0].head.loss = NULL; /* so that the logits stay as they are */
        tiny_run(&p.one, PASS_F, 0, &p.b[0]);
        decoder_make(&d, &p.share);
        for (int call = 0; call < 12; call++) {
            int n = (call + ck_world.rank) % 4;
            if (n > length - done) n = length - done;
            decode(&d, &p.share, &p.b[1], done, n);
            done += n;
        }
        ck_all(done == length, "%d of %d positions", done, length);
        const float *logits = p.one.chunk[STAGES - 1]->head.logits;
        size_t V = (size_t)DIMS.V;
        ck_all(memcmp(d.logits, logits + (size_t)TINY_START[2] * V,
                      (size_t)length * V * sizeof(float)) == 0,
               "%s: logits", p.one.ops->name);
        arena_free(&d.arena);
        pair_free(&p);
    }
}
END_TEST

#define TESTS(X)                                \
    X(shared_experts_give_the_bits_of_one_rank) \
    X(passes_stepped_in_turn_do_not_disturb)    \
    X(decoding_gives_the_bits_of_training)

MPI_MAIN("moe")
