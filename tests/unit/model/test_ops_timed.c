/* The table that times the rows of another: it has all of them, hands on operands and results, and
 * counts calls, work and time; what is not called through it is missing from the sum. */
#include <time.h>

#include "model/ops_timed.h"
#include "tests/support/check_unit.h"
#include "tests/support/ops_data.h"

enum { T = 96, N = 160, K = 128 };

static const struct ops *base, *timed;
static void open_tables(void)
{
    base = ops_find(PRECISION_FP32, NULL);
    timed = ops_timed(base);
    ops_timed_reset();
}

START_TEST(every_row_is_there)
{
    open_tables();
#define ROW_IS_ITS_OWN(row) ck_assert_msg(timed->row && timed->row != base->row, #row);
    OPS_ROWS(ROW_IS_ITS_OWN)
    ck_assert_str_eq(timed->name, base->name);
    ck_assert_str_eq(timed->isa, base->isa);
    ck_assert_uint_eq(timed->real_bytes, base->real_bytes);
}
END_TEST

/* Members of the struct beside name, isa, precision and real_bytes are rows: a new one without its
 * name in OPS_ROWS would be NULL in the timed table. One, sample_rows, may be left
 * out by any table, and is not among them. */
START_TEST(no_member_is_left_out)
{
    open_tables();
    typedef void row_fn(void);
    const size_t first = offsetof(struct ops, linear_place);
    const size_t members = (sizeof(struct ops) - first) / sizeof(row_fn *);
    ck_assert_uint_eq(members, OPS_ROW_COUNT + 1);
}
END_TEST

/* A linear layer through the table, with and without a reading. */
START_TEST(a_product_is_counted)
{
    open_tables();
    float *w = floats_random(N * K, 1, 1.0f), *x = floats_random(T * K, 2, 1.0f);
    float *y = malloc(T * N * sizeof *y), *right = malloc(T * N * sizeof *y);
    struct test_linear l;
    test_linear_make(&l, base, w, N, K);
    base->linear_forward(right, true, x, &l.l, NULL, T);
    timed->linear_forward(y, true, x, &l.l, NULL, T);
    ck_assert_uint_eq(ops_timed_tally(OPS_ROW_linear_forward)->calls, 0);
    ops_timed_start(1e9, 1e9);
    timed->linear_forward(y, true, x, &l.l, NULL, T);
    timed->linear_forward(y, true, x, &l.l, NULL, T);
    ck_assert(ops_timed_stop());
    timed->linear_forward(y, true, x, &l.l, NULL, T);
    ck_assert_mem_eq(y, right, T * N * sizeof *y);
    const struct ops_tally *t = ops_timed_tally(OPS_ROW_linear_forward);
    const double flop = 2.0 * 2 * T * N * K, bytes = 2.0 * 4 * (T * K + T * N + N * K);
    ck_assert_uint_eq(t->calls, 2);
    ck_assert_double_eq(t->flop, flop);
    ck_assert_double_eq(t->bytes, bytes);
    ck_assert_double_eq_tol(t->limit, flop / 1e9, 1e-12);
    ck_assert_double_eq_tol(t->by_flop, flop / 1e9, 1e-12);
    ck_assert_double_gt(t->processor, 0);
    ck_assert_str_eq(ops_timed_name(OPS_ROW_linear_forward), "linear_forward");
    ck_assert_uint_eq(ops_timed_sum().calls, 2);
    ops_timed_start(1e18, 1e9); /* another machine: limited by memory */
    ops_timed_reset();
    timed->linear_forward(y, true, x, &l.l, NULL, T);
    ops_timed_stop();
    ck_assert_double_eq_tol(t->limit, bytes / 2 / 1e9, 1e-12);
    ck_assert_double_eq(t->by_flop, 0);
    arena_free(&l.a);
    free(w);
    free(x);
    free(y);
    free(right);
}
END_TEST

START_TEST(a_result_is_handed_on)
{
    open_tables();
    const double weight[] = {1, 2, 4};
    const float z[] = {0, 1, 2};
    const struct dims d = {.Hq = 4, .Hkv = 2, .D = 8};
    ops_timed_start(0, 0);
    ck_assert_double_eq(timed->sample_sum(weight, z, 1, 3), 6);
    ck_assert_uint_eq(timed->kv_block_bytes(&d), base->kv_block_bytes(&d));
    ops_timed_stop();
    ck_assert_uint_eq(ops_timed_sum().calls, 1); /* the second touches no memory */
    ck_assert_double_eq(ops_timed_sum().limit, 0);
}
END_TEST

/* Three sequences of 1, 2 and 3 rows have 1 + 3 + 6 pairs of a row and a key that it sees. */
START_TEST(attention_counts_its_causal_half)
{
    open_tables();
    enum { ROWS = 6 };
    const struct dims d = {.Hq = 4, .Hkv = 2, .D = 8, .C = 32, .max_context = 16};
    const int start[] = {0, 1, 3, 6};
    const struct segments seg = {3, start};
    size_t scratch_bytes = timed->attention_scratch(&d, ROWS);
    float *qkv = floats_random(ROWS * (size_t)dims_qkv(&d), 3, 1.0f);
    float out[ROWS * 32], lse[ROWS * 4], *dqkv = malloc(ROWS * (size_t)dims_qkv(&d) * sizeof *dqkv);
    void *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    ops_timed_start(1e9, 1e9);
    timed->attention_forward(out, lse, qkv, seg, &d, scratch);
    timed->attention_backward(dqkv, out, qkv, out, lse, seg, &d, scratch);
    ops_timed_stop();
    ck_assert_double_eq(ops_timed_tally(OPS_ROW_attention_forward)->flop, 4.0 * 10 * 4 * 8);
    ck_assert_double_eq(ops_timed_tally(OPS_ROW_attention_backward)->flop, 8.0 * 10 * 4 * 8);
    free(qkv);
    free(dqkv);
    free(scratch);
}
END_TEST

static double processor_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Part of the processor time of some sums of squares that the table accounts for. */
static double accounted(const struct ops *table, const float *x, size_t n)
{
    struct exact_sum sum = {0};
    ops_timed_reset();
    ops_timed_start(0, 0);
    double start = processor_now();
    for (int i = 0; i < 20; i++) {
        timed->square_sum(&sum, x, n);
        table->square_sum(&sum, x, n);
    }
    double all = processor_now() - start;
    ops_timed_stop();
    return ops_timed_sum().processor / all;
}

/* The rows' times add up to what was spent; of a row that is called past the table half is missing.
 */
START_TEST(what_is_left_out_is_missing)
{
    open_tables();
    const size_t n = 1 << 18;
    float *x = floats_random(n, 5, 1.0f);
    ck_assert_double_gt(accounted(timed, x, n), 0.95);
    ck_assert_double_lt(accounted(timed, x, n), 1.0001);
    ck_assert_double_lt(accounted(base, x, n), 0.7);
    free(x);
}
END_TEST

#define TESTS(X)                        \
    X(every_row_is_there)               \
    X(no_member_is_left_out)            \
    X(a_product_is_counted)             \
    X(a_result_is_handed_on)            \
    X(attention_counts_its_causal_half) \
    X(what_is_left_out_is_missing)

UNIT_MAIN("ops_timed", .timeout_s = 60)
