/* Matrix products by oneDNN, so cut that a row's result does not depend on its company (promise
 * P1).
 *
 * The library chooses kernels and the cut of the inner dimension by the size of a product. So each
 * direction of a weight shape has primitives for fixed blocks of rows only: of 16, 64 and 256,
 * those that give each other's bits at every position (model/row_trial.h, tried once when the shape
 * is made), or else of one row. The caller pads the last block with zeros.
 *
 * Elements are float or bf16, results always float. On a machine without bf16 instructions the
 * library's bf16 kernels reach a fifth of the float rate, so there bf16 is widened to float, which
 * is exact, and the float kernels are used: products of bf16 are exact in float and both add in
 * float. Weights are widened by matmul_pack, rows by the caller.
 *
 * Not thread-safe: one thread computes. Shapes are kept until the process ends. */
#ifndef DUET_MODEL_MATMUL_H
#define DUET_MODEL_MATMUL_H

#include <stdbool.h>
#include <stddef.h>

/* Float; bf16 throughout; weights stored as bf16 but multiplied as float. */
enum matmul_type { MATMUL_F32, MATMUL_BF16, MATMUL_WIDENED };
static inline size_t matmul_type_bytes(enum matmul_type t)
{
    return t == MATMUL_BF16 ? 2 : 4;
}
enum matmul_direction { MATMUL_FORWARD, MATMUL_BACKWARD }; /* y = x W^T; dx = dy W */

struct matmul_shape;

/* How bf16 weights are multiplied here: MATMUL_BF16 where the processor has AVX512-BF16 or AMX,
 * MATMUL_WIDENED elsewhere. DUET_BF16=native|widen in the environment, read at the first call,
 * overrides. */
enum matmul_type matmul_type_of_bf16(void);
/* False when DUET_BF16=native asks for products that oneDNN has no kernel for here: it takes
 * AVX-512. */
bool matmul_bf16_runs(void);

/* Whether gradients of bf16 are made by the processor's tiles (model/gradients.h): the library
 * takes AMX, and a rank computes with one thread. */
bool matmul_tiles(void);

/* May we add products of pairs of bf16 as the library does, by the processor's instruction for
 * them? As matmul_tiles, where it takes AVX-512 with bf16 and not AMX. */
bool matmul_pairs(void);

/* The kernels of weight (N, K), made at the first call; `backward` makes those of gradients too. */
const struct matmul_shape *matmul_shape_get(int N, int K, enum matmul_type type, bool backward);
/* The products made so far that are done one row a call, slowly, because no block passed the trial:
 * "384 x 128 (forward), …", cut to the room there is; "" when there are none. */
void matmul_by_row(char *text, size_t bytes);
size_t matmul_packed_bytes(const struct matmul_shape *s, enum matmul_direction d);
/* w (N, K) as stored -> the library's order. */
void matmul_pack(void *packed, const struct matmul_shape *s, enum matmul_direction d,
                 const void *w);

/* Rows of the block to use when `left` rows remain: may be more than `left`, then pad with zeros.
 */
int matmul_block(const struct matmul_shape *s, enum matmul_direction d, int left);
/* y float (R, outputs) = x (R, inputs) times the packed weight; R as matmul_block said. */
void matmul_run(float *y, const struct matmul_shape *s, enum matmul_direction d, const void *x,
                const void *packed, int R);

/* The most rows to which model/tile_rows.h gives their bits from the packed weight, by one thread
 * as asked; 0: none. */
int matmul_tile_rows(const struct matmul_shape *s, enum matmul_direction d);
/* The piece that tile_rows_begin wants. */
int matmul_tile_piece(const struct matmul_shape *s, enum matmul_direction d);

/* Rows of a piece of the weight gradient; dw float (N, K) += dy^T x for exactly that many rows. */
int matmul_gradient_rows(const struct matmul_shape *s);
void matmul_gradient(float *dw, const struct matmul_shape *s, const void *dy, const void *x);

/* Room for one block's inputs and outputs in float, enough for any shape made so far. 64-byte
 * aligned. */
void *matmul_scratch(int which); /* 0, 1 */
/* Bytes of one of them where the widest rows have `widest` elements. */
size_t matmul_block_bytes(int widest);

/* Threads the library may use, 1 unless set; call before the first shape is made. */
void matmul_set_threads(int threads);
int matmul_threads(void);
/* GFLOP/s of one library call of `rows` rows, median of several. */
double matmul_rate(int rows, int N, int K, enum matmul_type type);
/* Processor seconds of one such call, median of several: for machines that other work shares. */
double matmul_call_processor(int rows, int N, int K, enum matmul_type type);
/* Keeps the library from using more than an instruction set: "avx2", "base"; others: no limit.
 * Works before the first product. */
void matmul_limit(const char *isa);
/* The instruction set that the library takes, by the names of ONEDNN_MAX_CPU_ISA. */
const char *matmul_isa(void);

#endif
