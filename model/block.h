/* What a chunk is made of: seen by the files of its parts (attention.c, ffn.c, moe.c, ends.c, slot.c) and by
 * chunk.c only.
 *
 * A part of a pass is an end of the model or a half-layer,
 *
 *   attention half   x2 = x  + wo . attention(rope(qk_norm(wqkv . norm1(x) + bqkv)))
 *   FFN half         y  = x2 + wdown . swiglu(wgu . norm2(x2)), or the same of a row's K experts, weighed by a router
 *
 * and three rows of sub-steps: forward, backward-input, backward-weight (struct part). A sub-step computes, and may post one
 * exchange at its end; what the exchange moves belongs to the kind of pass, because a forward and a backward pass of one chunk may be
 * stepped in turn. Nothing in the shared scratch lives longer than one step.
 *
 * The gradient of the residual stream needs no memory of its own. Going backward, dx2 of layer l is written
 * over the output of layer l (nobody reads that any more: the norm behind it has had its turn), and dx over x2; dqkv and dgu are
 * written over qkv and gu. So a slot after B holds just what W reads. */
#ifndef DUET_MODEL_BLOCK_H
#define DUET_MODEL_BLOCK_H

#include "model/chunk.h"

/* The weights of one layer: rows of the parameter table (NULL where the model has no such tensor), and the
 * kernels' copies of its four matrices. */
struct layer {
#define LAYER_FIELD(name, role, rows, cols, there, cut, adds, hf) const struct param *name;
    LAYER_PARAMS(LAYER_FIELD)
#undef LAYER_FIELD
    struct linear qkv, o, gu, down; /* gu, down: of a dense layer */
    struct expert *expert;          /* [held]; NULL in a dense layer */
};
struct expert {
    struct linear gu, down;
};

/* Where a router sent the rows. Choice j of row t is number t*K + j; the most probable expert is its choice 0. Sorted by expert,
 * then by row, choices lie in "home rows" (T*K). The ranks of ep get their experts' part of them; there, sorted by expert, then
 * by the rank they are from, they are "expert rows" (R): all of T*K on one rank, up to ep * T * min(K, held) on one of several. */
struct routing {
    float *prob;   /* (T, E)   of every expert;  later the gradient of the logits */
    float *weight; /* (T, K)   of the chosen ones */
    int *expert;   /* (T, K) */
    int *at;       /* (T, K)   home row of the choice */
    int *start;    /* (E+1)    expert e owns the home rows [start[e], start[e+1]) */
    int *
        first; /* (held+1) held expert i owns the expert rows [first[i], first[i+1]); start itself on one rank */
    int *from; /* (ep, held) expert rows by rank and held expert; NULL on one rank */
};

/* What the forward pass of one layer leaves for B and W; then, where "later" says so, what B leaves for W. Nqkv is
 * (Hq+2*Hkv)*D. Room for T_max rows. */
struct acts {
    void *x;   /* (T, C)     input;                       later dx2 of the layer before */
    void *n1;  /* (T, C)     norm1(x) */
    void *raw; /* (T, Nqkv)  projection before qk_norm; NULL without qk_norm */
    void *qkv; /* (T, Nqkv)  queries and keys rotated;    later dqkv, of the projection */
    void *att; /* (T, Hq*D)  attention's output */
    void *x2;  /* (T, C)     after the attention half;    later dx */
    void *n2;  /* (T, C)     norm2(x2) */
    void *gu;  /* (T, 2F)    gate and up;                 later dgu. Of experts: (R, 2Fe) */
    void *h;   /* (T, F)     swiglu(gu).                  Of experts: (R, Fe) */
    void *xe;  /* (R, C)     expert rows of n2;           with experts only, as the next three */
    void *ye;  /* (R, C)     their outputs;               later dye */
    void *yh;  /* (T*K, C)   the same as home rows;       later dyh. ye itself on one rank */
    struct routing route;
    float *rstd1, *rstd2; /* (T) */
    float *rstd_qk;       /* (T, Hq+Hkv); NULL without qk_norm */
    float *lse;           /* (T, Hq) */
};

/* The activations of one micro-batch. */
struct slot {
    struct acts *layer; /* [count] */
    void *y;            /* (T, C)  output of the last layer;  later its dx2 */
    void *dy;           /* (T, C)  gradient of that output */
    void *nf;           /* (T, C)  norm_f(y); with head only, as the next two */
    float *rstd_f;      /* (T) */
    void *dlogits;      /* (T, V) */
};

/* Used within one step, shared by all slots. */
struct scratch {
    void *branch;   /* (T, C)     what a half-layer adds to the residual stream */
    void *dnorm;    /* (T, C)     gradient of a norm's output */
    void *datt;     /* (T, Hq*D) */
    void *dqkv;     /* (T, Nqkv)  before it goes over acts.qkv */
    void *dh;       /* (T, F), or (R, Fe) of experts, whichever is larger */
    void *dxe;      /* (R, C)     with experts only, as the next two */
    float *dweight; /* (T, K) */
    int *count;     /* (E) choices of one sequence */
    void *attention;
    float *logits; /* (T, V) */
};

/* What the exchanges of tensor and expert parallelism work on; NULL without. */
struct wire {
    float *
        sum; /* (T, C) partial sums; at the head (4, T): largest logit, then the sums of logprob_sums */
    float *scratch; /* (tp, T, C) */
    void *home;     /* (T*K, C) home rows going out or coming back */
    void *away; /* (R, C)   expert rows as they come, by rank, then expert, and as they go back */
    int *count; /* (2, ep, held) rows for each rank's experts; from each rank */
    size_t *bytes; /* (4, ep) */
};

struct chunk {
    struct dims d;           /* of this rank's share */
    int V;                   /* the whole vocabulary */
    struct share vocabulary; /* what of it is here */
    struct chunk_span span;
    const struct ops *ops;
    const unsigned char *weights; /* real, flat */
    int T_max, slots;
    bool training;
    int tp;    /* ranks that share the layers */
    int ep;    /* ranks that share the experts */
    int R_max; /* expert rows */
    struct parallel parallel;
    struct param_list params;
    struct layer *layer;                       /* [count] */
    const struct param *embed, *norm_f, *head; /* NULL without the end */
    struct linear head_linear;
    float *cos_sin;    /* (max_context, D) */
    struct slot *slot; /* [slots + 1]; the last keeps nothing: decoding */
    struct acts once;  /* the layer at work when nothing is kept: decoding and scoring */
    struct load load;
    struct scratch scratch;
    struct wire wire[2]; /* of forward passes, of backward ones */
    float
        *gathered; /* logits of cached rows, (T, its share) from each rank; with tp and the head */
};

static inline const void *weight_of(const struct chunk *c, const struct param *p)
{
    return p ? c->weights + p->offset * c->ops->real_bytes : NULL;
}
static inline float *grad_of(const struct pass *p, const struct param *t)
{
    return t ? p->grad + t->offset : NULL;
}
static inline struct slot *slot_of(const struct pass *p)
{
    return &p->chunk->slot[p->slot];
}
/* The input of layer l, or, behind the last one, the output of the layers. */
static inline void *stream_at(const struct pass *p, int l)
{
    struct slot *s = slot_of(p);
    return l < p->chunk->span.count ? s->layer[l].x : s->y;
}
/* Its gradient, and that of the stream between the halves of layer l. */
static inline void *gradient_at(const struct pass *p, int l)
{
    struct slot *s = slot_of(p);
    return l < p->chunk->span.count ? s->layer[l].x2 : s->dy;
}
static inline void *middle_gradient_at(const struct pass *p, int l)
{
    return stream_at(p, l + 1);
}
static inline bool has_experts(const struct chunk *c, int layer)
{
    return dims_moe(&c->d, c->span.first + layer);
}
static inline void *rows_at(const struct chunk *c, void *rows, int row, int cols)
{
    return (unsigned char *)rows + (size_t)row * (size_t)cols * c->ops->real_bytes;
}

/* slot.c: lays out everything of the chunk that is as long as a micro-batch. */
void chunk_place_memory(struct chunk *c, struct arena *a);

/* travel.c: rows go to the ranks that hold their experts, and back. Each call but `arrived` is a sub-step's last; on one rank
 * none does anything, and home rows are expert rows. */
void travel_counts(struct pass *p, const struct routing *r);
void travel_counted(struct pass *p, struct routing *r);
void travel_out(struct pass *p, const struct routing *r, const void *home);
void travel_arrived(struct pass *p, const struct routing *r, void *rows);
void travel_back(struct pass *p, const struct routing *r, void *home, void *rows);
void travel_place(struct chunk *c, struct wire *w, struct arena *a);

/* moe.c: a layer's experts, placed and packed. */
void moe_place(struct chunk *c, int layer, struct arena *a);
void moe_pack(struct chunk *c, int layer);

static inline int lane_of(const struct pass *p)
{
    if (p->decode) return LANE_DECODE + p->decode->lane;
    return p->kind == PASS_F ? LANE_FORWARD : LANE_BACKWARD;
}
/* A sub-step's last call: the next one runs when `operation`, posted on x, is done. */
static inline void pass_posted(struct pass *p, struct exchange *x, int operation)
{
    p->exchange = x;
    p->open = operation;
}

/* share.c: a product of which every rank of tp computes a part of the inner sum. The first posts the sum over the ranks (added
 * in rank order, P4) where there are several, as a sub-step's last call; the second, in the next sub-step, rounds it once
 * to real. One rank alone has the result in y at once, and the same y in both calls. */
void partial_forward(struct pass *p, void *y, const void *x, const struct linear *l);
void partial_backward(struct pass *p, void *dx, const void *dy, const struct linear *l);
void partial_end(struct pass *p, void *y);
static inline struct wire *wire_of(struct pass *p)
{
    return &p->chunk->wire[lane_of(p) == LANE_BACKWARD];
}

/* share.c: the embedding and the head, where each rank of tp has the rows of its tokens. Names in the order of use; what
 * returns an operation or ends with one posts an exchange. */
void vocabulary_embed(struct pass *p); /* then partial_end */
void vocabulary_embed_gradient(struct pass *p);
int vocabulary_most(const struct chunk *c, struct wire *w, int lane, const float *logits,
                    float inv_temperature, int T);
int vocabulary_sums(const struct chunk *c, struct wire *w, int lane, const float *logits,
                    const int *target, float inv_temperature, int T);
void vocabulary_logprob(float *logp, float *entropy, const struct wire *w, const int *target,
                        int T);
void vocabulary_gradient(struct pass *p);
void vocabulary_gather(struct pass *p, int T); /* of scratch.logits */
void vocabulary_gather_end(struct pass *p, int T);

/* What a part does in passes of each kind; `layer` counts within the chunk. Rows end with NULL. */
enum { SUB_STEPS = 6 };
typedef void sub_step(struct pass *p, int layer);
struct part {
    sub_step *forward[SUB_STEPS + 1];
    sub_step *backward_input[SUB_STEPS + 1];
    sub_step *backward_weight; /* posts nothing */
};
extern const struct part PART_EMBED, PART_ATTENTION, PART_FFN, PART_MOE, PART_HEAD;

#endif
