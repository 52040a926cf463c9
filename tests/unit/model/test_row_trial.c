/* P1: the trial that picks blocks of rows catches kernels that add in another order. Planted here,
 * as plain loops, is what a library may do with a row of products: cut the inner dimension, add it
 * backwards, in several sums, in pairs; for one size of block, at one position, for one column, in
 * every other call. Multiples of 1/128, whose sums are exact, show none of it. */
#include "model/row_trial.h"
#include "tests/support/check_unit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* --- ways of adding --- */

static float in_order(const float *a, const float *b, int k)
{
    volatile float sum = 0;
    for (int i = 0; i < k; i++) sum = sum + a[i] * b[i];
    return sum;
}

static float backwards(const float *a, const float *b, int k)
{
    volatile float sum = 0;
    for (int i = k - 1; i >= 0; i--) sum = sum + a[i] * b[i];
    return sum;
}

static float in_halves(const float *a, const float *b, int k)
{
    return in_order(a, b, k / 2) + in_order(a + k / 2, b + k / 2, k - k / 2);
}

static float in_sixteen(const float *a, const float *b, int k)
{
    float sum[16] = {0}, all = 0;
    for (int i = 0; i < k; i++) sum[i % 16] += a[i] * b[i];
    for (int i = 0; i < 16; i++) all += sum[i];
    return all;
}

/* As AMX: tiles of 32, even and odd ones apart, then onto what there is. */
static float in_pairs(const float *a, const float *b, int k)
{
    volatile float sum = 0;
    for (int at = 0; at < k; at += 32) {
        volatile float even = 0, odd = 0;
        for (int i = at; i < at + 32 && i < k; i += 2) {
            even = even + a[i] * b[i];
            if (i + 1 < k) odd = odd + a[i + 1] * b[i + 1];
        }
        sum = sum + (even + odd);
    }
    return sum;
}

typedef float adding(const float *a, const float *b, int k);
static adding *const other[] = {backwards, in_halves, in_sixteen, in_pairs};
enum { OTHERS = 4, ANY = -1 };

/* --- planted kernels --- */

/* Adds in order, but where all that is said here is so, in another one. */
struct planted {
    int n, k, rows[3];
    enum matmul_type type;
    adding *how;
    int block[3]; /* is it this block? */
    int position; /* of a row in the block */
    int column;   /* of the output */
    bool in_turn; /* every second call */
    bool beside;  /* of a row whose neighbour below begins with a larger element */
    int calls;
    float *weight; /* (n, k) */
};

static float value_at(const struct planted *p, const void *x, size_t i)
{
    float f;
    uint16_t half;
    uint32_t u;
    if (p->type == MATMUL_F32) {
        memcpy(&f, (const char *)x + 4 * i, 4);
        return f;
    }
    memcpy(&half, (const char *)x + 2 * i, 2);
    u = (uint32_t)half << 16;
    memcpy(&f, &u, 4);
    return f;
}

static void run_planted(void *ctx, int block, float *y, const void *x)
{
    struct planted *p = ctx;
    float *row = calloc((size_t)p->k, sizeof *row);
    bool turn = p->calls++ % 2;
    for (int t = 0; t < p->rows[block]; t++) {
        for (int i = 0; i < p->k; i++)
            row[i] = value_at(p, x, (size_t)t * (size_t)p->k + (size_t)i);
        bool here = p->block[block] && (p->position == ANY || p->position == t);
        if (p->in_turn) here = here && turn;
        if (p->beside)
            here = here && t + 1 < p->rows[block] &&
                   value_at(p, x, (size_t)(t + 1) * (size_t)p->k) > row[0];
        for (int c = 0; c < p->n; c++) {
            adding *how = here && (p->column == ANY || p->column == c) ? p->how : in_order;
            y[t * p->n + c] = how(row, p->weight + (size_t)c * (size_t)p->k, p->k);
        }
    }
    free(row);
}

static const int widths[][2] = {{96, 32}, {40, 17}, {33, 300}};
enum { WIDTHS = 3 };

static struct planted plant(int width, enum matmul_type type, adding *how)
{
    struct planted p = {.n = widths[width][0],
                        .k = widths[width][1],
                        .rows = {16, 64, 256},
                        .type = type,
                        .how = how,
                        .position = ANY,
                        .column = ANY};
    size_t n = (size_t)p.n * (size_t)p.k;
    void *stored = malloc(4 * n);
    p.weight = malloc(4 * n);
    trial_fill(stored, n, type, 7, 8);
    for (size_t i = 0; i < n; i++) p.weight[i] = value_at(&p, stored, i);
    free(stored);
    return p;
}

/* The blocks that are kept, as a digit each. */
static int kept(struct planted *p)
{
    bool keep[3] = {0};
    struct row_trial t = {p->n, p->k, p->type, 3, p->rows, run_planted, p};
    bool some = row_trial(keep, &t);
    ck_assert_int_eq(some, keep[0] || keep[1] || keep[2]);
    return keep[0] * 100 + keep[1] * 10 + keep[2];
}

/* For every way of adding, width and type: plants it by `set`, and expects these blocks to be left.
 */
static void expect(void (*set)(struct planted *p), int expected)
{
    for (int how = 0; how < OTHERS; how++)
        for (int i = 0; i < 2 * WIDTHS; i++) {
            struct planted p = plant(i / 2, i % 2 ? MATMUL_BF16 : MATMUL_F32, other[how]);
            set(&p);
            int left = kept(&p);
            ck_assert_msg(left == expected, "way %d, %d x %d, type %d: %03d, not %03d", how, p.n,
                          p.k, p.type, left, expected);
            free(p.weight);
        }
}

/* --- the cases --- */

static void set_nothing(struct planted *p)
{
    (void)p;
}
static void set_every_block(struct planted *p)
{
    for (int b = 0; b < 3; b++) p->block[b] = 1;
}
static void set_large(struct planted *p)
{
    p->block[2] = 1;
}
static void set_middle(struct planted *p)
{
    p->block[1] = 1;
}
static void set_small(struct planted *p)
{
    p->block[0] = 1;
}
static void set_first_row(struct planted *p)
{
    p->block[1] = 1;
    p->position = 0;
}
static void set_last_row(struct planted *p)
{
    p->block[2] = 1;
    p->position = 255;
}
static void set_row_of_smallest(struct planted *p)
{
    p->block[0] = 1;
    p->position = 6;
}
static void set_row_of_each(struct planted *p)
{
    set_every_block(p);
    p->position = 11;
}
static void set_one_column(struct planted *p)
{
    p->block[1] = 1;
    p->column = p->n - 1;
}
static void set_beside(struct planted *p)
{
    p->block[2] = 1;
    p->beside = true;
}
static void set_in_turn(struct planted *p)
{
    p->block[1] = 1;
    p->in_turn = true;
}

static const struct {
    void (*set)(struct planted *p);
    int expected;
} cases[] =
    {
        {set_nothing, 111},        {set_every_block, 111}, /* the same everywhere is right */
        {set_large, 110},          {set_middle, 101},
        {set_small, 100}, /* agrees with itself: the larger ones are held against it */
        {set_first_row, 101},      {set_last_row, 110},
        {set_row_of_smallest, 11}, {set_row_of_each, 0},
        {set_one_column, 101},     {set_beside, 110},
        {set_in_turn, 101},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(planted_kernels)
{
    expect(cases[_i].set, cases[_i].expected);
}
END_TEST

/* What is no fault of the trial's rows: the same kernels on multiples of 1/128, exact in any order,
 * give the same bits. So such data could not catch any of them. */
START_TEST(exact_data_shows_nothing)
{
    enum { K = 1000 };
    float a[K], b[K];
    uint32_t state = 0x9e3779b9u;
    for (int i = 0; i < 2 * K; i++) {
        state = state * 1664525u + 1013904223u;
        (i < K ? a : b)[i % K] = (float)((int)(state >> 24) - 128) * 0.0078125f;
    }
    for (int how = 0; how < OTHERS; how++) ck_assert(other[how](a, b, K) == in_order(a, b, K));
}
END_TEST

/* --- gradients --- */

/* dw += dy^T x, in order; as told, backwards, where the rows at the end have inputs, or where
 * memory is not on a boundary. */
struct gradient {
    int n, k, rows;
    bool looks_at_rest, looks_at_address;
};

static void run_planted_gradient(void *ctx, float *dw, const void *dy, const void *x)
{
    const struct gradient *g = ctx;
    const float *d = dy, *in = x;
    bool back = g->looks_at_rest && in[g->rows * g->k - 1] != 0;
    back = back || (g->looks_at_address && (uintptr_t)x % 64);
    for (int i = 0; i < g->n * g->k; i++)
        for (int t = 0; t < g->rows; t++) {
            int row = back ? g->rows - 1 - t : t;
            dw[i] += d[row * g->n + i / g->k] * in[row * g->k + i % g->k];
        }
}

static bool gradient_passes(bool looks_at_rest, bool looks_at_address)
{
    struct gradient g = {12, 20, 64, looks_at_rest, looks_at_address};
    struct gradient_trial t = {g.n, g.k, g.rows, MATMUL_F32, run_planted_gradient, &g};
    return gradient_trial(&t);
}

START_TEST(planted_gradients)
{
    ck_assert(gradient_passes(false, false));
    ck_assert(!gradient_passes(true, false));
    ck_assert(!gradient_passes(false, true));
}
END_TEST

#define TESTS(X)                    \
    X(planted_kernels, .to = CASES) \
    X(exact_data_shows_nothing)     \
    X(planted_gradients)

UNIT_MAIN("P1: row_trial")
