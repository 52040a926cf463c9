/* What a chunk is made of: seen by the files of its parts (attention.c, ffn.c, moe.c, ends.c), by
 * chunk.c and slot.c only.
 *
 *   attention half   x2 = x  + wo . attention(rope(qk_norm(wqkv . norm1(x) + bqkv))) + bo
 *   FFN half         y  = x2 + wdown . swiglu(wgu . norm2(x2) + bgu) + bdown, or, without biases,
 *                    the same of a row's K experts, weighed by a router
 *
 * Where sequences are cut over tp (chunk->cut) a rank has the stream, and what is done to it row by
 * row, of its share of a micro-batch's rows only; products have all rows (norm.c).
 *
 * What an exchange moves belongs to the kind of pass, because a forward and a backward pass of one
 * chunk may be stepped in turn. Nothing in scratch lives longer than one step. */
#ifndef DUET_MODEL_BLOCK_H
#define DUET_MODEL_BLOCK_H

#include "model/chunk.h"
#include "model/part.h"
#include "model/rounds.h"

/* A tensor of a part, and the kernels' copies of its matrices: param->stacked of them, for roles
 * that are packed. */
struct weight {
    const struct param *param; /* NULL: there is no such tensor */
    struct linear *linear;
};
/* struct NAME of a table of parameters: what unit.weight points to. */
#define WEIGHT_FIELD(name, role, rows, cols, there, cut, adds, hf) struct weight name;
#define WEIGHT_STRUCT(NAME, TABLE) \
    struct NAME {                  \
        TABLE(WEIGHT_FIELD)        \
    };

/* A part in its place in a chunk. */
struct unit {
    const struct part *part;
    int layer;     /* within the chunk; -1: the embedding, span.count: the head */
    int stream;    /* number of its input in the residual stream; -1: it has none (the embedding) */
    void *weight;  /* the struct of its table: a struct weight for each tensor */
    void *scratch; /* the struct of part->scratch */
};

/* The activations of one micro-batch, as forward passes have them and as backward ones do. The two
 * differ in what is computed again: that lies in memory that all slots share, a piece for each of
 * the two, since both may be under way.
 *
 * stream[i] is the input of the i-th half-layer, (T, C), of them the rows here; behind the last one
 * its output. Going backward, the gradient of stream[i] is written over stream[i + 1], which no
 * pass reads any more then: the norm behind it has had its turn. So a slot after B holds just what
 * W reads. Where W does not wait gradients take turns in two buffers. */
struct slot {
    void **stream[2]; /* [halves + 1] */
    void **gradient;  /* [halves + 1] */
    void **acts[2];   /* [units] the struct of part->acts of each */
};

/* What the exchanges of tensor and expert parallelism work on; NULL without. */
struct exchange_buffers {
    float *sum;     /* (T, C) partial sums */
    void *summed;   /* (T, C) real: over all ranks; cut: backward only the rows here */
    float *scratch; /* those of others: exchange_sum_room */
    void *whole;    /* cut, backward: (T, C) real, the gradient of a part's output, of all rows */
    float *gain;    /* cut, backward: (C) gradient of a norm's gain on its way along the ranks */
    void *home;     /* (T*K, C) home rows going out or coming back */
    void *away;     /* (R, C) expert rows as they come, by rank, then expert, and as they go back */
    void *again;    /* (more, C) of further rounds backward, the inputs of expert rows */
    int *count;     /* (ep, E) rows of each rank for each expert */
    int *counted;   /* the same on the host */
    int *bound;     /* (held + 1) dispatch_bounds */
    size_t *bytes;  /* (4, ep), on the host */
};

/* What the head works on: a block of rows of the pass that is there. */
struct head {
    int rows;      /* of a block */
    float *logits; /* (rows, V of this rank); then, in the same memory, their gradient as real */
    /* tp > 1: of all T rows the largest logit; of each block, at 3 times its first row, what
     * logprob_sums says (3, rows of the block); else at 2 times it what logprob_forward leaves for
     * logprob_backward */
    float *most, *sums;
    /* tp > 1, decoded rows: (rows, its share) from each rank; then whole rows of logits */
    float *gathered, *whole;
};

/* What chunk_load says, in the device's memory; NULL without experts. */
struct load {
    uint64_t *chosen;
    struct exact_sum *balance;
    int rounds; /* the host's: chunk_rounds */
};

struct router;
struct chunk {
    struct dims d;           /* of this rank's share */
    int V;                   /* the whole vocabulary */
    struct share vocabulary; /* what of it is here */
    struct chunk_span span;
    const struct ops *ops;
    const struct device *device;  /* whose memory all of it is; NULL while measuring */
    const unsigned char *weights; /* real, flat */
    int T_max, slots, head_rows;
    struct never never; /* of the whole vocabulary */
    bool training;
    enum recompute recompute;
    int tp, t;            /* ranks that share the layers; which this is */
    bool cut;             /* and the rows of the residual stream */
    int T_here;           /* most rows of it on a rank */
    int ep;               /* ranks that share the experts */
    struct row_room room; /* expert rows */
    struct parallel parallel;
    struct param_list params;
    int units, halves;
    struct unit *unit; /* [units] in forward order; all but the ends are halves of layers */
    struct slot *slot; /* [slots + 1]; the last keeps nothing: decoding */
    struct load load;
    const struct router *router;
    struct exchange_buffers buffers[2]; /* of forward passes, of backward ones */
    float *cos_sin;                     /* (max_context, D) */
    struct head head;
};

static inline const void *weight_of(const struct chunk *c, const struct weight *w)
{
    return w->param ? c->weights + w->param->offset * c->ops->real_bytes : NULL;
}
static inline float *grad_of(const struct pass *p, const struct weight *w)
{
    return w->param ? p->grad + w->param->offset : NULL;
}
static inline bool pass_forward(const struct pass *p)
{
    return p->kind == PASS_F || p->kind == PASS_DECODE;
}
static inline struct slot *slot_of(const struct pass *p)
{
    return &p->chunk->slot[p->slot];
}
static inline void *acts_of(const struct pass *p, const struct unit *u)
{
    return slot_of(p)->acts[!pass_forward(p)][u - p->chunk->unit];
}
/* A unit's input and output in the residual stream, and their gradients. */
static inline void *stream_at(const struct pass *p, int i)
{
    return slot_of(p)->stream[!pass_forward(p)][i];
}
static inline void *input_of(const struct pass *p, const struct unit *u)
{
    return stream_at(p, u->stream);
}
static inline void *output_of(const struct pass *p, const struct unit *u)
{
    return stream_at(p, u->stream + 1);
}
static inline void *input_gradient(const struct pass *p, const struct unit *u)
{
    return slot_of(p)->gradient[u->stream];
}
static inline void *output_gradient(const struct pass *p, const struct unit *u)
{
    return slot_of(p)->gradient[u->stream + 1];
}
/* The rows of the residual stream that are on this rank. */
static inline bool is_cut(const struct pass *p)
{
    return p->chunk->cut && p->kind != PASS_DECODE;
}
static inline struct share rows_here(const struct pass *p)
{
    const struct chunk *c = p->chunk;
    if (!is_cut(p)) return (struct share){0, p->rows->T};
    return chunk_rows(p->rows->T, c->tp, c->t);
}
static inline void *rows_at(const struct chunk *c, void *rows, int row, int cols)
{
    return (unsigned char *)rows + (size_t)row * (size_t)cols * c->ops->real_bytes;
}

/* slot.c: lays out everything of the chunk that is as long as a micro-batch. */
void chunk_place_memory(struct chunk *c, struct arena *a);

/* moe.c, dispatch.c: a layer's routing and rows. */
ACT_STRUCT(moe_acts, MOE_ACTS)
/* dispatch.c: rows go to the ranks that hold their experts, and back. Each call but `arrived` is a
 * sub-step's last; on one rank none does anything, and home rows are expert rows. */
void dispatch_counts(struct pass *p, const struct moe_acts *k);
void dispatch_counted(struct pass *p, struct moe_acts *k);
/* Rows of round p->round. */
void dispatch_out(struct pass *p, const struct moe_acts *k, const void *home);
void dispatch_arrived(struct pass *p, const struct moe_acts *k, void *rows);
void dispatch_back(struct pass *p, const struct moe_acts *k, void *home, void *rows);
/* Backward, in further rounds: what went out forward goes out once more, and stays until the rows
 * of the next dispatch_out have arrived, too. */
void dispatch_out_again(struct pass *p, const struct moe_acts *k, const void *home);
void dispatch_arrived_again(struct pass *p, const struct moe_acts *k, void *rows);
/* The first row of each held expert among the rows of the round, and behind the last the end. */
const int *dispatch_bounds(struct pass *p, const struct moe_acts *k);
void dispatch_place(struct chunk *c, struct exchange_buffers *w, struct arena *a);

static inline int channel_of(const struct pass *p)
{
    if (p->decode) return CHANNEL_DECODE + p->decode->channel;
    return p->kind == PASS_F ? CHANNEL_FORWARD : CHANNEL_BACKWARD;
}
/* A sub-step's last call: the next one runs when `operation`, posted on x, is done. */
static inline void pass_posted(struct pass *p, struct exchange *x, int operation)
{
    p->exchange = x;
    p->open = operation;
}

/* tensor_parallel.c: where sequences are cut, what every rank has in its own rows of `rows`, real
 * (T, C), comes to all, and the call is its sub-step's last; else all of it is there. */
void rows_gather(struct pass *p, void *rows);

/* norm.c: a norm of the stream. In its place: its gain, its output (T, C), its statistics of the
 * rows here. */
struct norm {
    const struct weight *gain;
    void *y;
    float *rstd;
};
/* y = norm(input of u), of all rows but the last `skip` of a prompt: a sub-step's last call. */
void norm_forward(struct pass *p, const struct unit *u, struct norm n, int skip);
/* A sub-step by itself, before the one that calls norm_backward: the gain's gradient as far as the
 * ranks before this one have formed it. */
void norm_await(struct pass *p, const struct unit *u);
/* From dy, of the rows here, to the gradient of u's input, to which `carry` is added (of the rows
 * here, or NULL); the gain's gradient grows. A sub-step's last call. */
void norm_backward(struct pass *p, const struct unit *u, struct norm n, const void *dy,
                   const void *carry);
/* The gradient of u's output of all rows, in two sub-steps: the first's last call, and where it is
 * from then on, until the pass comes to another part. W has it to gather again. */
void whole_gradient_begin(struct pass *p, const struct unit *u);
void whole_gradient_again(struct pass *p, const struct unit *u);
const void *whole_gradient(struct pass *p, const struct unit *u);

/* tensor_parallel.c: a product of which every rank of tp computes a part of the inner sum; the bias
 * (real (C) or NULL) is the first rank's. The first posts the sum over the ranks (added in rank
 * order, P4, and rounded once to real) where there are several, as a sub-step's last call; the
 * second, in the next sub-step, says where it is. One rank alone has the result in y at once, and
 * the same y in both calls: y is scratch, which other passes use meanwhile.
 */
void partial_forward(struct pass *p, void *y, const void *x, const struct linear *l,
                     const void *bias);
void partial_backward(struct pass *p, void *dx, const void *dy, const struct linear *l);
const void *partial_end(struct pass *p, const void *y);
/* Into `to`, real: the sum over the ranks of what they have put into buffers_of(p)->sum, (T, C), of
 * the rows here. */
void partial_post(struct pass *p, void *to);
void partial_place(struct chunk *c, struct exchange_buffers *w, struct arena *a);
static inline struct exchange_buffers *buffers_of(struct pass *p)
{
    return &p->chunk->buffers[channel_of(p) == CHANNEL_BACKWARD];
}

/* tensor_parallel.c: the embedding and the head, where each rank of tp has the rows of its tokens.
 * Names in the order of use; what is said to post ends a sub-step. */
/* x: all rows of this rank's tokens. Posts; then `to` has the rows here; one rank has them in x. */
void vocabulary_embed(struct pass *p, void *to, const void *x);

/* Rows [from, from + n) of a pass, whose logits are in the head's block. */
struct block {
    int from, n;
};
/* Decoded rows only: posts; then chunk.head.whole has whole rows. */
void vocabulary_gather(struct pass *p, struct block b);
void vocabulary_gather_end(struct pass *p, struct block b);
/* Both post. */
void vocabulary_most(struct pass *p, struct block b, float inv_temperature);
void vocabulary_sums(struct pass *p, struct block b, const int *target, float inv_temperature);
/* logp, entropy, target: of all rows of the pass. */
void vocabulary_logprob(const struct chunk *c, float *logp, float *entropy, const int *target,
                        struct block b);
/* The gradient of the block's logits, in their place. */
void vocabulary_gradient(const struct pass *p, struct block b);

#endif
