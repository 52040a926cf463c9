/* Every shape letter, once. */
#ifndef DUET_MODEL_DIMS_H
#define DUET_MODEL_DIMS_H

#include <stdbool.h>

enum precision { PRECISION_FP32, PRECISION_BF16 };

struct dims {
    int V;           /* vocabulary */
    int L;           /* layers */
    int C;           /* hidden size */
    int F;           /* SwiGLU inner size */
    int Hq, Hkv;     /* query heads, key/value heads; Hkv divides Hq */
    int D;           /* head size, even */
    int max_context; /* longest sequence */
    float rope_theta;
    float norm_eps;
    float init_std;
    bool qkv_bias; /* Qwen2 */
    bool qk_norm;  /* Qwen3 */
    bool tied;     /* head shares the embedding's weights */
    enum precision precision;
};

/* Rows of the fused projection: Hq*D query rows, then Hkv*D key rows, then Hkv*D value rows. */
static inline int dims_qkv(const struct dims *d)
{
    return (d->Hq + 2 * d->Hkv) * d->D;
}

/* Keys and values live in blocks of this many positions, in the cache and in training alike, so that attention
 * reduces keys in one order everywhere (P1). */
enum { KV_BLOCK = 16 };

#endif
