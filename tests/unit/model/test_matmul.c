/* on each instruction set */
/* P1: matrix products of the library itself, with a kernel planted between it and us that adds in
 * another order (tests/support/planted_kernel.h). What the trial picks must leave rows that do not
 * depend on their company. */
#define _GNU_SOURCE
#include "tests/support/planted_kernel.h"

#include "model/matmul.h"
#include "model/row_trial.h"
#include "tests/support/check_unit.h"

/* Half of neither N nor K is a multiple of 32: AMX sums 32 products of bf16 from zero and then adds
 * that, so that there the sum of two halves would be no other order. */
enum { N = 96, K = 80, MOST = 300 };

/* _i % 2: float, or bf16 as this machine has it. */
static enum matmul_type type_of(int i)
{
    return i % 2 ? matmul_type_of_bf16() : MATMUL_F32;
}

static void plant(int a, int b, int c)
{
    const int rows[PLANTED_MOST] = {a, b, c};
    memcpy(planted_rows, rows, sizeof rows);
}

/* y (T, outputs) = x W in the blocks that the shape has, zeros behind the last row. */
static void product(float *y, const struct matmul_shape *s, enum matmul_direction d, const char *x,
                    const void *packed, int T, size_t element)
{
    size_t in = (size_t)(d ? N : K), out = (size_t)(d ? K : N);
    for (int t = 0, R; t < T; t += R) {
        R = matmul_block(s, d, T - t);
        int rows = T - t < R ? T - t : R;
        char *block = aligned_alloc(64, (size_t)R * in * 4 + 64);
        float *sums = aligned_alloc(64, (size_t)R * out * 4 + 64);
        memset(block, 0, (size_t)R * in * 4);
        memcpy(block, x + (size_t)t * in * element, (size_t)rows * in * element);
        matmul_run(sums, s, d, block, packed, R);
        memcpy(y + (size_t)t * out, sums, (size_t)rows * out * 4);
        free(block);
        free(sums);
    }
}

/* Rows of MOST, and the last T of them alone: the same bits. */
static void rows_agree(const struct matmul_shape *s, enum matmul_direction d, enum matmul_type type)
{
    size_t in = (size_t)(d ? N : K), out = (size_t)(d ? K : N),
           element = type == MATMUL_BF16 ? 2 : 4;
    char *x = malloc(MOST * in * element);
    void *w = malloc(N * K * element),
         *packed = aligned_alloc(64, (matmul_packed_bytes(s, d) + 127) / 64 * 64);
    float *all = malloc(MOST * out * 4), *some = malloc(MOST * out * 4);
    trial_fill(x, MOST * in, type == MATMUL_BF16 ? type : MATMUL_F32, 21, 10);
    trial_fill(w, N * K, type == MATMUL_F32 ? type : MATMUL_BF16, 22, 10);
    matmul_pack(packed, s, d, w);
    product(all, s, d, x, packed, MOST, element);
    for (int T = 1; T < MOST; T += 7) {
        size_t at = (size_t)(MOST - T);
        product(some, s, d, x + at * in * element, packed, T, element);
        ck_assert_msg(memcmp(some, all + at * out, (size_t)T * out * 4) == 0,
                      "%d rows, direction %d: not those of %d", T, d, MOST);
    }
    free(x);
    free(w);
    free(packed);
    free(all);
    free(some);
}

static const struct {
    int planted[3];
    bool in_turn;
    int few, many; /* rows of the block for 10 and for 256 rows */
    const char *slow;
} cases[] = {
    {{0, 0, 0}, false, 0, 0, ""}, /* whatever this machine's kernels allow */
    {{256, 0, 0}, false, 16, 64, ""},
    {{64, 0, 0}, false, 16, 256, ""},
    {{64, 256, 0}, false, 16, 16, ""},
    {{16, 64, 256}, false, 16, 256, ""}, /* the same everywhere is right */
    {{16, 0, 0}, true, 64, 256, ""},     /* what the smallest does is no measure */
    {{16, 64, 256}, true, 1, 1, "96 x 80 (forward), 96 x 80 (input gradient)"},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(blocks_that_disagree_are_left_out)
{
    enum matmul_type type = type_of(_i);
    const int *rows = cases[_i / 2].planted;
    char slow[200];
    plant(rows[0], rows[1], rows[2]);
    planted_in_turn = cases[_i / 2].in_turn;
    const struct matmul_shape *s = matmul_shape_get(N, K, type, true);
    matmul_by_row(slow, sizeof slow);
    ck_assert_str_eq(slow, cases[_i / 2].slow);
    for (int d = 0; d < 2; d++) {
        if (cases[_i / 2].few) {
            ck_assert_int_le(matmul_block(s, d, 10), cases[_i / 2].few);
            ck_assert_int_le(matmul_block(s, d, 256), cases[_i / 2].many);
        }
        rows_agree(s, d, type);
    }
}
END_TEST

/* The planted kernel on y = x W of 64 rows, beside the library's own: do the bits differ? */
static bool differs(const struct matmul_shape *s, const float *x, const float *w)
{
    float *packed = aligned_alloc(64, (matmul_packed_bytes(s, MATMUL_FORWARD) + 127) / 64 * 64);
    float y[2][64 * N];
    matmul_pack(packed, s, MATMUL_FORWARD, w);
    for (int i = 0; i < 2; i++) {
        plant(i ? 64 : 0, 0, 0);
        matmul_run(y[i], s, MATMUL_FORWARD, x, packed, 64);
    }
    free(packed);
    return memcmp(y[0], y[1], sizeof y[0]) != 0;
}

/* Why the trial's data are what they are: multiples of 1/128, whose sums are exact in any order, do
 * not show that kernel. */
START_TEST(exact_data_shows_no_planted_kernel)
{
    static float x[64 * K], w[N * K];
    const struct matmul_shape *s = matmul_shape_get(N, K, MATMUL_F32, false);
    if (matmul_block(s, MATMUL_FORWARD, 64) != 64) return; /* this machine has no such block */
    uint32_t state = 0x9e3779b9u;
    for (size_t i = 0; i < 64 * K + N * K; i++) {
        state = state * 1664525u + 1013904223u;
        *(i < 64 * K ? &x[i] : &w[i - 64 * K]) = (float)((int)(state >> 24) - 128) * 0.0078125f;
    }
    ck_assert(!differs(s, x, w));
    trial_fill(x, 64 * K, MATMUL_F32, 1, 16);
    trial_fill(w, N * K, MATMUL_F32, 2, 8);
    ck_assert(differs(s, x, w));
}
END_TEST

/* For weight gradients: a kernel that adds in another order where rows without a gradient have
 * inputs. */
START_TEST(gradient_pieces_that_disagree_are_left_out)
{
    enum matmul_type type = type_of(_i);
    char slow[200];
    bool all = _i / 2;
    planted_gradients = true;
    plant(256, 64, all ? 16 : 0);
    const struct matmul_shape *s = matmul_shape_get(N, K, type, true);
    matmul_by_row(slow, sizeof slow);
    ck_assert_int_eq(matmul_gradient_rows(s), all ? 1 : 16);
    ck_assert_str_eq(slow, all ? "96 x 80 (weight gradient)" : "");
}
END_TEST

static void *room(size_t bytes)
{
    return aligned_alloc(64, (bytes + 127) / 64 * 64);
}

/* The rows of a unit matrix times a packed weight are that weight, (in, out) seen from the product:
 * to the last bit. */
static void product_is_weight(const struct matmul_shape *s, enum matmul_direction d, int n, int k,
                              const uint16_t *w)
{
    int in = d ? n : k, out = d ? k : n, R = matmul_block(s, d, in);
    float *unit = room((size_t)(R * in) * 4), *y = room((size_t)(R * out) * 4);
    void *packed = room(matmul_packed_bytes(s, d));
    matmul_pack(packed, s, d, w);
    for (int from = 0; from < in; from += R) {
        memset(unit, 0, (size_t)(R * in) * sizeof *unit);
        for (int r = 0; r < R && from + r < in; r++) unit[r * in + from + r] = 1;
        matmul_run(y, s, d, unit, packed, R);
        for (int i = 0; i < R * out && from + i / out < in; i++) {
            int row = from + i / out, col = i % out;
            uint32_t bits = (uint32_t)w[d ? row * k + col : col * k + row] << 16;
            if (memcmp(&bits, &y[i], sizeof bits) != 0)
                ck_abort_msg("%d x %d, direction %d: %d, %d", n, k, d, row, col);
        }
    }
    free(unit);
    free(y);
    free(packed);
}

/* Whoever widened it, the library or we (model/matmul_pack.h). */
START_TEST(packed_weights_are_the_stored_ones)
{
    static const int sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {16, 16}, {33, 7}, {30, 66}, {70, 64}};
    int n = sizes[_i][0], k = sizes[_i][1];
    const struct matmul_shape *s = matmul_shape_get(n, k, MATMUL_WIDENED, true);
    uint16_t *w = malloc((size_t)(n * k) * sizeof *w);
    trial_fill(w, (size_t)(n * k), MATMUL_BF16, 3, 10);
    product_is_weight(s, MATMUL_FORWARD, n, k, w);
    product_is_weight(s, MATMUL_BACKWARD, n, k, w);
    free(w);
}
END_TEST

#define TESTS(X)                                          \
    X(blocks_that_disagree_are_left_out, .to = 2 * CASES) \
    X(exact_data_shows_no_planted_kernel)                 \
    X(packed_weights_are_the_stored_ones, .to = 7)        \
    X(gradient_pieces_that_disagree_are_left_out, .to = 4)

UNIT_MAIN("P1: matmul")
