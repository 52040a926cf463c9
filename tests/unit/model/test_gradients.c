/* on each instruction set */
/* P1: gradients of linear layers by the processor's tiles (model/gradients.h). Where there are none
 * the cases have nothing to show. */
#include "model/gradients.h"

#include "model/amx.h"
#include "model/matmul.h"
#include "model/ops.h"
#include "model/row_trial.h"
#include "tests/support/check_unit.h"

/* Below and above a tile, a pair, what is summed up in one piece, the rows of a block. */
static const struct {
    int N, K, T;
} sizes[] = {{1, 1, 1},     {7, 5, 3},      {16, 16, 16},   {33, 31, 40},
             {96, 80, 300}, {530, 40, 260}, {40, 530, 257}, {300, 70, 1100}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static float bf16_get(uint16_t b)
{
    uint32_t u = (uint32_t)b << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* A layer's operands and gradients. */
struct layer {
    int N, K, T;
    uint16_t *w, *x, *dy, *copy, *dx;
    float *sum, *dw;
};

static void *room(size_t bytes)
{
    return aligned_alloc(64, (bytes + 127) / 64 * 64);
}

static struct layer layer_new(int i, void fill(uint16_t *to, size_t n, unsigned seed))
{
    struct layer l = {.N = sizes[i].N, .K = sizes[i].K, .T = sizes[i].T};
    size_t N = (size_t)l.N, K = (size_t)l.K, T = (size_t)l.T;
    l.w = room(N * K * 2), l.x = room(T * K * 2), l.dy = room(T * N * 2);
    l.dx = room(T * K * 2), l.sum = room(T * K * 4), l.dw = room(N * K * 4);
    l.copy = room(gradients_packed_bytes(l.N, l.K));
    fill(l.w, N * K, 1), fill(l.x, T * K, 2), fill(l.dy, T * N, 3);
    gradients_reserve(l.K);
    gradients_pack(l.copy, l.w, l.N, l.K);
    return l;
}

static void layer_free(struct layer *l)
{
    void *all[] = {l->w, l->x, l->dy, l->copy, l->dx, l->sum, l->dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* From -3 to 3: sums are exact, in whatever order. */
static void small(uint16_t *to, size_t n, unsigned seed)
{
    static const uint16_t of[] = {0xc040, 0xc000, 0xbf80, 0, 0x3f80, 0x4000, 0x4040};
    for (size_t i = 0; i < n; i++) to[i] = of[((i + seed) * 2654435761u >> 13 & 0xffff) % 7];
}

static void full(uint16_t *to, size_t n, unsigned seed)
{
    trial_fill(to, n, MATMUL_BF16, seed, 12);
}

/* dy (t, n) W (n, k) over n, for a row t; dy^T x over t. */
static float input_of(const struct layer *l, int t, int k)
{
    float s = 0;
    for (int n = 0; n < l->N; n++)
        s += bf16_get(l->dy[t * l->N + n]) * bf16_get(l->w[n * l->K + k]);
    return s;
}

static float weight_of(const struct layer *l, int n, int k)
{
    float s = 0;
    for (int t = 0; t < l->T; t++)
        s += bf16_get(l->dy[t * l->N + n]) * bf16_get(l->x[t * l->K + k]);
    return s;
}

START_TEST(sums_are_those_of_plain_loops)
{
    if (!matmul_tiles()) return;
    struct layer l = layer_new(_i, small);
    gradients_input((struct gradients_to){l.dx, NULL}, l.dy, l.copy, l.N, l.K, l.T);
    gradients_input((struct gradients_to){NULL, l.sum}, l.dy, l.copy, l.N, l.K, l.T);
    for (int i = 0; i < l.T * l.K; i++)
        ck_assert_msg(l.sum[i] == input_of(&l, i / l.K, i % l.K), "input, element %d", i);
    uint16_t *rounded = room((size_t)(l.T * l.K) * 2);
    ops_find(PRECISION_BF16, "plain")->to_real(rounded, l.sum, (size_t)(l.T * l.K));
    ck_assert_mem_eq(l.dx, rounded, (size_t)(l.T * l.K) * 2);
    free(rounded);
    for (int i = 0; i < l.N * l.K; i++) l.dw[i] = (float)(i % 5);
    gradients_weight(l.dw, l.dy, l.x, l.N, l.K, l.T);
    for (int i = 0; i < l.N * l.K; i++)
        ck_assert_msg(l.dw[i] == weight_of(&l, i / l.K, i % l.K) + (float)(i % 5),
                      "weight, element %d", i);
    layer_free(&l);
}
END_TEST

/* The last rows alone have the bits that they have among all. */
START_TEST(a_row_does_not_depend_on_others)
{
    if (!matmul_tiles()) return;
    struct layer l = layer_new(_i, full);
    uint16_t *some = room((size_t)(l.T * l.K) * 2);
    gradients_input((struct gradients_to){l.dx, NULL}, l.dy, l.copy, l.N, l.K, l.T);
    for (int T = 1; T < l.T; T += 1 + l.T / 20) {
        int from = l.T - T;
        gradients_input((struct gradients_to){some, NULL}, l.dy + from * l.N, l.copy, l.N, l.K, T);
        ck_assert_mem_eq(some, l.dx + from * l.K, (size_t)(T * l.K) * 2);
    }
    free(some);
    layer_free(&l);
}
END_TEST

/* A weight's gradient from two calls, cut at any multiple of AMX_DEPTH rows. */
START_TEST(cuts_leave_the_bits)
{
    if (!matmul_tiles()) return;
    struct layer l = layer_new(_i, full);
    size_t bytes = (size_t)(l.N * l.K) * sizeof(float);
    float *two = room(bytes);
    trial_fill(l.dw, (size_t)(l.N * l.K), MATMUL_F32, 4, 12);
    for (int cut = AMX_DEPTH; cut < l.T; cut += 7 * AMX_DEPTH) {
        float *one = room(bytes);
        memcpy(one, l.dw, bytes), memcpy(two, l.dw, bytes);
        gradients_weight(one, l.dy, l.x, l.N, l.K, l.T);
        gradients_weight(two, l.dy, l.x, l.N, l.K, cut);
        gradients_weight(two, l.dy + cut * l.N, l.x + cut * l.K, l.N, l.K, l.T - cut);
        ck_assert_mem_eq(one, two, bytes);
        free(one);
    }
    free(two);
    layer_free(&l);
}
END_TEST

#define TESTS(X)                                    \
    X(sums_are_those_of_plain_loops, .to = SIZES)   \
    X(a_row_does_not_depend_on_others, .to = SIZES) \
    X(cuts_leave_the_bits, .to = SIZES)

UNIT_MAIN("P1: gradients by tiles")
