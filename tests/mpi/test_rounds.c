/* ranks: 2 4; on each instruction set: 2 */
/* Experts with little room work rows off in rounds, to the bits of those that have room for all,
 * gradients of experts included: forward, backward in one and in two parts, in turn with another
 * pass, and in decoding. Routers are as they are, or send all rows to the first ranks' experts. */
#include "comm/exchange.h"
#include "model/block.h"
#include "tests/support/check_mpi.h"
#include "tests/support/tiny_model.h"

enum { STAGES = 2, ROWS = TINY_CAPACITY, LENGTH = 32, SEQUENCES = ROWS / LENGTH };

static const struct dims DIMS = {TINY_EXPERTS, .L = 4, .C = 24, .F = 40, .E = 8, .K = 3, .Fe = 16};
static int start[SEQUENCES + 1];

/* Alone on this rank; this rank's share with room for all rows; the same with little room; and with
 * what experts keep computed again. */
enum { ONE, WHOLE, ROUNDS, AGAIN, MODELS };
struct models {
    struct tiny_model m[MODELS];
    struct tiny_batch b[MODELS], next[MODELS];
    struct exchange *ep;
};

/* All rows then go to experts 0, 1 and 2: of equals the lower number. */
static void blind_routers(struct tiny_model *m)
{
    for (int c = 0; c < STAGES; c++) {
        const struct param_list *l = chunk_params(m->chunk[c]);
        for (int i = 0; i < l->n; i++)
            if (l->p[i].role == ROLE_ROUTER)
                memset((char *)m->weights[c] + l->p[i].offset * m->ops->real_bytes, 0,
                       l->p[i].n * m->ops->real_bytes);
        chunk_repack(m->chunk[c]);
    }
}

static void models_make(struct models *t, const struct ops *ops, bool blind, bool training)
{
    struct dims d = DIMS;
    d.ep = ck_world.size;
    d.e = ck_world.rank;
    t->ep = exchange_new(&transport_mpi, ck_world.comm, 4);
    for (int i = 0; i < MODELS; i++) {
        struct parallel parallel = {.ep = i == ONE ? NULL : t->ep};
        tiny_expert_room = i >= ROUNDS ? 0.25 : 0;
        tiny_recompute = i < AGAIN ? RECOMPUTE_NONE : blind ? RECOMPUTE_FULL : RECOMPUTE_PRODUCTS;
        tiny_share_make(&t->m[i], i == ONE ? &DIMS : &d, parallel, ops, STAGES, ROWS, training);
        if (blind) blind_routers(&t->m[i]);
    }
    tiny_expert_room = 0;
    tiny_recompute = RECOMPUTE_NONE;
}

static void models_free(struct models *t)
{
    for (int i = 0; i < MODELS; i++) tiny_model_free(&t->m[i]);
    exchange_free(t->ep);
}

static void batch_make(struct tiny_batch *b, int shift, int sequences)
{
    tiny_batch_make(b, &DIMS, 3 * ck_world.rank + shift);
    for (int i = 0; i <= SEQUENCES; i++) start[i] = i * LENGTH;
    for (int t = 0; t < ROWS; t++) b->pos[t] = t % LENGTH, b->token[t] = (t * t + shift) % DIMS.V;
    b->rows = (struct rows){sequences * LENGTH, {sequences, start}, b->token, b->pos};
    b->balance = 0.01f;
}

static void batches_make(struct models *t, int sequences)
{
    for (int i = 0; i < MODELS; i++) {
        batch_make(&t->b[i], 0, sequences);
        batch_make(&t->next[i], 5, SEQUENCES);
    }
}

static void same_rows(const struct models *t, int i, const char *what)
{
    const struct tiny_batch *a = &t->b[ONE], *b = &t->b[i];
    size_t n = (size_t)a->rows.T * sizeof(float);
    size_t bytes = (size_t)a->rows.T * (size_t)DIMS.C * t->m[i].ops->real_bytes;
    ck_all(memcmp(a->logp, b->logp, n) == 0, "%s: logp", what);
    ck_all(memcmp(t->m[ONE].message[1], t->m[i].message[1], bytes) == 0, "%s: gradient", what);
}

/* The plain table rounds a gradient once a call, so there rounds show. */
static void same_gradients(const struct models *t, int m, const char *what)
{
    if (strcmp(t->m[m].ops->isa, "plain") == 0) return;
    for (int c = 0; c < STAGES; c++) {
        const struct param_list *l = chunk_params(t->m[m].chunk[c]);
        for (int i = 0; i < l->n; i++)
            ck_all(memcmp(t->m[m].grad[c] + l->p[i].offset, t->m[WHOLE].grad[c] + l->p[i].offset,
                          l->p[i].n * sizeof(float)) == 0,
                   "%s: gradient of %s", what, l->p[i].name);
    }
}

/* The most rounds of a layer, of the pass that had this slot last. */
static int rounds(const struct tiny_model *m, int slot)
{
    int most = 0;
    for (int c = 0; c < STAGES; c++)
        for (int i = 0; i < m->chunk[c]->units; i++) {
            const struct moe_acts *k = m->chunk[c]->slot[slot].acts[0][i];
            bool experts = m->chunk[c]->unit[i].part == &PART_MOE;
            if (experts && *k->rounds > most) most = *k->rounds;
        }
    return most;
}

/* What chunks say of it, from here on counting anew. */
static int told(const struct tiny_model *m)
{
    int most = 0;
    for (int c = 0; c < STAGES; c++) {
        int n = chunk_rounds(m->chunk[c]);
        if (n > most) most = n;
        chunk_load_clear(m->chunk[c]);
        ck_all(chunk_rounds(m->chunk[c]) == 0, "rounds after they were cleared");
    }
    return most;
}

START_TEST(rounds_give_the_bits_of_one)
{
    for (int i = 0; i < 2 * TINY_TABLES; i++) {
        static struct models t;
        const struct ops *ops = tiny_ops(i / 2);
        bool blind = i % 2;
        models_make(&t, ops, blind, true);
        for (int split = 0; split < 2; split++) { /* and no rows on the last rank */
            batches_make(&t, split && ck_world.rank == ck_world.size - 1 ? 0 : SEQUENCES);
            for (int k = 0; k < MODELS; k++) {
                tiny_run(&t.m[k], PASS_F, 0, &t.b[k]);
                tiny_run(&t.m[k], split ? PASS_B : PASS_BW, 0, &t.b[k]);
                if (split) tiny_run(&t.m[k], PASS_W, 0, &t.b[k]);
            }
            for (int k = WHOLE; k < MODELS; k++) same_rows(&t, k, ops->name);
            for (int k = ROUNDS; k < MODELS; k++) same_gradients(&t, k, ops->name);
            ck_all(rounds(&t.m[WHOLE], 0) == 1, "rounds although there is room");
            ck_all(rounds(&t.m[ROUNDS], 0) > (blind ? 2 : 1), "%d rounds", rounds(&t.m[ROUNDS], 0));
            for (int k = 0; k < MODELS; k++)
                ck_all(told(&t.m[k]) == (k == ONE ? 1 : rounds(&t.m[k], 0)), "%d rounds told",
                       told(&t.m[k]));
        }
        models_free(&t);
    }
}
END_TEST

/* --- in turn --- */

static void step_in_turn(struct pass *a, struct pass *b)
{
    bool a_done = false, b_done = false;
    pass_begin(a);
    pass_begin(b);
    while (!a_done || !b_done) {
        if (!a_done) a_done = pass_step(a);
        if (!b_done) b_done = pass_step(b);
    }
}

/* F of one micro-batch and BW of another, a step of each in turn, then BW of the former. */
static void run_in_turn(struct models *t, int i)
{
    struct tiny_model *m = &t->m[i];
    static unsigned char ends[2][ROWS * 24 * 4];
    unsigned char in[sizeof ends[0]];
    tiny_run(m, PASS_F, 0, &t->b[i]);
    for (int k = 0; k < STAGES; k++) {
        int c = STAGES - 1 - k;
        struct pass b = tiny_pass(m, c, PASS_BW, 0, &t->b[i]);
        struct pass f = tiny_pass(m, k, PASS_F, 1, &t->next[i]);
        if (f.out) f.out = ends[1];
        if (f.in) f.in = memcpy(in, ends[1], sizeof in);
        step_in_turn(&f, &b);
    }
    same_rows(t, i, "in turn");
    tiny_run(m, PASS_BW, 1, &t->next[i]);
}

START_TEST(passes_in_turn_have_their_own_rounds)
{
    static struct models t;
    models_make(&t, ops_find(PRECISION_BF16, NULL), true, true);
    batches_make(&t, SEQUENCES);
    tiny_run(&t.m[ONE], PASS_F, 0, &t.b[ONE]);
    tiny_run(&t.m[ONE], PASS_BW, 0, &t.b[ONE]);
    run_in_turn(&t, WHOLE);
    for (int k = ROUNDS; k < MODELS; k++) {
        run_in_turn(&t, k);
        same_gradients(&t, k, "in turn");
    }
    ck_all(rounds(&t.m[ROUNDS], 0) > 4 && rounds(&t.m[ROUNDS], 1) > 4, "too few rounds");
    models_free(&t);
}
END_TEST

/* --- where nothing is kept --- */

static const struct tiny_batch *drawn;
static void draw_targets(void *ctx, const float *logits, int from, int n)
{
    const struct head_draw *d = ctx;
    (void)logits;
    for (int i = from; i < from + n; i++)
        d->target[i] = drawn->target[i] < 0 ? 0 : drawn->target[i];
}

/* All sequences in one call. */
static void decode_all(struct tiny_model *m, const struct tiny_batch *b, float *logp)
{
    struct cache cache[STAGES];
    struct arena arena = {0};
    int target[ROWS];
    float entropy[ROWS];
    const int *table[ROWS];
    struct head_draw draw = {.draw = draw_targets,
                             .target = target,
                             .logp = logp,
                             .entropy = entropy,
                             .inv_temperature = b->head.inv_temperature};
    draw.ctx = &draw;
    drawn = b;
    for (int round = 0; round < 2; round++) {
        for (int c = 0; c < STAGES; c++)
            cache_place(&cache[c], &m->d, m->ops, m->chunk[c]->span, SEQUENCES,
                        SEQUENCES * LENGTH / KV_BLOCK, LENGTH, &arena);
        if (round == 0) arena_back(&arena, &device_host, arena.used);
    }
    for (int c = 0; c < STAGES; c++) {
        for (int t = 0; t < b->rows.T; t++) {
            cache_extend(&cache[c], t / LENGTH, b->pos[t]);
            table[t] = cache_table(&cache[c], t / LENGTH);
        }
        struct decode_rows rows = {.T = b->rows.T, .token = b->token, .kv = {b->pos, table}};
        chunk_decode(m->chunk[c], &rows, &cache[c], m->message[c], m->message[c + 1], &draw);
    }
    arena_free(&arena);
}

START_TEST(decoding_and_scoring_go_in_rounds)
{
    for (int i = 0; i < 2 * TINY_TABLES; i++) {
        static struct models t;
        const struct ops *ops = tiny_ops(i / 2);
        float logp[ROWS];
        bool training = i % 2;
        models_make(&t, ops, true, training);
        batches_make(&t, SEQUENCES);
        for (int k = 0; k < MODELS; k++) {
            t.b[k].head.learns = false;
            tiny_run(&t.m[k], PASS_F, 0, &t.b[k]);
        }
        same_rows(&t, ROUNDS, ops->name);
        decode_all(&t.m[ROUNDS], &t.b[ROUNDS], logp);
        ck_all(rounds(&t.m[ROUNDS], training ? TINY_SLOTS : 0) > 4, "too few rounds");
        bool same = true;
        for (int r = 0; r < ROWS; r++)
            same = same && (t.b[ONE].target[r] < 0 || logp[r] == t.b[ONE].logp[r]);
        ck_all(same, "%s: logp of decoding", ops->name);
        models_free(&t);
    }
}
END_TEST

#define TESTS(X)                            \
    X(rounds_give_the_bits_of_one)          \
    X(passes_in_turn_have_their_own_rounds) \
    X(decoding_and_scoring_go_in_rounds)

MPI_MAIN("rounds")
