#include "model/matmul.h"

#include <dlfcn.h>
#include <dnnl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "comm/base/die.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/watch.h"
#include "model/matmul_pack.h"
#include "model/row_trial.h"
#include "model/tile_trial.h"

enum { MAX_BLOCKS = 3, SCRATCH_LIMIT = 64 << 20 };

/* A primitive for one number of rows. */
struct kernel {
    int rows;
    dnnl_primitive_t primitive;
    dnnl_memory_t src, weight, dst, pad;
    void *pad_bytes;
};

/* One direction of a weight: y (rows, n) = x (rows, k) W. */
struct product {
    int n, k;
    enum matmul_type type;
    dnnl_memory_desc_t packed; /* W as the kernels want it */
    int blocks;
    bool by_row;                     /* no block passed the trial: one row a call */
    int piece;                       /* of a few rows' sums, or BY_TILES; 0: the library's alone */
    struct kernel block[MAX_BLOCKS]; /* rows ascending */
    struct matmul_pack pack;         /* from the weight as stored, a view of (N, K) */
};

struct matmul_shape {
    struct matmul_shape *next;
    int N, K;
    enum matmul_type type;
    bool backward;
    struct product product[2];
    struct kernel gradient;
    bool gradient_by_row;
};

static struct {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct matmul_shape *shapes;
    void *scratch[2];
    size_t scratch_bytes;
} lib;

static dnnl_data_type_t type_dnnl(enum matmul_type t)
{
    return t == MATMUL_BF16 ? dnnl_bf16 : dnnl_f32;
}

static void *aligned_bytes(size_t bytes)
{
    return memory_take_aligned(bytes, "a matrix");
}

/* --- the library --- */

/* OpenMP keeps its thread count by thread, so every computing thread sets it once. libgomp comes
 * with libdnnl; a libdnnl built for another runtime has no such function, and then nothing is to be
 * set. */
static void threads_apply(void)
{
    static _Thread_local int applied;
    if (applied == matmul_threads()) return;
    void (*set)(int) = NULL;
    void *self = dlopen(NULL, RTLD_LAZY);
    if (self) *(void **)&set = dlsym(self, "omp_set_num_threads");
    applied = matmul_threads();
    if (set) set(applied);
}

static void lib_start(void)
{
    threads_apply();
    if (lib.engine) return;
    DNNL_OK(dnnl_engine_create(&lib.engine, dnnl_cpu, 0));
    DNNL_OK(dnnl_stream_create(&lib.stream, lib.engine, dnnl_stream_default_flags));
}

static dnnl_memory_desc_t matrix(int rows, int cols, int row_stride, int col_stride,
                                 enum matmul_type type)
{
    dnnl_memory_desc_t m;
    dnnl_dims_t size = {rows, cols}, strides = {row_stride, col_stride};
    DNNL_OK(dnnl_memory_desc_init_by_strides(&m, 2, size, type_dnnl(type), strides));
    return m;
}

static dnnl_memory_t memory_of(const dnnl_memory_desc_t *m)
{
    dnnl_memory_t mem;
    DNNL_OK(dnnl_memory_create(&mem, m, lib.engine, DNNL_MEMORY_NONE));
    return mem;
}

/* The scratchpad is ours, so that oneDNN allocates nothing inside a step. A weight gradient
 * accumulates by a sum post-op. */
static dnnl_primitive_attr_t kernel_attr(bool accumulate)
{
    dnnl_primitive_attr_t attr;
    DNNL_OK(dnnl_primitive_attr_create(&attr));
    DNNL_OK(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
    if (!accumulate) return attr;
    dnnl_post_ops_t post;
    DNNL_OK(dnnl_post_ops_create(&post));
    DNNL_OK(dnnl_post_ops_append_sum(post, 1.0f));
    DNNL_OK(dnnl_primitive_attr_set_post_ops(attr, post));
    DNNL_OK(dnnl_post_ops_destroy(post));
    return attr;
}

/* dst = src weight (+ dst). Returns false when the library has no kernel for that layout of the
 * weight. */
static bool kernel_make(struct kernel *k, const dnnl_memory_desc_t *src,
                        const dnnl_memory_desc_t *weight, const dnnl_memory_desc_t *dst,
                        bool accumulate, dnnl_memory_desc_t *chosen)
{
    dnnl_matmul_desc_t desc;
    dnnl_primitive_desc_t pd;
    DNNL_OK(dnnl_matmul_desc_init(&desc, src, weight, NULL, dst));
    dnnl_primitive_attr_t attr = kernel_attr(accumulate);
    dnnl_status_t status = dnnl_primitive_desc_create(&pd, &desc, attr, lib.engine, NULL);
    DNNL_OK(dnnl_primitive_attr_destroy(attr));
    if (status != dnnl_success) return false;

    const dnnl_memory_desc_t *w = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    const dnnl_memory_desc_t *pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    if (chosen) *chosen = *w;
    k->rows = (int)src->dims[0];
    k->src = memory_of(src);
    k->weight = memory_of(w);
    k->dst = memory_of(dst);
    k->pad = memory_of(pad);
    k->pad_bytes = aligned_bytes(dnnl_memory_desc_get_size(pad));
    DNNL_OK(dnnl_memory_set_data_handle(k->pad, k->pad_bytes));
    DNNL_OK(dnnl_primitive_create(&k->primitive, pd));
    DNNL_OK(dnnl_primitive_desc_destroy(pd));
    return true;
}

static void kernel_free(struct kernel *k)
{
    DNNL_OK(dnnl_primitive_destroy(k->primitive));
    DNNL_OK(dnnl_memory_destroy(k->src));
    DNNL_OK(dnnl_memory_destroy(k->weight));
    DNNL_OK(dnnl_memory_destroy(k->dst));
    DNNL_OK(dnnl_memory_destroy(k->pad));
    free(k->pad_bytes);
}

static void *unconst(const void *p)
{
    return (void *)(uintptr_t)p;
}

/* Handles are set anew each time: one kernel serves all tensors of its shape. */
static void kernel_run(float *dst, const struct kernel *k, const void *src, const void *weight)
{
    threads_apply();
    DNNL_OK(dnnl_memory_set_data_handle(k->src, unconst(src)));
    DNNL_OK(dnnl_memory_set_data_handle(k->weight, unconst(weight)));
    DNNL_OK(dnnl_memory_set_data_handle(k->dst, dst));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, k->src},
                                    {DNNL_ARG_WEIGHTS, k->weight},
                                    {DNNL_ARG_DST, k->dst},
                                    {DNNL_ARG_SCRATCHPAD, k->pad}};
    DNNL_OK(dnnl_primitive_execute(k->primitive, lib.stream, 4, args));
    DNNL_OK(dnnl_stream_wait(lib.stream));
}

/* The first block lets oneDNN choose the layout of the weights, the others must take it: they share
 * one packed copy. */
static bool block_make(struct product *p, int rows)
{
    struct kernel *k = &p->block[p->blocks];
    dnnl_memory_desc_t src = matrix(rows, p->k, p->k, 1, p->type);
    dnnl_memory_desc_t dst = matrix(rows, p->n, p->n, 1, MATMUL_F32);
    dnnl_memory_desc_t weight = p->packed;
    if (p->blocks == 0) {
        dnnl_dims_t size = {p->k, p->n};
        DNNL_OK(dnnl_memory_desc_init_by_tag(&weight, 2, size, type_dnnl(p->type),
                                             dnnl_format_tag_any));
    }
    if (!kernel_make(k, &src, &weight, &dst, false, p->blocks == 0 ? &p->packed : NULL))
        return false;
    p->blocks++;
    return true;
}

/* --- row invariance --- */

/* A product under trial, with a weight. */
struct tried {
    const struct product *p;
    const void *weight;
};

static void run_block(void *ctx, int block, float *y, const void *x)
{
    const struct tried *t = ctx;
    watchdog_feed(); /* a large weight takes seconds, and a model has some ten */
    kernel_run(y, &t->p->block[block], x, t->weight);
}

/* Keeps the blocks that give a row the same bits wherever it stands. The weight is packed from a
 * stored one, so that the padding that a packed one may have is what it always is. */
static void product_trim(struct product *p, enum matmul_type stored_type, bool forward)
{
    size_t n = (size_t)p->n * (size_t)p->k;
    void *stored = aligned_bytes(n * matmul_type_bytes(stored_type));
    void *packed = aligned_bytes(dnnl_memory_desc_get_size(&p->packed));
    trial_fill(stored, n, stored_type, 7, 8);
    matmul_pack_run(&p->pack, lib.stream, packed, stored);
    struct tried ctx = {p, packed};
    int rows[MAX_BLOCKS], kept = 0;
    bool keep[MAX_BLOCKS];
    for (int b = 0; b < p->blocks; b++) rows[b] = p->block[b].rows;
    row_trial(keep, &(struct row_trial){p->n, p->k, p->type, p->blocks, rows, run_block, &ctx});
    for (int b = 0; b < p->blocks; b++) {
        if (!keep[b]) log_debug("no blocks of %d rows for %d x %d", rows[b], p->n, p->k);
        if (keep[b])
            p->block[kept++] = p->block[b];
        else
            kernel_free(&p->block[b]);
    }
    p->blocks = kept;
    if (forward && (matmul_tiles() || matmul_pairs()) && kept > 0 &&
        p->block[0].rows == TRIAL_TILE && matmul_pack_is_strips(&p->packed))
        p->piece =
            tile_trial(&(struct tile_trial){p->n, p->k, matmul_tiles(), packed, run_block, &ctx});
    free(stored);
    free(packed);
}

/* W[i][j] of the product is at i*row_stride + j*col_stride of the weight as stored. */
static void product_make(struct product *p, int n, int k, int row_stride, int col_stride,
                         enum matmul_type type)
{
    static const int rows[MAX_BLOCKS] = {16, 64, 256};
    *p = (struct product){.n = n, .k = k, .type = type == MATMUL_BF16 ? MATMUL_BF16 : MATMUL_F32};
    enum matmul_type stored_type = type == MATMUL_F32 ? MATMUL_F32 : MATMUL_BF16;
    dnnl_memory_desc_t stored = matrix(k, n, row_stride, col_stride, stored_type);
    size_t widest = (size_t)(n > k ? n : k) * sizeof(float);
    for (int b = 0; b < MAX_BLOCKS; b++)
        if (b == 0 || (size_t)rows[b] * widest <= SCRATCH_LIMIT) block_make(p, rows[b]);
    bool tried = p->blocks > 0;
    if (tried) {
        matmul_pack_make(&p->pack, lib.engine, &stored, &p->packed);
        product_trim(p, stored_type, row_stride == 1);
    }
    if (p->blocks > 0) return;
    if (tried) matmul_pack_free(&p->pack);
    p->by_row = true; /* one row a call: invariant whatever the library does */
    INVARIANT(block_make(p, 1), "oneDNN has no matmul for %d x %d", n, k);
    matmul_pack_make(&p->pack, lib.engine, &stored, &p->packed);
}

/* --- shapes --- */

/* False when the library has no such kernel. */
static bool gradient_kernel(struct matmul_shape *s, int rows)
{
    enum matmul_type type = s->product[MATMUL_FORWARD].type;
    dnnl_memory_desc_t dy = matrix(s->N, rows, 1, s->N, type); /* read transposed */
    dnnl_memory_desc_t x = matrix(rows, s->K, s->K, 1, type);
    dnnl_memory_desc_t dw = matrix(s->N, s->K, s->K, 1, MATMUL_F32);
    if (!kernel_make(&s->gradient, &dy, &x, &dw, true, NULL)) return false;
    s->gradient.rows = rows;
    return true;
}

static void run_gradient(void *ctx, float *dw, const void *dy, const void *x)
{
    kernel_run(dw, ctx, dy, x);
}

/* The longest piece whose sums depend on nothing but its rows; of one row if need be, which adds
 * them one after the other. */
static void gradient_make(struct matmul_shape *s)
{
    static const int pieces[] = {256, 64, 16};
    enum matmul_type type = s->product[MATMUL_FORWARD].type;
    size_t widest = (size_t)(s->N > s->K ? s->N : s->K) * sizeof(float);
    for (int i = 0; i < 3; i++) {
        if (i == 0 && (size_t)pieces[i] * widest > SCRATCH_LIMIT) continue;
        watchdog_feed();
        if (!gradient_kernel(s, pieces[i])) continue;
        if (gradient_trial(
                &(struct gradient_trial){s->N, s->K, pieces[i], type, run_gradient, &s->gradient}))
            return;
        kernel_free(&s->gradient);
    }
    s->gradient_by_row = true;
    INVARIANT(gradient_kernel(s, 1), "oneDNN has no weight gradient for %d x %d", s->N, s->K);
}

/* The largest blocks are made while they stay below SCRATCH_LIMIT. */
size_t matmul_block_bytes(int widest)
{
    size_t row = (size_t)widest * sizeof(float);
    return (256 * row <= SCRATCH_LIMIT ? 256 : 64) * row;
}

static void scratch_grow(const struct matmul_shape *s)
{
    size_t need = matmul_block_bytes(s->N > s->K ? s->N : s->K);
    if (need <= lib.scratch_bytes) return;
    for (int i = 0; i < 2; i++) {
        free(lib.scratch[i]);
        lib.scratch[i] = aligned_bytes(need);
    }
    lib.scratch_bytes = need;
}

void *matmul_scratch(int which)
{
    return lib.scratch[which];
}

static struct matmul_shape *shape_find(int N, int K, enum matmul_type type)
{
    struct matmul_shape *s = lib.shapes;
    while (s && (s->N != N || s->K != K || s->type != type)) s = s->next;
    return s;
}

/* The backward's kernels are made only when asked for: decoding alone does without. */
const struct matmul_shape *matmul_shape_get(int N, int K, enum matmul_type type, bool backward)
{
    threads_apply();
    struct matmul_shape *s = shape_find(N, K, type);
    if (s && (s->backward || !backward)) return s;
    lib_start();
    if (!s) {
        s = memory_take(1, sizeof *s, "a matrix shape");
        *s = (struct matmul_shape){.next = lib.shapes, .N = N, .K = K, .type = type};
        lib.shapes = s;
        product_make(&s->product[MATMUL_FORWARD], N, K, 1, K, type);
        scratch_grow(s);
    }
    if (backward) {
        product_make(&s->product[MATMUL_BACKWARD], K, N, K, 1, type);
        gradient_make(s);
        s->backward = true;
    }
    return s;
}

/* For the log: which products found no kernel that is the same for any number of rows (P1). */
void matmul_by_row(char *text, size_t bytes)
{
    static const char *const name[] = {"forward", "input gradient", "weight gradient"};
    size_t at = 0;
    text[0] = '\0';
    for (const struct matmul_shape *s = lib.shapes; s; s = s->next) {
        const bool slow[] = {s->product[0].by_row, s->product[1].by_row, s->gradient_by_row};
        for (int i = 0; i < 3 && at < bytes; i++)
            if (slow[i])
                at += (size_t)snprintf(text + at, bytes - at, "%s%d x %d (%s)", at ? ", " : "",
                                       s->N, s->K, name[i]);
    }
}

size_t matmul_packed_bytes(const struct matmul_shape *s, enum matmul_direction d)
{
    return dnnl_memory_desc_get_size(&s->product[d].packed);
}

void matmul_pack(void *packed, const struct matmul_shape *s, enum matmul_direction d, const void *w)
{
    threads_apply();
    matmul_pack_run(&s->product[d].pack, lib.stream, packed, w);
}

/* The largest block of which more than about half is used. */
int matmul_block(const struct matmul_shape *s, enum matmul_direction d, int left)
{
    const struct product *p = &s->product[d];
    for (int b = p->blocks - 1; b > 0; b--)
        if (left > p->block[b].rows / 2 + p->block[b - 1].rows / 2) return p->block[b].rows;
    return p->block[0].rows;
}

/* A product of many blocks takes minutes where rows are long: each block that is not short in
 * itself feeds the watchdog. */
static void block_done(const struct matmul_shape *s, int rows)
{
    const double long_one = 5e8; /* multiply-adds: some ten milliseconds */
    if ((double)rows * s->N * s->K >= long_one) watchdog_feed();
}

void matmul_run(float *y, const struct matmul_shape *s, enum matmul_direction d, const void *x,
                const void *packed, int R)
{
    const struct product *p = &s->product[d];
    int b = 0;
    while (b < p->blocks && p->block[b].rows != R) b++;
    INVARIANT(b < p->blocks, "no block of %d rows for %d x %d", R, s->N, s->K);
    kernel_run(y, &p->block[b], x, packed);
    block_done(s, R);
}

int matmul_tile_rows(const struct matmul_shape *s, enum matmul_direction d)
{
    const int piece = s->product[d].piece;
    return piece == BY_TILES ? TILE_ROWS : piece > 0 ? PAIR_ROWS : 0;
}

int matmul_tile_piece(const struct matmul_shape *s, enum matmul_direction d)
{
    return s->product[d].piece;
}

int matmul_gradient_rows(const struct matmul_shape *s)
{
    return s->gradient.rows;
}

void matmul_gradient(float *dw, const struct matmul_shape *s, const void *dy, const void *x)
{
    kernel_run(dw, &s->gradient, dy, x);
    block_done(s, s->gradient.rows);
}

/* --- the rate --- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double processor_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds by a clock of oneDNN's own call on this shape, median of TRIES, of LEAST where that takes
 * long, without our trial of rows. */
static double call_seconds(int rows, int N, int K, enum matmul_type type, double (*now)(void))
{
    enum { LEAST = 3, TRIES = 7 };
    const double long_all = 0.3;
    lib_start();
    struct product p = {.n = N, .k = K, .type = type == MATMUL_BF16 ? MATMUL_BF16 : MATMUL_F32};
    INVARIANT(block_make(&p, rows), "oneDNN has no matmul for %d x %d x %d", rows, N, K);
    void *x = aligned_bytes((size_t)rows * (size_t)K * matmul_type_bytes(p.type));
    void *w = aligned_bytes(dnnl_memory_desc_get_size(&p.packed));
    float *y = aligned_bytes((size_t)rows * (size_t)N * sizeof(float));
    double flops = 2.0 * rows * N * K, seconds[TRIES], all = 0;
    int n = 0, repeat = 1 + (int)(2e8 / flops);
    kernel_run(y, &p.block[0], x, w);
    for (; n < TRIES && (n < LEAST || all < long_all); n++) {
        double start = now();
        for (int j = 0; j < repeat; j++) kernel_run(y, &p.block[0], x, w);
        seconds[n] = (now() - start) / repeat;
        all += seconds[n] * repeat;
    }
    qsort(seconds, (size_t)n, sizeof *seconds, compare_doubles);
    kernel_free(&p.block[0]);
    free(x);
    free(w);
    free(y);
    return seconds[n / 2];
}

/* The bound of duet bench. */
double matmul_rate(int rows, int N, int K, enum matmul_type type)
{
    return 2e-9 * rows * N * K / call_seconds(rows, N, K, type, clock_now);
}

double matmul_call_processor(int rows, int N, int K, enum matmul_type type)
{
    return call_seconds(rows, N, K, type, processor_now);
}
