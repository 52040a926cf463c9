/* struct ops: one row per operation, a table per backend and precision, chosen once (ops_find).
 *
 * `real` is the type of weights and activations: bf16 or float, ops->real_bytes wide. Everything
 * else (gradients of weights, logits, log-probabilities, statistics) is float.
 *
 * Promise P1: an output row depends bit for bit only on its own inputs, not on how many rows are in
 * the call or where it stands among them. Gradients of weights ACCUMULATE; other outputs are
 * written unless said otherwise. Outputs first. No row allocates after linear_place. All are local.
 *
 * Arrays lie in the memory of the table's device (comm/base/device.h) unless they are said to lie
 * on the host; structs are the host's, arrays that they name are not. */
#ifndef DUET_MODEL_OPS_H
#define DUET_MODEL_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "comm/base/arena.h"
#include "comm/base/exact.h"
#include "model/dims.h"
#include "model/few_rows.h"

/* A linear layer's weight (N out, K in) as the kernels want it: packed copies made once per update.
 * The struct is the caller's; the memory behind it comes from the arena at linear_place. */
struct linear {
    int N, K;
    bool backward;     /* was placed with a copy for the input gradient */
    const void *shape; /* the backend's kernels for (N, K), shared and kept by the backend */
    void *forward_copy, *backward_copy;
    struct few_rows few; /* what serves a few rows, from the weight as it is stored */
    const void *stored;  /* as linear_pack found it; NULL: nothing is served from it */
};

/* Sequences packed into the rows of a call: sequence s owns rows [start[s], start[s+1]), positions
 * from 0. */
struct segments {
    int n;
    const int *start; /* n+1 */
};

/* Keys and values of one layer in the cache, in blocks of KV_BLOCK positions. Inner layout is the
 * backend's: kv_block_bytes says how large one block (all Hkv heads, keys and values) is. */
struct kv_layer {
    unsigned char *pool; /* blocks * block_bytes */
    size_t block_bytes;
};
/* Row t of a decode call belongs to a sequence whose blocks are table[t][0 .. pos[t]/KV_BLOCK], at
 * position pos[t]. */
struct kv_rows {
    const int *pos;          /* (T) */
    const int *const *table; /* (T) */
};

/* Heads within T rows of `stride` elements: head h of row t begins at element t*stride + h*D; its
 * statistic is number t*statistics + h. */
struct head_rows {
    int T, heads, D, stride, statistics;
};
/* What a router chose, and the gradient of its weights: all (T,K). */
struct chosen {
    const int *expert;
    const float *weight, *dweight;
};

struct adamw {
    float lr, beta1, beta2, eps, weight_decay; /* decoupled decay (arXiv 1711.05101) */
    float grad_scale;               /* every gradient is multiplied by it first (clipping) */
    float correction1, correction2; /* 1 - beta^t */
};

enum { SQUARE_BITS = 20 };

struct sampling;
struct ops {
    const char *name; /* "avx512-bf16" */
    const char *isa;  /* "amx", "avx512", "avx2", "base", "plain" */
    enum precision precision;
    size_t real_bytes;

    /* --- linear layers: y = x W^T + b --- */
    void (*linear_place)(struct linear *l, int N, int K, bool backward, struct arena *a);
    /* w real (N,K) is read again by linear_forward: it stays as it is until it is packed anew */
    void (*linear_pack)(struct linear *l, const void *w);
    /* y real (T,N), or float (T,N) when y_float; x real (T,K); bias real (N) or NULL */
    void (*linear_forward)(void *y, bool y_float, const void *x, const struct linear *l,
                           const void *bias, int T);
    /* dx real (T,K), or float (T,K) when dx_float, = dy (T,N) W */
    void (*linear_backward_input)(void *dx, bool dx_float, const void *dy, const struct linear *l,
                                  int T);
    /* dw float (N,K) += dy^T x; db float (N) += column sums of dy, or NULL. dw is summed in pieces
     * of rows, counted from the first, that divide 256: two calls, the first with a multiple of 256
     * rows, leave the bits of one (but of the plain table, which rounds once a call). */
    void (*linear_backward_weight)(float *dw, float *db, const void *dy, const void *x, int N,
                                   int K, int T);

    /* --- moves: no arithmetic, any type --- */
    /* T rows of `bytes` bytes, y_step and x_step bytes apart; they do not overlap */
    void (*copy_rows)(void *y, size_t y_step, const void *x, size_t x_step, int T, size_t bytes);
    /* row at[t*K+j] of y is row t of x, real (T,C), for every j < K */
    void (*scatter_rows)(void *y, const int *at, const void *x, int T, int C, int K);

    /* --- row-wise --- */
    /* x real (T,C): the token's row of the table, which holds those of `own`, real (own.n,C); 0 for
     * other tokens */
    void (*embed_forward)(void *x, const void *table, const int *token, struct share own, int T,
                          int C);
    void (*embed_backward)(float *dtable, const void *dx, const int *token, struct share own, int T,
                           int C);
    /* y = x * rstd * gain; rstd float (T). x in float: round(x*rstd) to real, then times gain, as
     * Hugging Face's Llama does */
    void (*rmsnorm_forward)(void *y, float *rstd, const void *x, const void *gain, int T, int C,
                            float eps);
    /* dx real (T,C) = gradient through the norm, plus `carry` (real (T,C) or NULL: the residual's
     * own gradient); dgain float (C) accumulates, NULL: skipped */
    void (*rmsnorm_backward)(void *dx, float *dgain, const void *dy, const void *x,
                             const void *gain, const float *rstd, const void *carry, int T, int C);
    /* The same norm over D for every head of some rows, all with one gain (D); y and x, dx and dy
     * lie alike. No carry. */
    void (*rmsnorm_heads_forward)(void *y, float *rstd, const void *x, const void *gain,
                                  struct head_rows h, float eps);
    void (*rmsnorm_heads_backward)(void *dx, float *dgain, const void *dy, const void *x,
                                   const void *gain, const float *rstd, struct head_rows h);
    /* y = a + b, n elements; y may be a */
    void (*add)(void *y, const void *a, const void *b, size_t n);
    /* y (T,F) = silu(gate) * up, gu (T,2F): gate columns then up columns */
    void (*swiglu_forward)(void *y, const void *gu, int T, int F);
    /* dgu may be gu */
    void (*swiglu_backward)(void *dgu, const void *dy, const void *gu, int T, int F);

    /* --- experts. A row goes to K of E experts; the row of expert outputs (or of their gradients)
     * that answers choice j of row t is number at[t*K+j] of `rows`, which may have more than T*K
     * where T are some of a micro-batch's rows. Sums over j go by rising j. */
    /* prob float (T,E) = softmax(x w^T), products and sums in float; x real (T,C), w real (E,C) */
    void (*router_forward)(float *prob, const void *x, const void *w, int T, int C, int E);
    /* expert, weight (T,K): the K largest of each row of prob and their values, the largest first,
     * of equals the lower number; normed: divided by their sum. K different
     * experts are named also where prob holds NaN. */
    void (*router_select)(float *weight, int *expert, const float *prob, int T, int E, int K,
                          bool normed);
    /* at (n): the place of each choice when they are sorted by expert, those of one expert in
     * order; start (E+1), on the host: where each expert's begin */
    void (*router_sort)(int *at, int *start, const int *expert, int n, int E);
    /* chosen (E) += how often each expert was; to balance is added, for each sequence, rows * E *
     * sum over experts of f * P (chunk_load in model/chunk.h). count (E) is scratch. */
    void (*router_load)(uint64_t *chosen, struct exact_sum *balance, int *count, const float *prob,
                        const int *expert, struct segments seg, int E, int K);
    /* prob (T,E) of a softmax becomes the gradient of its logits, of a loss that has dweight (T,K)
     * as gradient of the weights of the chosen experts (normed as they were), and in which
     * router_load's balance counts `balance` times. */
    void (*router_backward)(float *prob, const struct chosen *of, float balance, int *count,
                            struct segments seg, int E, int K, bool normed);
    /* dx real (T,C) = sum over j of drows[at] + dlogits (float (T,E)) w, rounded once */
    void (*router_backward_input)(void *dx, const void *drows, const int *at, const float *dlogits,
                                  const void *w, int T, int C, int E, int K);
    /* dw float (E,C) += dlogits^T x */
    void (*router_backward_weight)(float *dw, const float *dlogits, const void *x, int T, int C,
                                   int E);
    /* score float (T) = x . w, in float; x real (T,C), w real (C). Backward are the router's rows,
     * of one expert and no choices. */
    void (*score_forward)(float *score, const void *x, const void *w, int T, int C);
    /* y real (T,C) = x + sum over j of weight[t*K+j] * rows[at]; y may be x */
    void (*combine_forward)(void *y, const void *x, const void *rows, const int *at,
                            const float *weight, int T, int C, int K);
    /* drows[at] = weight * dy; dweight float (T,K) = dy . rows[at]; drows may be rows */
    void (*combine_backward)(void *drows, float *dweight, const void *dy, const void *rows,
                             const int *at, const float *weight, int T, int C, int K);

    /* --- rotary embedding, half-split, in place on heads [0, heads) of rows of `stride` elements.
     * cos_sin float (max_context, D): cos of D/2 angles, then sin. inverse: the gradient. --- */
    void (*rope)(void *x, int T, int stride, int heads, int D, const int *pos, const float *cos_sin,
                 bool inverse);

    /* --- attention: causal, grouped-query, scale 1/sqrt(D), softmax in float, keys in position
     * order. qkv real (T, (Hq+2Hkv)*D), queries and keys already rotated. out real (T, Hq*D); lse
     * float (T, Hq). scratch: attention_scratch bytes for the largest T and the longest sequence.
     */
    size_t (*attention_scratch)(const struct dims *d, int T);
    void (*attention_forward)(void *out, float *lse, const void *qkv, struct segments seg,
                              const struct dims *d, void *scratch);
    /* dqkv real, same shape, written */
    void (*attention_backward)(void *dqkv, const void *dout, const void *qkv, const void *out,
                               const float *lse, struct segments seg, const struct dims *d,
                               void *scratch);
    size_t (*kv_block_bytes)(const struct dims *d);
    /* Stores keys and values of rows t of qkv into their blocks. */
    void (*kv_store)(struct kv_layer *kv, const void *qkv, struct kv_rows rows, int T,
                     const struct dims *d);
    /* Same bits as attention_forward gives for the same sequence (P2). */
    void (*attention_cached)(void *out, const void *qkv, const struct kv_layer *kv,
                             struct kv_rows rows, int T, const struct dims *d, void *scratch);

    /* --- the head's end. logits float (T,V). inv_temp: 1/temperature.
     * logp[t] = log softmax(logits[t]*inv_temp)[target[t]], entropy[t] of that distribution; target
     * -1: both 0. range (2,T), or NULL: of each row with a target the largest of x = logits *
     * inv_temp, then the sum of e^(x - largest), for logprob_backward. --- */
    void (*logprob_forward)(float *logp, float *entropy, float *range, const float *logits,
                            const int *target, float inv_temp, int T, int V);
    /* dlogits real (T,V) = dlogp[t] * inv_temp * (onehot - softmax); rows with target -1 are 0.
     * range: as logprob_forward left it, or NULL: formed again. dlogits may be logits: a row is
     * read before anything is written behind its place. */
    void (*logprob_backward)(void *dlogits, const float *dlogp, const float *range,
                             const float *logits, const int *target, float inv_temp, int T, int V);
    /* The same in steps, for a rank that holds V tokens of the vocabulary from `first` on: most[t],
     * the largest of logits[t] * inv_temp; sums (3,T) of this rank's tokens, with x = logits *
     * inv_temp - most: of e^x, of e^x x, and of x of the target; then the gradient for the sums of
     * e^x over all ranks. Rows with target -1 may hold anything but dlogits: 0, which may be
     * logits. */
    void (*logprob_most)(float *most, const float *logits, float inv_temp, int T, int V);
    void (*logprob_sums)(float *sums, const float *most, const float *logits, const int *target,
                         int first, float inv_temp, int T, int V);
    void (*logprob_share_backward)(void *dlogits, const float *dlogp, const float *sum_exp,
                                   const float *most, const float *logits, const int *target,
                                   int first, float inv_temp, int T, int V);

    /* From sums (3,T) of all ranks: logp and entropy as logprob_forward gives them. */
    void (*logprob_join)(float *logp, float *entropy, const float *sums, const int *target, int T);

    /* --- drawing a token from a row of logits z (V); model/sampling.h. NaN counts as -infinity.
     * --- */
    /* most[i]: the largest of z[i*group .. (i+1)*group) */
    void (*sample_largest)(float *most, const float *z, int V, int group);
    /* weight[v] = e^((z[v] - most) * inv_temp), 0 where that is below e^-700; NULL: not wanted.
     * sum[i]: of the weights [i*piece, (i+1)*piece), to 1e-11 of itself. most: the largest, finite
     */
    void (*sample_weights)(double *sum, double *weight, const float *z, float most, double inv_temp,
                           int V, int piece);
    /* of the weights of those z that are at least `from`, as good */
    double (*sample_sum)(const double *weight, const float *z, float from, int n);
    /* token[t] of the first n columns of each row of z (T,V): what sample_token (model/sampling.h)
     * draws at u[t], or -1 where the order of a sum might decide, and with top k or top p: then it
     * is asked. Not among the lists of rows; NULL, as in the host's tables: it is asked for all. */
    void (*sample_rows)(int *token, const float *z, const double *u, const struct sampling *s,
                        int T, int V, int n);
    /* columns of every row of y float (T,N) become `value` */
    void (*fill_columns)(float *y, struct share columns, float value, int T, int N);

    /* --- optimizer: element-wise over n, master/m/v float; param real receives the rounded
     * master --- */
    void (*adamw_step)(void *param, float *master, float *m, float *v, const float *grad, size_t n,
                       const struct adamw *h);
    /* sum += (2^SQUARE_BITS x^2), exactly: gradients are small, and an exact sum keeps 64 binary
     * places */
    void (*square_sum)(struct exact_sum *sum, const float *x, size_t n);
    void (*to_real)(void *out, const float *in, size_t n);
    void (*to_float)(float *out, const void *in, size_t n);
};

/* The best table for this machine, or the one named by isa ("plain", "base", "avx2", "avx512",
 * "amx"; NULL: best). NULL when the machine cannot run it. DUET_ISA in the environment overrides
 * NULL, and DUET_BF16 counts then. */
const struct ops *ops_find(enum precision precision, const char *isa);

/* Threads that the matrix library may use in this process, 1 unless set. Call before the first
 * linear_place. Local. */
void ops_set_threads(int threads);

/* What decides the bits of a result: the table, what the matrix library takes, how bf16 is
 * multiplied: "avx512-bf16, oneDNN AVX512_CORE". Local. */
void ops_kernels(char *text, size_t bytes, const struct ops *ops);

/* Matrix products placed so far that run row by row, slowly, because no kernel of the library for
 * several rows keeps P1: "384 x 128 (forward), …"; "" when there are none. Local. */
void ops_slow_products(char *text, size_t bytes);

/* GFLOP/s of one library call for `rows` rows and a weight (N, K), measured now (median of several,
 * weight packed), of the kind that the table's linear layers make: what a bench holds its figures
 * against. Local; allocates. */
double ops_matmul_rate(const struct ops *ops, int rows, int N, int K);

#endif
