/* Every shape letter, once. */
#ifndef DUET_MODEL_DIMS_H
#define DUET_MODEL_DIMS_H

#include <stdbool.h>
#include <stdint.h>

/* What they are: model/precision.h. */
enum precision { PRECISION_FP32, PRECISION_BF16 };
#define PRECISION_NAME_FP32 "fp32"
#define PRECISION_NAME_BF16 "bf16"

/* How a row's experts are chosen (router.c). */
enum router_kind { ROUTER_SOFTMAX };

/* How the frequencies of the rotary embedding are stretched for long contexts, and in what number
 * format its angles are computed: rope.h. */
enum rope_scaling { ROPE_NONE, ROPE_LLAMA3, ROPE_YARN };
enum rope_angles { ROPE_DOUBLE, ROPE_FP32 };
struct rope {
    enum rope_scaling scaling;
    enum rope_angles angles;
    double factor;     /* llama3, yarn: frequencies are divided by it, at most */
    int original;      /* llama3, yarn: context that the model was trained for before */
    double low, high;  /* llama3: low_freq_factor, high_freq_factor */
    double fast, slow; /* yarn: beta_fast, beta_slow */
    bool whole;        /* yarn: the ends of the ramp are whole numbers (truncate) */
    double attention;  /* yarn: cosines and sines are multiplied by it (attention_factor) */
};

/* Which layers behind the first dense ones have experts. */
enum { MAX_LAYERS = 1024 };
struct expert_layers {
    int step;                        /* those whose number, counted from 1, it divides; 0, 1: all */
    uint64_t dense[MAX_LAYERS / 64]; /* a bit a layer: it stays dense all the same */
};

struct dims {
    int V;           /* vocabulary */
    int L;           /* layers */
    int C;           /* hidden size */
    int F;           /* SwiGLU inner size */
    int E;           /* experts of a mixture-of-experts layer; 0: every layer is dense */
    int K;           /* experts that a row goes to */
    int Fe;          /* SwiGLU inner size of an expert */
    int first_dense; /* number of leading dense layers */
    struct expert_layers expert_layers;
    int Hq, Hkv;     /* query heads, key/value heads; Hkv divides Hq */
    int D;           /* head size, even */
    int max_context; /* longest sequence */
    float rope_theta;
    struct rope rope;
    float norm_eps;
    float init_std;
    bool qkv_bias;   /* Qwen2 */
    bool o_bias;     /* Llama with attention_bias: on the projection out of attention, too */
    bool mlp_bias;   /* Llama: on gate, up and down of dense layers */
    bool qk_norm;    /* Qwen3 */
    bool tied;       /* head shares the embedding's weights */
    bool route_norm; /* the weights of a row's K experts add up to 1 */
    bool score;      /* beside the language head there is a scalar one */
    enum router_kind router;
    enum precision precision;
    /* Tensor parallelism: this rank holds share t of tp. Above are the sizes of the whole model; tp
     * 0: all in one place. */
    int tp, t;
    /* Expert parallelism: this rank holds share e of ep of the experts; ep 0: all. */
    int ep, e;
    int held; /* in what dims_share returns: the experts of the share */
};

/* Rows of the fused projection: Hq*D query rows, then Hkv*D key rows, then Hkv*D value rows. */
static inline int dims_qkv(const struct dims *d)
{
    return (d->Hq + 2 * d->Hkv) * d->D;
}

enum { MAX_TP = 64 }; /* ranks of tensor parallelism; beyond one host's links it does not pay */

/* Part t of n things cut in tp: as even as can be, earlier parts larger. */
struct share {
    int first, n;
};
static inline struct share share_of(int n, int tp, int t)
{
    int even = n / tp, larger = n % tp;
    return (struct share){t * even + (t < larger ? t : larger), even + (t < larger)};
}
/* This rank's share of the vocabulary; everything else that is cut is cut evenly (mesh_check). */
static inline struct share dims_vocabulary(const struct dims *d)
{
    return share_of(d->V, d->tp > 0 ? d->tp : 1, d->t);
}
/* The sizes of this rank's share, as of a model that is all in one place. */
static inline struct dims dims_share(const struct dims *d)
{
    struct dims s = *d;
    int tp = d->tp > 0 ? d->tp : 1;
    s.V = dims_vocabulary(d).n;
    s.F = d->F / tp;
    s.Hq = d->Hq / tp;
    s.Hkv = d->Hkv / tp;
    s.held = d->E / (d->ep > 0 ? d->ep : 1);
    s.tp = s.t = s.ep = s.e = 0;
    return s;
}

/* Experts whose weights a rank holds; of the whole model all. */
static inline int dims_held(const struct dims *d)
{
    return d->held > 0 ? d->held : d->E;
}

/* Whether layer `layer`, counted from 0, of a model with experts has some for its FFN half. */
static inline bool expert_layer(const struct expert_layers *e, int first_dense, int layer)
{
    return layer >= first_dense && (e->step <= 1 || (layer + 1) % e->step == 0) &&
           ((e->dense[layer / 64] >> (layer % 64)) & 1) == 0;
}
static inline bool dims_moe(const struct dims *d, int layer)
{
    return d->E > 0 && expert_layer(&d->expert_layers, d->first_dense, layer);
}

/* Keys and values live in blocks of this many positions, in the cache and in training alike, so
 * that attention reduces keys in one order everywhere (P1). */
enum { KV_BLOCK = 16 };

#endif
