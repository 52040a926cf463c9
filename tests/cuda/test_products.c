/* Linear layers of a GPU's table: against the plain loops, and each row by itself and in other
 * company (promise P1). On the emulated GPU, or a real one. */
#include "tests/cuda/device_rows.h"

#include "comm/base/arena.h"

/* Weights (N, K): rows that the library can take, and others; calls of a few rows, of a block and
 * one more, of all blocks. */
static const int weights[][2] = {{64, 40}, {24, 136}, {30, 21}, {1, 8}};
static const int calls[] = {1, 15, 16, 17, 145, 1200};
enum { WEIGHTS = 4, CALLS = 6, MOST = 1200, CASES = WEIGHTS * PRECISIONS };

static struct linear layer(const void *w, int N, int K)
{
    struct linear l;
    struct arena unused = {0};
    ops->linear_place(&l, N, K, true, &unused);
    ops->linear_pack(&l, w);
    return l;
}

/* The plain table keeps a copy of its weights in an arena. */
static struct linear plain_layer(struct arena *a, const void *w, int N, int K)
{
    struct linear l;
    plain->linear_place(&l, N, K, true, a);
    arena_back(a, &device_host, a->used);
    plain->linear_place(&l, N, K, true, a);
    plain->linear_pack(&l, w);
    return l;
}

static void same_rows(const struct linear *l, const void *x, const void *y, const void *bias,
                      bool y_float, int T)
{
    static const int at[] = {0, 1, 14, 15, 16, 127, 129, 1023, 1024, 1199};
    size_t N = (size_t)l->N, K = (size_t)l->K, bytes = y_float ? 4 : plain->real_bytes;
    char *one = room(N * 20);
    for (size_t i = 0; i < sizeof at / sizeof *at && at[i] < T; i++) {
        size_t t = (size_t)at[i];
        int n = T - at[i] < 20 ? T - at[i] : 20;
        for (int rows = 1; rows <= n; rows += 18) {
            ops->linear_forward(one, y_float, row_at(x, t, K), l, bias, rows);
            ck_assert_mem_eq(one, (const char *)y + t * N * bytes, (size_t)rows * N * bytes);
        }
    }
    free(one);
}

START_TEST(forward)
{
    setup(_i);
    int N = weights[_i / PRECISIONS][0], K = weights[_i / PRECISIONS][1];
    size_t n = (size_t)N, k = (size_t)K;
    void *x = reals_spread(plain, MOST * k, 1, 2.0f), *w = reals_spread(plain, n * k, 2, 1.0f);
    void *bias = reals_random(plain, n, 3, 1.0f), *y = room(MOST * n), *y2 = room(MOST * n);
    struct arena a = {0};
    struct linear l = layer(w, N, K), right = plain_layer(&a, w, N, K);
    for (int i = 0; i < CALLS; i++)
        for (int with = 0; with < 2; with++) {
            int T = calls[i];
            const void *b = with ? bias : NULL;
            ops->linear_forward(y, false, x, &l, b, T);
            plain->linear_forward(y2, false, x, &right, b, T);
            NEAR_REALS(y, y2, (size_t)T * n);
            same_rows(&l, x, y, b, false, T);
            ops->linear_forward(y, true, x, &l, b, T);
            plain->linear_forward(y2, true, x, &right, b, T);
            NEAR_FLOATS(y, y2, (size_t)T * n);
            same_rows(&l, x, y, b, true, T);
        }
    arena_free(&a);
    FREE_ALL(x, w, bias, y, y2);
}
END_TEST

START_TEST(backward)
{
    setup(_i);
    int N = weights[_i / PRECISIONS][0], K = weights[_i / PRECISIONS][1];
    size_t n = (size_t)N, k = (size_t)K;
    void *dy = reals_spread(plain, MOST * n, 1, 2.0f), *w = reals_spread(plain, n * k, 2, 1.0f);
    void *dx = room(MOST * k), *dx2 = room(MOST * k), *one = room(k);
    struct arena a = {0};
    struct linear l = layer(w, N, K), right = plain_layer(&a, w, N, K);
    for (int to_float = 1; to_float >= 0; to_float--)
        for (int i = 0; i < CALLS; i++) {
            int T = calls[i];
            ops->linear_backward_input(dx, to_float, dy, &l, T);
            plain->linear_backward_input(dx2, to_float, dy, &right, T);
            if (to_float)
                NEAR_FLOATS(dx, dx2, (size_t)T * k);
            else
                NEAR_REALS(dx, dx2, (size_t)T * k);
        }
    for (size_t t = 0; t < MOST; t += 109) {
        ops->linear_backward_input(one, false, row_at(dy, t, n), &l, 1);
        ck_assert_mem_eq(one, row_at(dx, t, k), k * plain->real_bytes);
    }
    arena_free(&a);
    FREE_ALL(dy, w, dx, dx2, one);
}
END_TEST

/* Two calls, the first with a multiple of 256 rows, leave the bits of one. */
START_TEST(gradient)
{
    enum { ROWS = 700, FIRST = 512 };
    setup(_i);
    int N = weights[_i / PRECISIONS][0], K = weights[_i / PRECISIONS][1];
    size_t n = (size_t)N, k = (size_t)K;
    void *dy = reals_spread(plain, ROWS * n, 1, 1.0f), *x = reals_spread(plain, ROWS * k, 2, 1.0f);
    float *dw = floats_random(n * k, 3, 1.0f), *dw2 = floats_random(n * k, 3, 1.0f);
    float *cut = floats_random(n * k, 3, 1.0f), *db = floats_random(n, 4, 1.0f);
    float *db2 = floats_random(n, 4, 1.0f), *cut_b = floats_random(n, 4, 1.0f);
    ops->linear_backward_weight(dw, db, dy, x, N, K, ROWS);
    plain->linear_backward_weight(dw2, db2, dy, x, N, K, ROWS);
    NEAR_FLOATS(dw, dw2, n * k);
    NEAR_FLOATS(db, db2, n);
    ops->linear_backward_weight(cut, cut_b, dy, x, N, K, FIRST);
    ops->linear_backward_weight(cut, cut_b, row_at(dy, FIRST, n), row_at(x, FIRST, k), N, K,
                                ROWS - FIRST);
    ck_assert_mem_eq(dw, cut, n * k * sizeof *dw);
    ck_assert_mem_eq(db, cut_b, n * sizeof *db);
    FREE_ALL(dy, x, dw, dw2, cut, db, db2, cut_b);
}
END_TEST

#define TESTS(X)             \
    X(forward, .to = CASES)  \
    X(backward, .to = CASES) \
    X(gradient, .to = CASES)

UNIT_MAIN("products", .timeout_s = 120)
