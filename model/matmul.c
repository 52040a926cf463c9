#include "model/matmul.h"

#include <dlfcn.h>
#include <dnnl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/die.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"

#define DNNL_OK(call)                                                                              \
    do {                                                                                           \
        dnnl_status_t status_ = (call);                                                            \
        if (status_ != dnnl_success)                                                               \
            die_fmt(__FILE__, __LINE__, EXIT_WORLD, #call, "see the oneDNN manual for the status", \
                    "oneDNN status %d", (int)status_);                                             \
    } while (0)

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
    struct kernel block[MAX_BLOCKS]; /* rows ascending */
    dnnl_primitive_t reorder;        /* from the weight as stored, a view of (N, K) */
    dnnl_memory_t reorder_from, reorder_to;
};

struct matmul_shape {
    struct matmul_shape *next;
    int N, K;
    enum matmul_type type;
    bool backward;
    struct product product[2];
    struct kernel gradient;
};

static struct {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct matmul_shape *shapes;
    void *scratch[2];
    size_t scratch_bytes;
    int threads;
} lib = {.threads = 1};

static size_t type_bytes(enum matmul_type t)
{
    return t == MATMUL_BF16 ? 2 : 4;
}

static dnnl_data_type_t type_dnnl(enum matmul_type t)
{
    return t == MATMUL_BF16 ? dnnl_bf16 : dnnl_f32;
}

static void *aligned_bytes(size_t bytes)
{
    size_t whole = (bytes + 63) / 64 * 64 + 64;
    void *p = aligned_alloc(64, whole);
    SYS_OK(p != NULL, "use a smaller model or more memory", "no memory for %zu bytes", whole);
    memset(p, 0, whole);
    return p;
}

/* --- the library --- */

void matmul_set_threads(int threads)
{
    lib.threads = threads;
}

/* OpenMP keeps its thread count by thread, so every computing thread sets it once. libgomp comes with libdnnl; a
 * libdnnl built for another runtime has no such function, and then nothing is to be set. */
static void threads_apply(void)
{
    static _Thread_local int applied;
    if (applied == lib.threads) return;
    void (*set)(int) = NULL;
    void *self = dlopen(NULL, RTLD_LAZY);
    if (self) *(void **)&set = dlsym(self, "omp_set_num_threads");
    if (set) set(lib.threads);
    applied = lib.threads;
}

static void lib_start(void)
{
    threads_apply();
    if (lib.engine) return;
    DNNL_OK(dnnl_engine_create(&lib.engine, dnnl_cpu, 0));
    DNNL_OK(dnnl_stream_create(&lib.stream, lib.engine, dnnl_stream_default_flags));
}

void matmul_limit(const char *isa)
{
    if (strcmp(isa, "avx2") == 0) (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
    if (strcmp(isa, "base") == 0) (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41);
}

static enum matmul_type choose_bf16(void)
{
    const char *how = getenv("DUET_BF16");
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(), bf16 = dnnl_cpu_isa_avx512_core_bf16;
    bool native = (isa & bf16) == bf16;
    if (how && strcmp(how, "native") == 0) native = true;
    if (how && strcmp(how, "widen") == 0) native = false;
    return native ? MATMUL_BF16 : MATMUL_WIDENED;
}

enum matmul_type matmul_type_of_bf16(void)
{
    static bool known;
    static enum matmul_type type;
    if (!known) type = choose_bf16();
    known = true;
    return type;
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

/* dst = src weight (+ dst). Returns false when the library has no kernel for that layout of the weight. */
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

/* --- row invariance --- */

/* Random elements, exact in bf16 so that one generator serves both types. */
static void random_fill(void *out, size_t n, enum matmul_type type)
{
    uint32_t state = 0x9e3779b9u;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        float f = (float)((int)(state >> 24) - 128) * 0.0078125f;
        uint32_t u;
        memcpy(&u, &f, sizeof u);
        uint16_t half = (uint16_t)(u >> 16);
        if (type == MATMUL_BF16)
            memcpy((char *)out + 2 * i, &half, 2);
        else
            memcpy((char *)out + 4 * i, &f, 4);
    }
}

static void run_in_blocks(float *y, const struct product *p, const struct kernel *k, const char *x,
                          const void *w, int rows)
{
    size_t row = (size_t)p->k * type_bytes(p->type);
    for (int t = 0; t < rows; t += k->rows)
        kernel_run(y + (size_t)t * (size_t)p->n, k, x + (size_t)t * row, w);
}

/* Whether every position of a block treats a row alike: all rows given the same input. */
static bool block_is_uniform(const struct product *p, const struct kernel *k, char *x, float *y,
                             const void *w)
{
    size_t row = (size_t)p->k * type_bytes(p->type), out = (size_t)p->n * sizeof(float);
    random_fill(x, (size_t)p->k, p->type);
    for (int t = 1; t < k->rows; t++) memcpy(x + (size_t)t * row, x, row);
    kernel_run(y, k, x, w);
    for (int t = 1; t < k->rows; t++)
        if (memcmp((char *)y + (size_t)t * out, y, out) != 0) return false;
    return true;
}

/* Keeps the blocks that agree, bit for bit, with blocks of the smallest size. */
static void product_trim(struct product *p)
{
    int most = p->block[p->blocks - 1].rows;
    size_t in = (size_t)most * (size_t)p->k, out = (size_t)most * (size_t)p->n;
    char *x = aligned_bytes(in * type_bytes(p->type));
    float *expect = aligned_bytes(out * sizeof(float)), *got = aligned_bytes(out * sizeof(float));
    void *w = aligned_bytes(dnnl_memory_desc_get_size(&p->packed));
    random_fill(w, dnnl_memory_desc_get_size(&p->packed) / type_bytes(p->type), p->type);

    int keep = block_is_uniform(p, &p->block[0], x, got, w) ? 1 : 0;
    random_fill(x, in, p->type);
    if (keep) run_in_blocks(expect, p, &p->block[0], x, w, most);
    for (int b = 1; b < p->blocks; b++) {
        int rows = p->block[b].rows;
        size_t bytes = (size_t)rows * (size_t)p->n * sizeof(float);
        if (keep == b) run_in_blocks(got, p, &p->block[b], x, w, rows);
        if (keep == b && memcmp(got, expect, bytes) == 0) keep++;
    }
    for (int b = keep; b < p->blocks; b++) kernel_free(&p->block[b]);
    p->blocks = keep;
    free(x);
    free(expect);
    free(got);
    free(w);
}

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

static void reorder_make(struct product *p, const dnnl_memory_desc_t *stored)
{
    dnnl_primitive_desc_t pd;
    DNNL_OK(
        dnnl_reorder_primitive_desc_create(&pd, stored, lib.engine, &p->packed, lib.engine, NULL));
    DNNL_OK(dnnl_primitive_create(&p->reorder, pd));
    DNNL_OK(dnnl_primitive_desc_destroy(pd));
    p->reorder_from = memory_of(stored);
    p->reorder_to = memory_of(&p->packed);
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
        if (b == 0 || (size_t)rows[b] * widest <= SCRATCH_LIMIT)
            if (!block_make(p, rows[b])) break;
    if (p->blocks > 0) product_trim(p);
    if (p->blocks == 0) /* one row a call: invariant whatever the library does */
        INVARIANT(block_make(p, 1), "oneDNN has no matmul for %d x %d", n, k);
    reorder_make(p, &stored);
}

/* --- shapes --- */

static int gradient_rows(int N, int K)
{
    size_t widest = (size_t)(N > K ? N : K) * sizeof(float);
    return 256 * widest <= SCRATCH_LIMIT ? 256 : 64;
}

static void gradient_make(struct matmul_shape *s)
{
    int rows = gradient_rows(s->N, s->K);
    enum matmul_type type = s->product[MATMUL_FORWARD].type;
    dnnl_memory_desc_t dy = matrix(s->N, rows, 1, s->N, type); /* read transposed */
    dnnl_memory_desc_t x = matrix(rows, s->K, s->K, 1, type);
    dnnl_memory_desc_t dw = matrix(s->N, s->K, s->K, 1, MATMUL_F32);
    INVARIANT(kernel_make(&s->gradient, &dy, &x, &dw, true, NULL),
              "oneDNN has no weight gradient for %d x %d", s->N, s->K);
    s->gradient.rows = rows;
}

static void scratch_grow(const struct matmul_shape *s)
{
    size_t widest = (size_t)(s->N > s->K ? s->N : s->K), rows = (size_t)gradient_rows(s->N, s->K);
    size_t need = rows * widest * sizeof(float);
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

size_t matmul_packed_bytes(const struct matmul_shape *s, enum matmul_direction d)
{
    return dnnl_memory_desc_get_size(&s->product[d].packed);
}

void matmul_pack(void *packed, const struct matmul_shape *s, enum matmul_direction d, const void *w)
{
    threads_apply();
    const struct product *p = &s->product[d];
    DNNL_OK(dnnl_memory_set_data_handle(p->reorder_from, unconst(w)));
    DNNL_OK(dnnl_memory_set_data_handle(p->reorder_to, packed));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, p->reorder_from}, {DNNL_ARG_TO, p->reorder_to}};
    DNNL_OK(dnnl_primitive_execute(p->reorder, lib.stream, 2, args));
    DNNL_OK(dnnl_stream_wait(lib.stream));
}

/* The largest block of which more than about half is used. */
int matmul_block(const struct matmul_shape *s, enum matmul_direction d, int left)
{
    const struct product *p = &s->product[d];
    for (int b = p->blocks - 1; b > 0; b--)
        if (left > p->block[b].rows / 2 + p->block[b - 1].rows / 2) return p->block[b].rows;
    return p->block[0].rows;
}

void matmul_run(float *y, const struct matmul_shape *s, enum matmul_direction d, const void *x,
                const void *packed, int R)
{
    const struct product *p = &s->product[d];
    int b = 0;
    while (b < p->blocks && p->block[b].rows != R) b++;
    INVARIANT(b < p->blocks, "no block of %d rows for %d x %d", R, s->N, s->K);
    kernel_run(y, &p->block[b], x, packed);
}

int matmul_gradient_rows(const struct matmul_shape *s)
{
    return s->gradient.rows;
}

void matmul_gradient(float *dw, const struct matmul_shape *s, const void *dy, const void *x)
{
    kernel_run(dw, &s->gradient, dy, x);
}

/* --- the rate --- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double matmul_rate(int rows, int N, int K, enum matmul_type type)
{
    enum { TRIES = 7 };
    lib_start();
    struct product p = {.n = N, .k = K, .type = type == MATMUL_BF16 ? MATMUL_BF16 : MATMUL_F32};
    INVARIANT(block_make(&p, rows), "oneDNN has no matmul for %d x %d x %d", rows, N, K);
    void *x = aligned_bytes((size_t)rows * (size_t)K * type_bytes(p.type));
    void *w = aligned_bytes(dnnl_memory_desc_get_size(&p.packed));
    float *y = aligned_bytes((size_t)rows * (size_t)N * sizeof(float));
    double flops = 2.0 * rows * N * K, seconds[TRIES];
    int repeat = 1 + (int)(2e8 / flops);
    kernel_run(y, &p.block[0], x, w);
    for (int i = 0; i < TRIES; i++) {
        double start = clock_now();
        for (int j = 0; j < repeat; j++) kernel_run(y, &p.block[0], x, w);
        seconds[i] = (clock_now() - start) / repeat;
    }
    qsort(seconds, TRIES, sizeof *seconds, compare_doubles);
    kernel_free(&p.block[0]);
    free(x);
    free(w);
    free(y);
    return 1e-9 * flops / seconds[TRIES / 2];
}
