/* on each instruction set */
/* Promises P1 and P2: prompts read in any pieces and tokens decoded one by one, with any others in
 * the call, give the bits of the packed training pass: hidden states at every cut of the model, and
 * logits, and the log-probability and entropy of what is drawn. */

#include "comm/base/rng.h"
#include "model/block.h"
#include "tests/support/tiny_model.h"
#include "tests/support/check_unit.h"

enum { CACHE_BLOCKS = 12, CAPACITY = 80 };

struct decoder {
    struct tiny_model m;
    struct arena arena;
    struct cache cache[TINY_STAGES];
    float *logits; /* (rows of the last call, V) */
    int target[CAPACITY];
    float logp[CAPACITY], entropy[CAPACITY];
};

/* What is "drawn" is d->target, which the call has set. */
static void keep_logits(void *ctx, const float *logits, int from, int n)
{
    struct decoder *d = ctx;
    size_t V = (size_t)d->m.d.V;
    memcpy(d->logits + (size_t)from * V, logits, (size_t)n * V * sizeof *logits);
}

static void decoder_make(struct decoder *d, const struct dims *dims, const struct ops *ops,
                         int stages)
{
    *d = (struct decoder){0};
    tiny_model_make(&d->m, dims, ops, stages, CAPACITY, false);
    for (int round = 0; round < 2; round++) {
        for (int c = 0; c < stages; c++)
            cache_place(&d->cache[c], &d->m.d, ops, d->m.chunk[c]->span, TINY_SEQUENCES,
                        CACHE_BLOCKS, d->m.d.max_context, &d->arena);
        if (round == 0) arena_back(&d->arena, &device_host, d->arena.used);
    }
    d->logits = calloc((size_t)CAPACITY * (size_t)d->m.d.V, sizeof *d->logits);
}

static void decoder_free(struct decoder *d)
{
    tiny_model_free(&d->m);
    arena_free(&d->arena);
    free(d->logits);
}

/* Rows of one call: which sequence, which position, which token; the last `skip` without logits. */
struct call {
    int T, skip, slot[CAPACITY], pos[CAPACITY], token[CAPACITY];
    int target[CAPACITY];
};

static void decode(struct decoder *d, const struct call *call)
{
    const struct head_draw draw = {.draw = keep_logits,
                                   .ctx = d,
                                   .target = d->target,
                                   .logp = d->logp,
                                   .entropy = d->entropy,
                                   .inv_temperature = 1 / 0.8f};
    memcpy(d->target, call->target, sizeof d->target);
    for (int c = 0; c < d->m.stages; c++) {
        const int *table[CAPACITY];
        for (int t = 0; t < call->T; t++) {
            ck_assert(cache_extend(&d->cache[c], call->slot[t], call->pos[t]));
            table[t] = cache_table(&d->cache[c], call->slot[t]);
        }
        struct decode_rows rows = {
            .T = call->T, .skip = call->skip, .token = call->token, .kv = {call->pos, table}};
        chunk_decode(d->m.chunk[c], &rows, &d->cache[c], d->m.message[c], d->m.message[c + 1],
                     &draw);
    }
}

/* The training pass, and what it leaves: hidden states between the chunks, logits. */
struct truth {
    struct tiny_model m;
    struct tiny_batch b;
};

static void truth_make(struct truth *t, const struct dims *dims, const struct ops *ops, int stages)
{
    tiny_model_make(&t->m, dims, ops, stages, CAPACITY, true);
    tiny_batch_make(&t->b, &t->m.d, 0);
    t->b.head.loss = NULL; /* so that the logits stay as they are */
    tiny_run(&t->m, PASS_F, 0, &t->b);
}

/* Row `row` of the call is row `packed` of the training batch. */
static void check_hidden(const struct decoder *d, int row, const struct truth *t, int packed)
{
    size_t bytes = (size_t)t->m.d.C * t->m.ops->real_bytes;
    for (int c = 1; c < t->m.stages; c++)
        ck_assert_mem_eq(d->m.message[c] + (size_t)row * bytes,
                         t->m.message[c] + (size_t)packed * bytes, bytes);
}

static void check_row(const struct decoder *d, int row, const struct truth *t, int packed)
{
    size_t V = (size_t)t->m.d.V;
    const float *logits = t->m.chunk[t->m.stages - 1]->head.logits;
    check_hidden(d, row, t, packed);
    ck_assert_mem_eq(d->logits + (size_t)row * V, logits + (size_t)packed * V, V * sizeof(float));
    ck_assert_int_eq(d->target[row], t->b.target[packed]);
    ck_assert_mem_eq(&d->logp[row], &t->b.logp[packed], sizeof(float));
    ck_assert_mem_eq(&d->entropy[row], &t->b.entropy[packed], sizeof(float));
}

/* The next rows: of each sequence a random number of further positions; now and then a whole rest.
 */
static void random_call(struct call *call, struct rng_stream *r, const int *done,
                        const struct tiny_batch *b)
{
    call->T = 0;
    for (int i = 0; i < TINY_SEQUENCES; i++) {
        int s = (i + (int)rng_next_below(r, TINY_SEQUENCES)) % TINY_SEQUENCES;
        int rest = TINY_START[s + 1] - TINY_START[s] - done[s], n = 0;
        bool taken = false;
        for (int t = 0; t < call->T; t++) taken = taken || call->slot[t] == s;
        if (rest > 0 && !taken)
            n = (int)rng_next_below(r, rng_next_below(r, 2) ? 3 : (uint32_t)rest + 1);
        for (int k = 0; k < n && k < rest; k++) {
            int t = call->T++;
            call->slot[t] = s;
            call->pos[t] = done[s] + k;
            call->token[t] = b->token[TINY_START[s] + done[s] + k];
            call->target[t] = b->target[TINY_START[s] + done[s] + k];
        }
    }
}

static void decode_in_random_pieces(struct decoder *d, const struct truth *t, struct rng_stream *r)
{
    int done[TINY_SEQUENCES] = {0}, left = TINY_ROWS;
    struct call call;
    while (left > 0) {
        random_call(&call, r, done, &t->b);
        if (call.T == 0) continue;
        call.skip = (int)rng_next_below(r, (uint32_t)call.T + 1);
        for (size_t i = 0; i < (size_t)TINY_ROWS * (size_t)d->m.d.V; i++) d->logits[i] = -7;
        decode(d, &call);
        for (int i = 0; i < call.T; i++) {
            bool skipped = i >= call.T - call.skip;
            (skipped ? check_hidden : check_row)(d, i, t, TINY_START[call.slot[i]] + call.pos[i]);
            if (skipped) ck_assert(d->logits[(size_t)i * (size_t)d->m.d.V] == -7);
            done[call.slot[i]]++;
        }
        left -= call.T;
    }
}

static const struct dims *dims_under_test(int i)
{
    return &TINY_FAMILY[i % TINY_FAMILIES];
}
static const struct ops *ops_under_test(int i)
{
    return tiny_ops(i / TINY_FAMILIES);
}

START_TEST(any_pieces_give_the_bits_of_training)
{
    static const int stages[] = {1, 3};
    for (int k = 0; k < 2; k++) {
        struct truth t;
        struct decoder d;
        struct rng_stream r = {.seed = 11, .at = {.purpose = RNG_TEST, .sample = (uint32_t)_i}};
        truth_make(&t, dims_under_test(_i), ops_under_test(_i), stages[k]);
        decoder_make(&d, dims_under_test(_i), ops_under_test(_i), stages[k]);
        for (int round = 0; round < 20; round++) {
            decode_in_random_pieces(&d, &t, &r);
            for (int c = 0; c < d.m.stages; c++)
                for (int s = 0; s < TINY_SEQUENCES; s++) cache_release(&d.cache[c], s);
        }
        tiny_model_free(&t.m);
        decoder_free(&d);
    }
}
END_TEST

/* The longest sequence one token at a time, alone in each call; and read whole in one call. */
START_TEST(one_by_one_and_all_at_once)
{
    struct truth t;
    struct decoder d;
    int s = 2, T = TINY_START[3] - TINY_START[2];
    truth_make(&t, dims_under_test(_i), ops_under_test(_i), 1);
    decoder_make(&d, dims_under_test(_i), ops_under_test(_i), 1);
    struct call whole = {.T = T};
    for (int k = 0; k < T; k++) {
        int token = t.b.token[TINY_START[s] + k];
        int target = t.b.target[TINY_START[s] + k];
        struct call one = {.T = 1, .slot = {s}, .pos = {k}, .token = {token}, .target = {target}};
        decode(&d, &one);
        check_row(&d, 0, &t, TINY_START[s] + k);
        whole.slot[k] = 3;
        whole.pos[k] = k;
        whole.token[k] = token;
        whole.target[k] = target;
    }
    decode(&d, &whole);
    for (int k = 0; k < T; k++) check_row(&d, k, &t, TINY_START[s] + k);
    tiny_model_free(&t.m);
    decoder_free(&d);
}
END_TEST

/* Answers that share their prompt's cache: each reads as if it had a cache of its own. Sequences
 * 0.. of the packed truth are prompt + answer; the prompt is decoded once. */
static void check_forks(struct truth *t, struct decoder *d, int prompt, int length)
{
    struct call call = {.T = prompt};
    for (int k = 0; k < prompt; k++) {
        call.slot[k] = 0;
        call.pos[k] = k;
        call.token[k] = t->b.token[k];
        call.target[k] = t->b.target[k];
    }
    decode(d, &call);
    check_row(d, prompt - 1, t, prompt - 1);
    ck_assert(cache_fork(&d->cache[0], 1, 0, prompt));
    ck_assert(cache_fork(&d->cache[0], 2, 0, prompt));
    cache_release(&d->cache[0], 0);
    for (int k = prompt; k < length; k++) {
        call = (struct call){.T = 2, .slot = {2, 1}, .pos = {k, k}};
        call.token[0] = t->b.token[length + k];
        call.token[1] = t->b.token[k];
        call.target[0] = t->b.target[length + k];
        call.target[1] = t->b.target[k];
        decode(d, &call);
        check_row(d, 0, t, length + k);
        check_row(d, 1, t, k);
    }
    for (int s = 1; s <= 2; s++) cache_release(&d->cache[0], s);
    ck_assert_int_eq(d->cache[0].n_free, CACHE_BLOCKS);
}

START_TEST(forked_answers_read_their_prompt)
{
    static const int prompts[] = {5, 16, 21, 32, 37}; /* with and without full blocks, and a rest */
    const int length = CAPACITY / 2;
    struct dims long_context = TINY_FAMILY[_i % TINY_FAMILIES];
    long_context.max_context = length;
    for (int i = 0; i < 5; i++) {
        struct truth t;
        struct decoder d;
        int prompt = prompts[i];
        const int start[] = {0, length, 2 * length};
        truth_make(&t, &long_context, ops_under_test(_i), 1);
        decoder_make(&d, &long_context, ops_under_test(_i), 1);
        t.b.rows.T = 2 * length;
        t.b.rows.seg = (struct segments){2, start};
        for (int k = 0; k < 2 * length; k++) t.b.pos[k] = k % length;
        for (int k = 0; k < prompt; k++) t.b.token[length + k] = t.b.token[k];
        tiny_run(&t.m, PASS_F, 0, &t.b);
        check_forks(&t, &d, prompt, length);
        tiny_model_free(&t.m);
        decoder_free(&d);
    }
}
END_TEST

#define TESTS(X)                                              \
    X(any_pieces_give_the_bits_of_training, .to = TINY_CASES) \
    X(one_by_one_and_all_at_once, .to = TINY_CASES)           \
    X(forked_answers_read_their_prompt, .to = TINY_CASES)

UNIT_MAIN("decode", .timeout_s = 60)
