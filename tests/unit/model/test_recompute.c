/* on each instruction set */
/* Activations that are computed again: the same bits as kept ones, in less memory. */
#include "tests/support/check_unit.h"
#include "tests/support/tiny_model.h"

/* Every test runs for each model of the family, each table and each setting. */
enum { SETTINGS = RECOMPUTE_FULL, CASES = SETTINGS * TINY_CASES };

static enum recompute setting_of(int i)
{
    return (enum recompute)(RECOMPUTE_SELECTIVE + i / TINY_CASES);
}

static void make(struct tiny_model *m, int i, enum recompute setting, int stages)
{
    int of = i % TINY_CASES;
    tiny_recompute = setting;
    tiny_model_make(m, &TINY_FAMILY[of % TINY_FAMILIES], tiny_ops(of / TINY_FAMILIES), stages,
                    TINY_ROWS + 9, true);
}

static void check_same_gradients(const struct tiny_model *a, const struct tiny_model *b)
{
    for (int c = 0; c < b->stages; c++) {
        const struct param_list *l = chunk_params(b->chunk[c]);
        for (int i = 0; i < l->n; i++) {
            const float *ga = tiny_grad(a, l->p[i].name), *gb = b->grad[c] + l->p[i].offset;
            ck_assert_msg(memcmp(ga, gb, l->p[i].n * sizeof *ga) == 0, "%s differs", l->p[i].name);
        }
    }
}

static void check_same_rows(const struct tiny_batch *a, const struct tiny_batch *b)
{
    ck_assert_mem_eq(a->logp, b->logp, sizeof a->logp);
    ck_assert(a->loss == b->loss && a->loss > 1);
}

/* Two micro-batches, one after the other, in chunks that keep everything. */
struct kept {
    struct tiny_model m;
    struct tiny_batch b[2];
};
static void kept_make(struct kept *k, int i)
{
    make(&k->m, i, RECOMPUTE_NONE, 1);
    for (int b = 0; b < 2; b++) {
        tiny_batch_make(&k->b[b], &k->m.d, b);
        tiny_run(&k->m, PASS_F, 0, &k->b[b]);
        tiny_run(&k->m, PASS_BW, 0, &k->b[b]);
    }
}

/* Both micro-batches under way: what is computed again of one lies where that of the other lay.
 * Memory full of NaN bits at first. */
START_TEST(same_bits)
{
    static const enum pass_kind order[] = {PASS_F, PASS_BW};
    struct kept k;
    struct tiny_model m;
    struct tiny_batch b[2];
    kept_make(&k, _i);
    for (int stages = 1; stages <= 2; stages++) {
        make(&m, _i, setting_of(_i), stages);
        memset(m.arena.base + m.slots_at, 0xff, m.slots_end - m.slots_at);
        for (int i = 0; i < 2; i++) tiny_batch_make(&b[i], &m.d, i);
        for (int pass = 0; pass < 2; pass++)
            for (int i = 0; i < 2; i++) tiny_run(&m, order[pass], i, &b[i]);
        for (int i = 0; i < 2; i++) check_same_rows(&k.b[i], &b[i]);
        check_same_gradients(&k.m, &m);
        tiny_model_free(&m);
    }
    tiny_model_free(&k.m);
}
END_TEST

/* B does W's part, so that W has nothing left to do when it comes, whatever ran in between. */
START_TEST(weights_do_not_wait)
{
    struct kept k;
    struct tiny_model m;
    struct tiny_batch b[2];
    kept_make(&k, _i);
    make(&m, _i, setting_of(_i), 2);
    for (int i = 0; i < 2; i++) tiny_batch_make(&b[i], &m.d, i);
    for (int i = 0; i < 2; i++) tiny_run(&m, PASS_F, i, &b[i]);
    for (int i = 0; i < 2; i++) tiny_run(&m, PASS_B, i, &b[i]);
    check_same_gradients(&k.m, &m);
    for (int i = 0; i < 2; i++) tiny_run(&m, PASS_W, i, &b[i]);
    check_same_gradients(&k.m, &m);
    struct pass p = tiny_pass(&m, 0, PASS_W, 0, &b[0]);
    pass_run(&p);
    ck_assert_int_eq(pass_complete(&p), -1);
    tiny_model_free(&m);
    tiny_model_free(&k.m);
}
END_TEST

static void step_in_turn(struct pass *f, struct pass *w)
{
    bool f_done = false, w_done = false;
    pass_begin(f);
    pass_begin(w);
    while (!f_done || !w_done) {
        if (!f_done) f_done = pass_step(f);
        if (!w_done) w_done = pass_step(w);
    }
}

/* F of one micro-batch and B of another, a step of each in turn, on one chunk. */
START_TEST(pairs_do_not_disturb)
{
    struct kept k;
    struct tiny_model m;
    struct tiny_batch b[2];
    kept_make(&k, _i);
    make(&m, _i, setting_of(_i), 1);
    for (int i = 0; i < 2; i++) tiny_batch_make(&b[i], &m.d, i);
    tiny_run(&m, PASS_F, 0, &b[0]);
    struct pass f = tiny_pass(&m, 0, PASS_F, 1, &b[1]), w = tiny_pass(&m, 0, PASS_BW, 0, &b[0]);
    step_in_turn(&f, &w);
    tiny_run(&m, PASS_BW, 1, &b[1]);
    for (int i = 0; i < 2; i++) check_same_rows(&k.b[i], &b[i]);
    check_same_gradients(&k.m, &m);
    tiny_model_free(&m);
    tiny_model_free(&k.m);
}
END_TEST

/* The two chunks of a mirror's rank: F of one and BW of the other in turn, all that they keep and
 * compute again in the same memory. */
START_TEST(chunks_share)
{
    struct kept k;
    struct tiny_model m;
    struct tiny_batch b[2];
    struct arena measured = {0}, shared = {0};
    kept_make(&k, _i);
    make(&m, _i, setting_of(_i), 2);
    chunk_place_slots(m.chunk, 2, &measured);
    arena_back(&shared, &device_host, measured.used);
    chunk_place_slots(m.chunk, 2, &shared);
    for (int i = 0; i < 2; i++) tiny_batch_make(&b[i], &m.d, i);
    for (int c = 0; c < 2; c++) {
        struct pass p = tiny_pass(&m, c, PASS_F, c, &b[0]);
        pass_run(&p);
    }
    struct pass w = tiny_pass(&m, 1, PASS_BW, 1, &b[0]);
    pass_run(&w);
    w = tiny_pass(&m, 0, PASS_BW, 0, &b[0]);
    /* the messages of the two micro-batches are in one buffer */
    size_t bytes = (size_t)(TINY_ROWS + 9) * (size_t)m.d.C * m.ops->real_bytes;
    void *gradient = malloc(bytes);
    memcpy(gradient, m.message[1], bytes);
    w.in = gradient;
    struct pass f = tiny_pass(&m, 0, PASS_F, 1, &b[1]);
    step_in_turn(&f, &w);
    for (int pass = 0; pass < 3; pass++) {
        struct pass p = tiny_pass(&m, pass < 2, pass ? PASS_BW : PASS_F, pass < 2 ? 0 : 1, &b[1]);
        pass_run(&p);
    }
    for (int i = 0; i < 2; i++) check_same_rows(&k.b[i], &b[i]);
    check_same_gradients(&k.m, &m);
    free(gradient);
    arena_free(&shared);
    tiny_model_free(&m);
    tiny_model_free(&k.m);
}
END_TEST

#define TESTS(X)                         \
    X(same_bits, .to = CASES)            \
    X(weights_do_not_wait, .to = CASES)  \
    X(pairs_do_not_disturb, .to = CASES) \
    X(chunks_share, .to = CASES)

UNIT_MAIN("recompute", .timeout_s = 60)
