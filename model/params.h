/* THE table of parameters: names, shapes, roles, initialisers. Struct, sizes, checkpoint, import
 * and export all come from it. */
#ifndef DUET_MODEL_PARAMS_H
#define DUET_MODEL_PARAMS_H

#include <stddef.h>
#include <stdint.h>
#include "model/dims.h"

enum param_role {
    ROLE_MATRIX,
    ROLE_NORM,
    ROLE_BIAS,
    ROLE_EMBEDDING,
    ROLE_HEAD,
    ROLE_SCORE, /* of the scalar head: a vector, multiplied in float */
    ROLE_EXPERT,
    ROLE_ROUTER
};

/* How tensor parallelism (or, of experts, expert parallelism) cuts a tensor. */
enum param_cut {
    CUT_NONE,      /* every rank holds all of it, with the same gradient */
    CUT_NONE_PART, /* every rank holds all of it, with its heads' part of the gradient */
    CUT_HEADS,     /* rows: of query heads, key heads and value heads each a share */
    CUT_PAIR,      /* rows: of the gate's and of the up projection's each a share */
    CUT_ROWS,      /* rows, of tokens */
    CUT_COLS,      /* columns */
    CUT_EXPERTS,   /* rows, of experts, over ep; all ranks of tp hold them and their gradient */
};

/* The tensors of each part (part.h), in the order in which they lie. Sizes are of the whole tensor
 * when d is the whole model, of a share when d is (dims_share). Experts are stacked: expert e is
 * rows [e*2Fe, (e+1)*2Fe) of experts_wgu and [e*C, (e+1)*C) of experts_wdown.
 *
 *   X(name, role, rows, cols, there when, cut over tp, adds, hf)
 *
 * adds: the product with it is added to the residual stream (its initial values are smaller).
 * hf: the rule of its name in a Hugging Face folder (param_hf_name), in layers behind
 * "model.layers.N." */
#define EMBED_PARAMS(X) \
    X(embed, ROLE_EMBEDDING, d->V, d->C, true, CUT_ROWS, false, "model.embed_tokens.weight")

#define ATTENTION_PARAMS(X)                                                                    \
    X(norm1, ROLE_NORM, 1, d->C, true, CUT_NONE, false, "input_layernorm.weight")              \
    X(wqkv, ROLE_MATRIX, dims_qkv(d), d->C, true, CUT_HEADS, false,                            \
      "self_attn.{q,k,v}_proj.weight")                                                         \
    X(bqkv, ROLE_BIAS, 1, dims_qkv(d), d->qkv_bias, CUT_HEADS, false,                          \
      "self_attn.{q,k,v}_proj.bias")                                                           \
    X(q_norm, ROLE_NORM, 1, d->D, d->qk_norm, CUT_NONE_PART, false, "self_attn.q_norm.weight") \
    X(k_norm, ROLE_NORM, 1, d->D, d->qk_norm, CUT_NONE_PART, false, "self_attn.k_norm.weight") \
    X(wo, ROLE_MATRIX, d->C, d->Hq * d->D, true, CUT_COLS, true, "self_attn.o_proj.weight")    \
    X(bo, ROLE_BIAS, 1, d->C, d->o_bias, CUT_NONE, false, "self_attn.o_proj.bias")

#define FFN_PARAMS(X)                                                                       \
    X(norm2, ROLE_NORM, 1, d->C, true, CUT_NONE, false, "post_attention_layernorm.weight")  \
    X(wgu, ROLE_MATRIX, 2 * d->F, d->C, true, CUT_PAIR, false, "mlp.{gate,up}_proj.weight") \
    X(bgu, ROLE_BIAS, 1, 2 * d->F, d->mlp_bias, CUT_PAIR, false, "mlp.{gate,up}_proj.bias") \
    X(wdown, ROLE_MATRIX, d->C, d->F, true, CUT_COLS, true, "mlp.down_proj.weight")         \
    X(bdown, ROLE_BIAS, 1, d->C, d->mlp_bias, CUT_NONE, false, "mlp.down_proj.bias")

#define MOE_PARAMS(X)                                                                      \
    X(norm2, ROLE_NORM, 1, d->C, true, CUT_NONE, false, "post_attention_layernorm.weight") \
    X(router, ROLE_ROUTER, d->E, d->C, true, CUT_NONE, false, "mlp.gate.weight")           \
    X(experts_wgu, ROLE_EXPERT, dims_held(d) * 2 * d->Fe, d->C, true, CUT_EXPERTS, false,  \
      "mlp.experts.#.{gate,up}_proj.weight")                                               \
    X(experts_wdown, ROLE_EXPERT, dims_held(d) * d->C, d->Fe, true, CUT_EXPERTS, true,     \
      "mlp.experts.#.down_proj.weight")

#define HEAD_PARAMS(X)                                                        \
    X(norm_f, ROLE_NORM, 1, d->C, true, CUT_NONE, false, "model.norm.weight") \
    X(score, ROLE_SCORE, 1, d->C, d->score, CUT_NONE, false, "score.weight")  \
    X(head, ROLE_HEAD, d->V, d->C, true, CUT_ROWS, false, "lm_head.weight")

/* Tensors that are one, as X(copy, of, when): the copy has the values of the other, and a gradient
 * of its own that is added to the other's. */
#define TIES(X) X("head", "embed", d->tied)

/* Where elements of a share lie in the whole tensor, flattened: from lo on, `run` of them together,
 * then again `stride` further, the last before hi. run 0: all from lo to hi. */
struct range {
    size_t lo, hi, run, stride;
};
static inline size_t range_count(const struct range *s)
{
    return s->run == 0 ? s->hi - s->lo : ((s->hi - s->lo - s->run) / s->stride + 1) * s->run;
}
enum { PARAM_DIMS = 3 };
enum { PARAM_BLOCKS = 3, PARAM_RANGES = 3 * PARAM_BLOCKS };

/* A chunk's flat array lies in regions, by who else holds the same: all of it is reduced, rounded
 * and sliced alike. */
enum param_region {
    REGION_SHARES,  /* this rank of tp alone; with tp 1 all but experts */
    REGION_WHOLE,   /* all ranks of tp, with the same gradient */
    REGION_EXPERTS, /* all ranks of tp, but of ep this one alone */
    REGIONS
};

/* Roles whose matrices are multiplied by struct linear (model/ops.h), from packed copies. */
static inline bool role_is_packed(enum param_role r)
{
    return r == ROLE_MATRIX || r == ROLE_HEAD || r == ROLE_EXPERT;
}

/* One tensor of a chunk. Names are global: "embed", "layers.3.wqkv", "norm_f", "head". */
struct param {
    char name[48];
    int layer;   /* of the model, from 0; -1: before the layers (the embedding), L: behind them */
    bool within; /* it belongs to a layer, not to an end of the model */
    enum param_role role;
    bool adds;      /* the product with it is added to the residual stream */
    const char *hf; /* rule of its Hugging Face name; param_hf_name reads it */
    enum param_cut cut;
    enum param_region region;
    int rows,
        cols; /* of this rank's share; a vector has rows 1; a linear weight is stored (out, in) */
    size_t n; /* rows * cols */
    size_t whole;          /* elements of the whole tensor */
    int stacked;           /* matrices of one shape in the share: experts held, otherwise 1 */
    int shape[PARAM_DIMS]; /* of the whole: (n), (rows, cols), (experts, rows of one, cols); 0
                              behind */
    int blocks;            /* the share, in order */
    struct range block[PARAM_BLOCKS];
    size_t offset;   /* element offset in the chunk's flat arrays, 64-byte aligned at 4 bytes an
                        element */
    const char *tie; /* of TIES, the copy and what it copies: the latter's name; NULL: not tied */
    bool tied_copy;  /* the copy: not saved, not counted */
};

/* A run of layers [first, first+count) with or without the ends of the model. */
struct chunk_span {
    int first, count;
    bool embed, head;
};
/* How `L` layers are split over `stages` chunks: as even as can be, earlier chunks larger. */
struct chunk_span chunk_span_of(const struct dims *d, int stages, int chunk);

struct param_list {
    int n;
    struct param *p;     /* in the table's order */
    size_t total;        /* elements of the flat array, padding included */
    size_t end[REGIONS]; /* where each region ends */
};
void param_list_make(struct param_list *l, const struct dims *d, struct chunk_span span);
void param_list_free(struct param_list *l);
/* Under which name it is saved: of a tied copy that of what it copies. */
static inline const char *param_saved_name(const struct param *p)
{
    return p->tied_copy ? p->tie : p->name;
}
const struct param *param_find(const struct param_list *l, const char *name);

/* Name of piece i of the tensor in a Hugging Face folder of the layout of Llama, Qwen2, Qwen3 and
 * Qwen3-MoE; false behind the last. The rows of the pieces, in order, are the rows of the whole
 * tensor: "layers.3.wqkv" has the pieces "model.layers.3.self_attn.q_proj.weight", then k_proj and
 * v_proj; stacked experts have theirs expert by expert. A rule names the pieces in braces, and has
 * # for the number of the expert. Local. */
bool param_hf_name(const struct param *p, int i, char *name, size_t bytes);

/* Index in the whole tensor of element i of the share. */
size_t param_index(const struct param *p, size_t i);
/* Where elements [lo, hi) of the share lie, in order. Returns how many ranges. */
int param_ranges(const struct param *p, size_t lo, size_t hi, struct range out[PARAM_RANGES]);

/* Initial value of element i of a rank's share of a tensor: normal(0, init_std) for matrices,
 * embedding and head (wo and wdown divided by sqrt(2L)), 1 for norms, 0 for biases; drawn by global
 * name and index (P3), a tied copy by what it copies. */
float param_init(const struct dims *d, const struct param *p, size_t i, uint64_t seed);
/* Those of elements [lo, lo + n), in less time. */
void param_init_run(float *out, const struct dims *d, const struct param *p, size_t lo, size_t n,
                    uint64_t seed);
size_t params_count(const struct dims *d); /* of the whole model, tied once */

#endif
