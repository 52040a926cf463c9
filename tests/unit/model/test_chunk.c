/* Passes: however a model is cut, and in whatever order its passes are stepped, the bits are the
 * same. */
#include <malloc.h>

#include "tests/support/tiny_model.h"
#include "tests/support/check_unit.h"

/* Every test runs for each model of the family and each table (_i counts both). */
static const struct dims *dims_under_test(int i)
{
    return &TINY_FAMILY[i % TINY_FAMILIES];
}
static const struct ops *ops_under_test(int i)
{
    return tiny_ops(i / TINY_FAMILIES);
}

static void train_once(struct tiny_model *m, struct tiny_batch *b)
{
    tiny_run(m, PASS_F, 0, b);
    tiny_run(m, PASS_BW, 0, b);
}

/* Also says that there is a gradient at all. */
static void check_same_gradients(const struct tiny_model *a, const struct tiny_model *b)
{
    for (int c = 0; c < b->stages; c++) {
        const struct param_list *l = chunk_params(b->chunk[c]);
        for (int i = 0; i < l->n; i++) {
            const float *ga = tiny_grad(a, l->p[i].name), *gb = b->grad[c] + l->p[i].offset;
            double size = 0;
            for (size_t e = 0; e < l->p[i].n; e++) size += fabs((double)gb[e]);
            ck_assert_msg(size > 0, "%s has no gradient", l->p[i].name);
            ck_assert_msg(memcmp(ga, gb, l->p[i].n * sizeof *ga) == 0, "%s differs", l->p[i].name);
        }
    }
}

static void check_same_rows(const struct tiny_batch *a, const struct tiny_batch *b)
{
    ck_assert_mem_eq(a->logp, b->logp, sizeof a->logp);
    ck_assert_mem_eq(a->entropy, b->entropy, sizeof a->entropy);
    ck_assert(a->loss == b->loss && a->loss > 1 && a->loss < 20);
}

START_TEST(cuts_do_not_change_a_bit)
{
    struct tiny_model whole, cut;
    struct tiny_batch a, b;
    tiny_model_make(&whole, dims_under_test(_i), ops_under_test(_i), 1, TINY_ROWS, true);
    tiny_batch_make(&a, &whole.d, 0);
    train_once(&whole, &a);
    for (int stages = 2; stages <= TINY_STAGES; stages++) {
        tiny_model_make(&cut, dims_under_test(_i), ops_under_test(_i), stages, TINY_ROWS, true);
        tiny_batch_make(&b, &cut.d, 0);
        train_once(&cut, &b);
        check_same_rows(&a, &b);
        check_same_gradients(&whole, &cut);
        tiny_model_free(&cut);
    }
    tiny_model_free(&whole);
}
END_TEST

/* Two micro-batches one after the other, F BW F BW, against both at once, F F B B W W, with room
 * for more rows than there are. */
START_TEST(weight_gradients_may_wait)
{
    static const enum pass_kind order[] = {PASS_F, PASS_B, PASS_W};
    struct tiny_model serial, split;
    struct tiny_batch a[2], b[2];
    tiny_model_make(&serial, dims_under_test(_i), ops_under_test(_i), 2, TINY_ROWS, true);
    tiny_model_make(&split, dims_under_test(_i), ops_under_test(_i), 2, TINY_ROWS + 9, true);
    for (int i = 0; i < 2; i++) {
        tiny_batch_make(&a[i], &serial.d, i);
        tiny_batch_make(&b[i], &split.d, i);
        train_once(&serial, &a[i]);
    }
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 2; i++) tiny_run(&split, order[k], 1 - i, &b[i]);
    for (int i = 0; i < 2; i++) check_same_rows(&a[i], &b[i]);
    check_same_gradients(&serial, &split);
    tiny_model_free(&serial);
    tiny_model_free(&split);
}
END_TEST

static enum pass_kind pass_of(const struct param *p)
{
    if (p->role == ROLE_HEAD) return PASS_F;
    return p->role == ROLE_NORM ? PASS_B : PASS_W;
}

/* F alone touches the head, B alone norm gains, W alone everything else. */
START_TEST(each_gradient_is_of_one_pass)
{
    static const enum pass_kind order[] = {PASS_F, PASS_B, PASS_W};
    struct tiny_model m;
    struct tiny_batch b;
    tiny_model_make(&m, dims_under_test(_i), ops_under_test(_i), 1, TINY_ROWS, true);
    tiny_batch_make(&b, &m.d, 0);
    const struct param_list *l = chunk_params(m.chunk[0]);
    for (int pass = 0; pass < 3; pass++) {
        tiny_grad_clear(&m);
        tiny_run(&m, order[pass], 0, &b);
        for (int i = 0; i < l->n; i++) {
            double size = 0;
            const float *g = m.grad[0] + l->p[i].offset;
            for (size_t e = 0; e < l->p[i].n; e++) size += fabs((double)g[e]);
            ck_assert_msg((size > 0) == (pass_of(&l->p[i]) == order[pass]), "%s, pass %d",
                          l->p[i].name, pass);
        }
    }
    tiny_model_free(&m);
}
END_TEST

static int layer_of(const struct dims *d, const struct param *p)
{
    int layer;
    if (sscanf(p->name, "layers.%d.", &layer) == 1) return layer;
    return p->role == ROLE_EMBEDDING ? -1 : d->L;
}

/* What pass_complete says is done has its final bits, and of what is not some have not. */
static void check_complete(const struct tiny_model *m, const struct tiny_model *final, int from)
{
    const struct param_list *l = chunk_params(m->chunk[0]);
    bool behind = true, before = from == -1;
    for (int i = 0; i < l->n; i++) {
        size_t at = l->p[i].offset, bytes = l->p[i].n * sizeof(float);
        bool same = memcmp(m->grad[0] + at, final->grad[0] + at, bytes) == 0;
        if (layer_of(&m->d, &l->p[i]) >= from)
            behind = behind && same;
        else
            before = before || !same;
    }
    ck_assert_msg(behind && before, "from layer %d on: %s", from, behind ? "more" : "not yet");
}

START_TEST(layers_are_complete_one_by_one)
{
    struct tiny_model m, final;
    struct tiny_batch b;
    tiny_model_make(&final, dims_under_test(_i), ops_under_test(_i), 1, TINY_ROWS, true);
    tiny_model_make(&m, dims_under_test(_i), ops_under_test(_i), 1, TINY_ROWS, true);
    tiny_batch_make(&b, &m.d, 0);
    train_once(&final, &b);
    for (int split = 0; split < 2; split++) {
        bool seen[32] = {false};
        tiny_grad_clear(&m);
        tiny_run(&m, PASS_F, 0, &b);
        if (split) tiny_run(&m, PASS_B, 0, &b);
        struct pass p = tiny_pass(&m, 0, split ? PASS_W : PASS_BW, 0, &b);
        pass_begin(&p);
        ck_assert_int_eq(pass_complete(&p), m.d.L + 1);
        for (bool done = false; !done; check_complete(&m, &final, pass_complete(&p))) {
            done = pass_step(&p);
            seen[pass_complete(&p) + 1] = true;
        }
        for (int from = -1; from <= m.d.L; from++) ck_assert_msg(seen[from + 1], "%d", from);
    }
    tiny_model_free(&m);
    tiny_model_free(&final);
}
END_TEST

/* F of one micro-batch and BW of another on one chunk, a step of each in turn: DualPipe's
 * overlapped pair. */
START_TEST(passes_stepped_in_turn_do_not_disturb)
{
    struct tiny_model plain, paired;
    struct tiny_batch a[2], b[2];
    tiny_model_make(&plain, dims_under_test(_i), ops_under_test(_i), 1, TINY_ROWS, true);
    tiny_model_make(&paired, dims_under_test(_i), ops_under_test(_i), 1, TINY_ROWS, true);
    for (int i = 0; i < 2; i++) {
        tiny_batch_make(&a[i], &plain.d, i);
        tiny_batch_make(&b[i], &plain.d, i);
        train_once(&plain, &a[i]);
    }
    tiny_run(&paired, PASS_F, 0, &b[0]);
    struct pass f = tiny_pass(&paired, 0, PASS_F, 1, &b[1]);
    struct pass w = tiny_pass(&paired, 0, PASS_BW, 0, &b[0]);
    bool f_done = false, w_done = false;
    pass_begin(&f);
    pass_begin(&w);
    while (!f_done || !w_done) {
        if (!f_done) f_done = pass_step(&f);
        if (!w_done) w_done = pass_step(&w);
    }
    ck_assert_int_eq(f.at, 2 + 2 * plain.d.L); /* two ends, two half-layers a layer */
    tiny_run(&paired, PASS_BW, 1, &b[1]);
    for (int i = 0; i < 2; i++) check_same_rows(&a[i], &b[i]);
    check_same_gradients(&plain, &paired);
    tiny_model_free(&plain);
    tiny_model_free(&paired);
}
END_TEST

/* With more room than rows, and a slot full of NaN bits: what an earlier pass left
 * there is never read. */
START_TEST(what_was_in_a_slot_does_not_matter)
{
    struct tiny_model clean, other;
    struct tiny_batch a, b;
    tiny_model_make(&clean, dims_under_test(_i), ops_under_test(_i), 2, TINY_ROWS + 9, true);
    tiny_model_make(&other, dims_under_test(_i), ops_under_test(_i), 2, TINY_ROWS + 9, true);
    memset(other.arena.base + other.slots_at, 0xff, other.slots_end - other.slots_at);
    tiny_batch_make(&a, &clean.d, 0);
    tiny_batch_make(&b, &other.d, 0);
    train_once(&clean, &a);
    train_once(&other, &b);
    check_same_rows(&a, &b);
    check_same_gradients(&clean, &other);
    tiny_model_free(&clean);
    tiny_model_free(&other);
}
END_TEST

/* Measured; the slots are to be placed anew. */
static size_t slots_bytes(struct chunk *const *c, int n)
{
    struct arena a = {0};
    chunk_place_slots(c, n, &a);
    return a.used;
}

/* The first and the last chunk of a model, as a rank of a mirror holds them: each micro-batch in a
 * slot of its own for either chunk, the next one in the other's; the memory of the larger is enough
 * for both. */
START_TEST(chunks_share_slots)
{
    struct tiny_model alone, together;
    struct tiny_batch a[2], b[2];
    struct arena shared = {0};
    tiny_model_make(&alone, dims_under_test(_i), ops_under_test(_i), 2, TINY_ROWS, true);
    tiny_model_make(&together, dims_under_test(_i), ops_under_test(_i), 2, TINY_ROWS, true);
    size_t each[] = {slots_bytes(&together.chunk[0], 1), slots_bytes(&together.chunk[1], 1)};
    arena_back(&shared, &device_host, slots_bytes(together.chunk, 2));
    chunk_place_slots(together.chunk, 2, &shared);
    ck_assert_uint_eq(shared.used, each[0] > each[1] ? each[0] : each[1]);
    for (int i = 0; i < 2; i++) {
        tiny_batch_make(&a[i], &alone.d, i);
        tiny_batch_make(&b[i], &together.d, i);
        train_once(&alone, &a[i]);
        for (int k = 0; k < 4; k++) { /* F of both chunks, BW of both, the last chunk first */
            int c = k < 2 ? k : 3 - k;
            struct pass p = tiny_pass(&together, c, k < 2 ? PASS_F : PASS_BW, i ^ c, &b[i]);
            pass_run(&p);
        }
        check_same_rows(&a[i], &b[i]);
    }
    check_same_gradients(&alone, &together);
    tiny_model_free(&alone);
    tiny_model_free(&together);
    arena_free(&shared);
}
END_TEST

START_TEST(gradients_accumulate)
{
    struct tiny_model m;
    struct tiny_batch b;
    tiny_model_make(&m, dims_under_test(_i), ops_under_test(_i), 1, TINY_ROWS, true);
    tiny_batch_make(&b, &m.d, 0);
    const struct param_list *l = chunk_params(m.chunk[0]);
    float *once = malloc(l->total * sizeof *once);
    train_once(&m, &b);
    memcpy(once, m.grad[0], l->total * sizeof *once);
    train_once(&m, &b);
    for (int i = 0; i < l->n; i++) {
        double largest = 0;
        const float *g1 = once + l->p[i].offset, *g2 = m.grad[0] + l->p[i].offset;
        for (size_t e = 0; e < l->p[i].n; e++) largest = fmax(largest, fabs((double)g1[e]));
        for (size_t e = 0; e < l->p[i].n; e++)
            ck_assert_double_eq_tol((double)g2[e], 2 * (double)g1[e], 1e-5 * largest);
    }
    free(once);
    tiny_model_free(&m);
}
END_TEST

/* Scoring keeps no activations and gives the same bits; other weights may take their turn. */
START_TEST(scoring_equals_training)
{
    struct tiny_model train, score, alone;
    struct tiny_batch a, b;
    tiny_model_make(&train, dims_under_test(_i), ops_under_test(_i), 1, TINY_ROWS, true);
    tiny_model_make(&score, dims_under_test(_i), ops_under_test(_i), 2, TINY_ROWS, false);
    tiny_model_make(&alone, dims_under_test(_i), ops_under_test(_i), 1, TINY_ROWS, false);
    ck_assert_uint_lt(alone.arena.size, train.arena.size);
    tiny_model_free(&alone);
    tiny_batch_make(&a, &train.d, 0);
    tiny_batch_make(&b, &score.d, 0);
    b.head.loss = NULL;
    tiny_run(&train, PASS_F, 0, &a);
    tiny_run(&score, PASS_F, 0, &b);
    ck_assert_mem_eq(a.logp, b.logp, sizeof a.logp);
    ck_assert_mem_eq(a.entropy, b.entropy, sizeof a.entropy);

    size_t n = chunk_params(score.chunk[0])->total;
    void *zero = calloc(n, score.ops->real_bytes);
    chunk_use_weights(score.chunk[0], zero);
    tiny_run(&score, PASS_F, 0, &b);
    ck_assert_mem_ne(a.logp, b.logp, sizeof a.logp);
    chunk_use_weights(score.chunk[0], score.weights[0]);
    tiny_run(&score, PASS_F, 0, &b);
    ck_assert_mem_eq(a.logp, b.logp, sizeof a.logp);
    free(zero);
    tiny_model_free(&train);
    tiny_model_free(&score);
}
END_TEST

/* A sequence in a batch of its own reads the same as packed with others. */
START_TEST(packed_sequences_do_not_see_each_other)
{
    struct tiny_model m;
    struct tiny_batch all, one;
    tiny_model_make(&m, dims_under_test(_i), ops_under_test(_i), 1, TINY_ROWS, false);
    tiny_batch_make(&all, &m.d, 0);
    all.head.loss = NULL;
    tiny_run(&m, PASS_F, 0, &all);
    for (int s = 0; s < TINY_SEQUENCES; s++) {
        int from = TINY_START[s], T = TINY_START[s + 1] - from;
        const int start[] = {0, T};
        tiny_batch_make(&one, &m.d, 0);
        one.rows = (struct rows){T, {1, start}, one.token + from, one.pos + from};
        one.head.target += from;
        one.head.loss = NULL;
        tiny_run(&m, PASS_F, 0, &one);
        ck_assert_mem_eq(one.logp, all.logp + from, (size_t)T * sizeof(float));
        ck_assert_mem_eq(one.entropy, all.entropy + from, (size_t)T * sizeof(float));
    }
    tiny_model_free(&m);
}
END_TEST

/* But for the plain tables: oracles may. */
START_TEST(no_pass_allocates)
{
    struct tiny_model m;
    struct tiny_batch b;
    tiny_model_make(&m, dims_under_test(_i), ops_under_test(_i), 2, TINY_ROWS, true);
    tiny_batch_make(&b, &m.d, 0);
    train_once(&m, &b); /* a library may make its threads and caches the first time */
    long backed = arena_allocations();
    size_t live = arena_live_bytes(), heap = mallinfo2().uordblks;
    for (int i = 0; i < 3; i++) {
        train_once(&m, &b);
        tiny_run(&m, PASS_B, 0, &b);
        tiny_run(&m, PASS_W, 0, &b);
    }
    ck_assert_int_eq(arena_allocations(), backed);
    ck_assert_uint_eq(arena_live_bytes(), live);
    ck_assert_uint_eq(mallinfo2().uordblks, heap);
    tiny_model_free(&m);
}
END_TEST

#define TESTS(X)                                                \
    X(cuts_do_not_change_a_bit, .to = TINY_CASES)               \
    X(weight_gradients_may_wait, .to = TINY_CASES)              \
    X(each_gradient_is_of_one_pass, .to = TINY_CASES)           \
    X(layers_are_complete_one_by_one, .to = TINY_CASES)         \
    X(passes_stepped_in_turn_do_not_disturb, .to = TINY_CASES)  \
    X(what_was_in_a_slot_does_not_matter, .to = TINY_CASES)     \
    X(chunks_share_slots, .to = TINY_CASES)                     \
    X(gradients_accumulate, .to = TINY_CASES)                   \
    X(scoring_equals_training, .to = TINY_CASES)                \
    X(packed_sequences_do_not_see_each_other, .to = TINY_CASES) \
    X(no_pass_allocates, .from = 2 * TINY_FAMILIES, .to = TINY_CASES)

UNIT_MAIN("chunk", .timeout_s = 60)
