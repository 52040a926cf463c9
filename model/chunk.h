/* A run of layers as passes: what one pipeline stage computes. Knows no schedule.
 *
 * A pass is stepped: pass_step computes up to the next exchange, posts it, and returns; the next
 * call waits for it and goes on. A half-layer (attention or FFN) or an end of the model that
 * exchanges nothing is one step. Two passes stepped in turn overlap: while one's exchange is on the
 * wire the other computes. Forward, backward-input and backward-weight are separate; what W needs
 * stays in the slot until it has run. One forward and one backward pass of a chunk, in different
 * slots, may be open at once.
 *
 * A chunk that computes activations again (recompute.h) has what W needs only while a part's B
 * runs: there B does W's part as well, as BW does, and W nothing. */
#ifndef DUET_MODEL_CHUNK_H
#define DUET_MODEL_CHUNK_H

#include "comm/base/exact.h"
#include "model/cache.h"
#include "model/ops.h"
#include "model/params.h"
#include "model/recompute.h"

/* The rows of one micro-batch (training) */
struct rows {
    int T; /* rows in use; the stage's messages always hold T_max */
    struct segments seg;
    const int *token; /* (T) */
    const int *pos;   /* (T) position within its sequence */
};

/* What the head does with a micro-batch. All (T). The head works in blocks of rows: of each it
 * fills logp and entropy, calls `loss` for rows [from, to), which fills their dlogp[t] =
 * dLoss/dlogp[t] (0 where target is -1), and forms their part of the gradients. An answer may be
 * cut by a block. */
struct head_io {
    const int *target; /* token to be predicted at row t, -1: none */
    float *logp, *entropy, *dlogp;
    float inv_temperature;
    void (*loss)(void *ctx, const struct head_io *io, int from, int to); /* NULL: forward only */
    bool learns; /* false: the loss only looks, no gradient is formed and dlogp is not read */
    /* The loss needs all rows at once: it is called once, with [0, T). Where that is more than a
     * block, logits are computed again for the gradient: the same bits, a third more work. */
    bool whole;
    /* The scalar head instead of the language one (dims.score): logp[t] is the score of row t,
     * entropy 0, and the loss is called once, with [0, T). */
    bool scalar;
    void *ctx;
};

/* The groups of ranks that share the layers of a chunk, and over which its passes exchange; NULL:
 * no such axis. tp: tensor parallelism, ep: expert parallelism. Kept until chunk_free; while an
 * arena measures they may be missing. */
struct exchange;
struct parallel {
    struct exchange *tp, *ep;
};

/* Channels of their exchanges: members post the operations of one channel in the same order. */
enum { CHANNEL_FORWARD, CHANNEL_BACKWARD, CHANNEL_DECODE /* and the next: decode_rows.channel */ };

/* Tokens never to be sampled (padding, rows of the vocabulary without a token): ranges of ids. For
 * sampler and trainer alike their logits are -infinity: they have no probability, and their rows of
 * the head no gradient. None may be a target: its log-probability would be -infinity. */
struct never {
    int n;
    const struct share *range;
};

struct chunk;
struct chunk_setup {
    const struct dims *dims; /* the whole model, with this rank's share (t of tp, e of ep) */
    struct chunk_span span;
    const struct ops *ops;
    struct parallel parallel;
    const void *weights; /* real, flat as param_list_make lays them out; kept until chunk_free */
    int T_max;           /* largest micro-batch */
    int head_rows;       /* of a block of the head; 0: as many as suit the vocabulary */
    /* Rows that experts of this rank have room for at once, in multiples of the even share; what
     * comes beyond is worked off in rounds, to the same bits (rounds.h). 0: for all that may come
     */
    double expert_room;
    struct never never; /* kept until chunk_free */
    int slots;          /* activation slots, whose memory chunk_place_slots gives */
    enum recompute recompute;
    /* With tp: of the residual stream each rank has a share of a micro-batch's rows (chunk_rows),
     * the same bits in less memory; false: all have all. Decoded rows are whole. */
    bool cut;
    bool training; /* false: nothing of backward is there; such a chunk decodes, and scores: PASS_F
                      whose loss, if any, does not learn */
};
/* Places a chunk (arena measures or places). The struct itself is the heap's: chunk_free also after
 * measuring. Weights that are there already are packed. Local. */
struct chunk *chunk_new(const struct chunk_setup *s, struct arena *a);
/* The activation slots of n chunks for training, which have equally many and never use the same one
 * at a time (the engine deals them out): slot i of all of them lies in the same memory, and so does
 * what is computed again: of all of them together one forward and one backward pass may be open. As
 * chunk_new, measures or places. */
void chunk_place_slots(struct chunk *const *c, int n, struct arena *a);
void chunk_free(struct chunk *c);
/* The rows of T of which rank t of tp has the residual stream, where sequences are cut:
 * consecutive, and as many on each rank, but that the first may have one more. Pure. */
static inline struct share chunk_rows(int T, int tp, int t)
{
    return share_of(T, tp, t);
}
const struct param_list *chunk_params(const struct chunk *c);
/* What the routers of a chunk did in forward passes since it was cleared: counts of choices, and
 * the sum over sequences of rows * E * (sum over experts e of f_e * P_e), f_e being e's share of
 * the sequence's choices and P_e its mean probability (the load-balance loss of Switch, arXiv
 * 2101.03961 eq. 4, by sequence): 1 a row when all is even.
 *   chosen   out (count, E)   0 in dense layers; a chunk without experts leaves it as it is */
void chunk_load(const struct chunk *c, uint64_t *chosen, struct exact_sum *balance);
void chunk_load_clear(struct chunk *c);
/* After weights changed. */
void chunk_repack(struct chunk *c);
/* Uses other weights (same layout) from now on, e.g. the reference model's: repacks. */
void chunk_use_weights(struct chunk *c, const void *weights);

/* One decode (or prompt) step: rows of several cached sequences. */
struct decode_rows {
    int T;
    int skip;    /* the number of last rows (of a prompt) that need no logits */
    int channel; /* of the exchanges: 0 or 1, the direction */
    const int *token;
    struct kv_rows kv;
};

/* What becomes of the logits of decoded rows, a block of them at a time. All but logits are of the
 * rows that have logits, T - skip. */
struct head_draw {
    /* Chooses the tokens of rows [from, from + n): fills their target. logits float (n, V), the
     * whole vocabulary; the caller's no longer after the call. */
    void (*draw)(void *ctx, const float *logits, int from, int n);
    void *ctx;
    int *target;
    /* of the tokens drawn, by the arithmetic of training, hence the same bits (P2) */
    float *logp, *entropy;
    float inv_temperature;
};

enum pass_kind { PASS_F, PASS_B, PASS_W, PASS_BW, PASS_DECODE /* chunk_decode's own */ };
struct pass {
    enum pass_kind kind;
    struct chunk *chunk;
    int slot;
    int at;    /* parts done */
    int sub;   /* sub-steps done of the next part */
    int row;   /* rows done by the head */
    int round; /* of expert rows (rounds.h) */
    struct exchange *exchange;
    int open; /* the operation under way on it */
    const struct rows *rows;
    /* F: real (T,C), of a cut chunk this rank's rows of them, or NULL with embed; B: gradient, the
     * same, or NULL with head */
    const void *in;
    void *out;   /* F: as `in`, or NULL with head;  B: gradient or NULL with embed */
    float *grad; /* flat float gradients, accumulated by W and BW (and norm gains, biases by B) */
    struct head_io *head; /* with head only */
    float balance;        /* B: coefficient of load.balance in the loss; 0: not a part of it */
    const struct decode_rows *decode; /* of PASS_DECODE, as the next two */
    struct cache *cache;
    const struct head_draw *draw;
};
/* rows, in, out, head must stay until the pass is done; `rows` until W is. Only the first rows->T
 * rows of in are read, and of out written (cut: chunk_rows of T). B then W leave the same bits in
 * grad as BW does. The gradient of the head's matrix is added by F, where the loss learns. */
void pass_begin(struct pass *p);
/* One step: up to the next exchange, or to the end of a part. True when finished. */
bool pass_step(struct pass *p);
/* For a W or BW under way: the lowest layer, counted within the chunk, from which on everything has
 * got what this pass adds to its gradients. The head is layer `span.count` (above it: nothing is
 * done), the embedding -1, which also says that all is done. */
int pass_complete(const struct pass *p);
static inline void pass_run(struct pass *p)
{
    pass_begin(p);
    while (!pass_step(p)) {
    }
}

/* in: real (T,C) or NULL with embed (then token is used); out: real (T,C); with head: tokens are
 * drawn instead. The same parts as a forward pass, on cached keys and values. Collective over tp
 * and ep. */
void chunk_decode(struct chunk *c, const struct decode_rows *rows, struct cache *cache,
                  const void *in, void *out, const struct head_draw *draw);

#endif
