/* Linear layers: rows in blocks of fixed sizes through cuBLASLt (library.cu), or all at once by our
 * own kernel (product.cu), as was settled when the weight was placed. Weights are read as they are
 * stored: there are no packed copies. */
#include "model/cuda/kernel.cuh"
#include "model/cuda/library.cuh"
#include "model/cuda/product.cuh"
#include "model/cuda/rows.h"

extern "C" {
#include "comm/base/log.h"
#include "comm/base/memory.h"
}

/* [direction][result is float]; of a gradient always float. Kept until the process ends. */
struct linear_shape {
    int N, K;
    cudaDataType_t type;
    bool backward;
    library_product by[DIRECTIONS][2];
    linear_shape *next;
};
static linear_shape *shapes;

/* Room for a block of rows that is not full, or whose result wants a bias: grows when weights are
 * placed. */
static struct {
    char *input, *sums;
    size_t input_bytes, sums_bytes;
} room;
constexpr size_t BIAS_BYTES = (size_t)64 << 20; /* of sums that wait for their bias, at most */

template <class real> constexpr cudaDataType_t TYPE = CUDA_R_32F;
template <> constexpr cudaDataType_t TYPE<bf16> = CUDA_R_16BF;

/* Weights and their gradients always are (model/params.h). */
static bool is_aligned(const void *p)
{
    return (uintptr_t)p % LIBRARY_ALIGNMENT == 0;
}

static void grow(char **at, size_t *has, size_t bytes)
{
    if (bytes <= *has) return;
    if (*at) CUDA_OK(cudaFree(*at));
    CUDA_OK(cudaMalloc((void **)at, bytes));
    *has = bytes;
}

/* The largest block whose sums, n floats a row, there is room for. */
static int bias_block(int n)
{
    int block = BLOCKS - 1;
    while (block > 0 && (size_t)BLOCK_ROWS[block] * (size_t)n * sizeof(float) > BIAS_BYTES) block--;
    return block;
}

static void room_reserve(int N, int K, size_t bytes)
{
    size_t widest = (size_t)(N > K ? N : K);
    grow(&room.input, &room.input_bytes, GRADIENT_ROWS * (size_t)(N + K) * bytes);
    grow(&room.sums, &room.sums_bytes,
         (size_t)BLOCK_ROWS[bias_block((int)widest)] * widest * sizeof(float));
}

static void find(linear_shape *s, enum direction d, bool to_float)
{
    static const char *const name[] = {"forward", "backward", "gradient"};
    library_product *p = &s->by[d][to_float];
    *p = {};
    p->N = s->N, p->K = s->K, p->direction = d;
    p->in = s->type, p->out = to_float ? CUDA_R_32F : s->type;
    library_find(p);
    if (!p->serves)
        log_info("products with a weight of %d x %d (%s): by a slow kernel, since the library has "
                 "none that gives a row the same bits in any company",
                 s->N, s->K, name[d]);
}

/* One that serves more will do. */
static linear_shape *shape_get(int N, int K, cudaDataType_t type, bool backward)
{
    linear_shape *s = shapes;
    while (s && !(s->N == N && s->K == K && s->type == type && s->backward >= backward))
        s = s->next;
    if (s) return s;
    s = (linear_shape *)memory_take(1, sizeof *s, "the products of a weight");
    *s = {N, K, type, backward, {}, shapes};
    shapes = s;
    int types = type == CUDA_R_32F ? 1 : 2;
    for (int i = 0; i < types; i++) find(s, FORWARD, i > 0 || types == 1);
    for (int i = 0; backward && i < types; i++) find(s, BACKWARD, i > 0 || types == 1);
    if (backward) find(s, GRADIENT, true);
    return s;
}

template <class real>
void rows<real>::linear_place(struct linear *l, int N, int K, bool backward, struct arena *a)
{
    (void)a;
    *l = {};
    l->N = N, l->K = K, l->backward = backward;
    l->shape = shape_get(N, K, TYPE<real>, backward);
    room_reserve(N, K, sizeof(real));
}

template <class real> void rows<real>::linear_pack(struct linear *l, const void *w)
{
    INVARIANT(is_aligned(w), "a weight at %p", w);
    l->stored = w;
}

/* --- rows in blocks --- */

template <class real, class out>
__global__ void bias_kernel(out *y, const float *sums, const real *bias, int N)
{
    size_t at = (size_t)blockIdx.x * (size_t)N;
    for (int n = (int)threadIdx.x; n < N; n += BLOCK)
        y[at + (size_t)n] = put<out>(sums[at + (size_t)n] + get(bias[n]));
}

/* A product of rows with a weight: x (T, in) -> y (T, n). */
struct product {
    const linear_shape *shape;
    enum direction direction;
    const void *weight;
    int in, n;
};

static void copy(void *to, const void *from, size_t bytes)
{
    CUDA_OK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda_stream()));
}

/* One block, of which `rows` rows exist: by way of our own room where it is not full, does not lie
 * as the library wants it, or waits for a bias. Results in bf16 of a block with a bias are rounded
 * once, after it. */
template <class real, class out>
static void block_run(out *y, const real *x, const real *bias, const product &p, int block,
                      int rows)
{
    int R = BLOCK_ROWS[block];
    bool to_float = bias || sizeof(out) == sizeof(float);
    bool apart = rows < R || !is_aligned(y);
    const void *from = x;
    if (rows < R || !is_aligned(x)) {
        size_t bytes = (size_t)rows * (size_t)p.in * sizeof(real);
        copy(room.input, x, bytes);
        if (rows < R)
            CUDA_OK(cudaMemsetAsync(room.input + bytes, 0,
                                    (size_t)(R - rows) * (size_t)p.in * sizeof(real),
                                    cuda_stream()));
        from = room.input;
    }
    void *to = apart || bias ? (void *)room.sums : (void *)y;
    library_run(&p.shape->by[p.direction][to_float], block, to, p.weight, from);
    if (bias)
        launch(bias_kernel<real, out>, (unsigned)rows, BLOCK, y, (const float *)room.sums, bias,
               p.n);
    else if (apart)
        copy(y, room.sums, (size_t)rows * (size_t)p.n * sizeof *y);
}

/* Where operands do not lie as the library wants them, blocks are small: there is room for those.
 */
template <class real, class out>
static void blocks_run(out *y, const real *x, const real *bias, const product &p, int T)
{
    bool direct = is_aligned(y) && is_aligned(x);
    int largest = !direct ? 0 : bias ? bias_block(p.n) : BLOCKS - 1;
    for (int t = 0, rows; t < T; t += rows) {
        int block = largest;
        while (block > 0 && BLOCK_ROWS[block] > T - t) block--;
        rows = T - t < BLOCK_ROWS[block] ? T - t : BLOCK_ROWS[block];
        block_run(y + (size_t)t * (size_t)p.n, x + (size_t)t * (size_t)p.in, bias, p, block, rows);
    }
}

/* What serves a product with a bias has float results: both kinds are asked. */
template <class real, class out>
static void run(out *y, const void *x, const void *bias, const product &p, int T)
{
    bool to_float = bias || sizeof(out) == sizeof(float), forward = p.direction == FORWARD;
    if (p.shape->by[p.direction][to_float].serves) {
        blocks_run(y, (const real *)x, (const real *)bias, p, T);
        return;
    }
    size_t K = (size_t)p.shape->K;
    own_product_run(own_product<real, out>{y, (const real *)x, (const real *)p.weight,
                                           (const real *)bias, (size_t)p.in, 1, forward ? K : 1,
                                           forward ? 1 : K, T, p.n, p.in, false});
}

template <class real>
static void run_either(void *y, bool y_float, const void *x, const void *bias,
                       const struct linear *l, enum direction d, int T)
{
    bool forward = d == FORWARD;
    const product p = {(const linear_shape *)l->shape, d, l->stored, forward ? l->K : l->N,
                       forward ? l->N : l->K};
    if (y_float)
        run<real>((float *)y, x, bias, p, T);
    else
        run<real>((real *)y, x, bias, p, T);
}

template <class real>
void rows<real>::linear_forward(void *y, bool y_float, const void *x, const struct linear *l,
                                const void *bias, int T)
{
    run_either<real>(y, y_float, x, bias, l, FORWARD, T);
}

template <class real>
void rows<real>::linear_backward_input(void *dx, bool dx_float, const void *dy,
                                       const struct linear *l, int T)
{
    run_either<real>(dx, dx_float, dy, nullptr, l, BACKWARD, T);
}

/* --- gradients of weights: rows in pieces, pieces in order --- */

constexpr int SUM_ROWS = 64; /* of a piece of a column's sum */

/* A thread a column, whose rows it adds in order. */
template <class real>
__global__ void column_pieces_kernel(float *part, const real *dy, int N, int T)
{
    int n = (int)(blockIdx.y * BLOCK + threadIdx.x), t = (int)blockIdx.x * SUM_ROWS;
    if (n >= N) return;
    int end = T - t < SUM_ROWS ? T : t + SUM_ROWS;
    float sum = 0;
    for (; t < end; t++) sum += get(dy[(size_t)t * (size_t)N + (size_t)n]);
    part[(size_t)blockIdx.x * (size_t)N + (size_t)n] = sum;
}

__global__ static void column_sum_kernel(float *db, const float *part, int n, int N)
{
    int column = (int)(blockIdx.x * BLOCK + threadIdx.x);
    if (column >= N) return;
    float sum = db[column];
    for (int i = 0; i < n; i++) sum += part[(size_t)i * (size_t)N + (size_t)column];
    db[column] = sum;
}

template <class real> static void column_sums(float *db, const real *dy, int N, int T)
{
    int most = (int)(SCRATCH_FLOATS / (size_t)N);
    for (int t = 0; t < T; t += most * SUM_ROWS) {
        int left = T - t, n = (int)pieces((size_t)left, SUM_ROWS);
        n = n < most ? n : most;
        launch(column_pieces_kernel<real>, dim3((unsigned)n, pieces((size_t)N, BLOCK)), BLOCK,
               scratch_floats(), dy + (size_t)t * (size_t)N, N, left);
        launch(column_sum_kernel, pieces((size_t)N, BLOCK), BLOCK, db, scratch_floats(), n, N);
    }
}

/* A piece that is not full, or does not lie as the library wants it, by way of our own room. */
template <class real> static const real *piece_input(char *way, const real *x, int width, int n)
{
    size_t row = (size_t)width * sizeof(real), bytes = (size_t)n * row;
    if (n == GRADIENT_ROWS && is_aligned(x)) return x;
    copy(way, x, bytes);
    if (n < GRADIENT_ROWS)
        CUDA_OK(cudaMemsetAsync(way + bytes, 0, GRADIENT_ROWS * row - bytes, cuda_stream()));
    return (const real *)way;
}

template <class real>
static void pieces_run(float *dw, const real *dy, const real *x, const library_product *p, int T)
{
    size_t N = (size_t)p->N, K = (size_t)p->K;
    for (int t = 0; t < T; t += GRADIENT_ROWS) {
        int n = T - t < GRADIENT_ROWS ? T - t : GRADIENT_ROWS;
        const real *g = piece_input(room.input, dy + (size_t)t * N, p->N, n);
        const real *in =
            piece_input(room.input + GRADIENT_ROWS * N * sizeof(real), x + (size_t)t * K, p->K, n);
        library_run(p, 0, dw, in, g);
    }
}

template <class real>
void rows<real>::linear_backward_weight(float *dw, float *db, const void *dy, const void *x, int N,
                                        int K, int T)
{
    const linear_shape *s = shape_get(N, K, TYPE<real>, true);
    const library_product *p = &s->by[GRADIENT][1];
    const real *g = (const real *)dy, *in = (const real *)x;
    room_reserve(N, K, sizeof(real)); /* it is there, if the weight was placed */
    INVARIANT(is_aligned(dw), "the gradient of a weight at %p", (void *)dw);
    if (p->serves)
        pieces_run(dw, g, in, p, T);
    else
        own_product_run(own_product<real, float>{dw, g, in, nullptr, 1, (size_t)N, 1, (size_t)K, N,
                                                 K, T, true});
    if (db) column_sums(db, g, N, T);
}

template struct rows<float>;
template struct rows<bf16>;
