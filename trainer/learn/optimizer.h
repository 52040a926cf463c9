/* AdamW with its state sharded over the replica group (ZeRO-1; arXiv 1910.02054), and the global
 * gradient norm.
 *
 * Weights of a rank are cut into buckets (bucket.h). Every member of the replica group owns one
 * slice of each bucket: it receives the sum of all gradients of the slice (reduce-scatter in rank
 * order, P4; grad_reduce.h), updates the fp32 master, and the rounded result is gathered by all.
 *
 * Where the stage keeps weights only (enum keep) there is no state: slices are read a piece at a
 * time, rounded, and gathered. */
#ifndef DUET_TRAINER_LEARN_OPTIMIZER_H
#define DUET_TRAINER_LEARN_OPTIMIZER_H

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/learn/grad_reduce.h"

struct optimizer {
    struct stage *stage;
    struct bucket_list buckets;
    struct grad_reduce grad_reduce;
    float *remote;    /* a tied copy's sums, from the other end of the pipeline */
    float *residual;  /* (residuals) of all buckets: what rounding left of what crossed hosts */
    size_t residuals; /* 0: nothing is rounded */
    struct exact_sum *squares; /* of the gradients of this rank */
    long updates;              /* optimizer steps done since the state was last reset */
    float *piece, *there;      /* KEEP_WEIGHTS: what is being read of a slice; on the device */
    size_t piece_n;            /* their room */
    struct arena arena, host;  /* on the stage's device; what the host reads */
};

void optimizer_new(struct optimizer *o, struct stage *s);
/* What optimizer_new does before it allocates, as member `me` of this many on these hosts
 * (grad_reduce_nodes_are): o->arena.used and .of say what it would take. The stage may be a
 * measured one (stage_measure). Local; optimizer_free. */
void optimizer_measure(struct optimizer *o, struct stage *s, int members, int me,
                       int *const node[REGIONS]);
void optimizer_free(struct optimizer *o);

/* Masters from the initialiser (by global name and index), moments 0; then weights. Collective over
 * the replica group. */
void optimizer_init(struct optimizer *o, uint64_t seed);
/* Weights from masters: round, gather, repack. Collective over the replica group. */
void optimizer_publish(struct optimizer *o);
/* KEEP_WEIGHTS: the weights from slices of masters, which `read` fills: calls it with those of one
 * piece after the other. After the first that cannot be read (false) it is not called any more, and
 * the weights are void. Collective over the replica group. */
struct weights_source {
    bool (*read)(void *ctx, const struct slice *slices, int n);
    void *ctx;
};
bool optimizer_fill(struct optimizer *o, struct weights_source from);
/* Elements [lo, hi) of my slice of b, at most piece_n of them, into o->piece. Local. */
bool optimizer_read_piece(struct optimizer *o, struct bucket *b, size_t lo, size_t hi,
                          const struct weights_source *from);
/* The policy of this moment becomes the reference. Local. */
void optimizer_snapshot(struct optimizer *o);
/* Reference weights from the slices of a checkpoint. Collective over the replica group. */
void optimizer_publish_reference(struct optimizer *o);
/* A reward model learns from here on, from the policy's masters and a scalar head drawn from the
 * seed; the policy's stay as they are. Collective over the replica group. */
void optimizer_reward_begin(struct optimizer *o, uint64_t seed);
/* It has learned: its weights are local[].reward, and the policy is what learns. Collective over
 * the replica group. */
void optimizer_reward_end(struct optimizer *o);
/* Which of the two learns; weights are as they are until optimizer_publish. Local. */
void optimizer_learn_reward(struct optimizer *o, bool reward);
/* local[].reward from its masters. Collective over the replica group. */
void optimizer_publish_reward(struct optimizer *o);
/* Moments, residuals and updates to 0: at the start of a phase. */
void optimizer_reset(struct optimizer *o);

/* The next run makes all gradients of a step: with reduction.overlap their sums begin while it goes
 * on. Local. */
void optimizer_begin(struct optimizer *o);
/* Sums the gradients over directions and replicas into my slices, as far as that has not happened.
 * Collective over the replica group (and the pipeline when tied). */
void optimizer_reduce(struct optimizer *o);
/* sqrt of the sum of squares of all gradients of the model, each counted once: the same bits on any
 * mesh. NaN when any is not finite (or beyond 2^15). Collective over world. */
double optimizer_norm(struct optimizer *o, MPI_Comm world);
/* The gradient was not finite: nothing of it stays in the residuals. Local. */
void optimizer_skip(struct optimizer *o);
/* One AdamW update of my slices with h (its correction fields are filled in here), then publish.
 * Weight decay for matrices, embedding and head only. Collective over the replica group. */
void optimizer_step(struct optimizer *o, struct adamw h);

/* Seconds waited for sums and slices since the last call. */
double optimizer_waited(struct optimizer *o);

/* The slices of the policy's masters ("model/", without a scalar head), moments ("adam_m/",
 * "adam_v/"), reference ("ref/", with one) and the reward model's masters ("reward/", with one)
 * this rank saves: pointers into the state (NULL of a measured one). Returns how many (out may be
 * NULL). A tied copy is read ("model/embed") but not saved under SLICES_READ. */
enum {
    SLICES_SAVE,
    SLICES_SAVE_MODEL, /* masters only */
    SLICES_READ,
    SLICES_READ_MODEL, /* masters only */
    SLICES_READ_RESIDUALS
};
int optimizer_slices(struct optimizer *o, struct slice *out, int what);
/* Residuals ("residual/rank-0003", under SLICES_SAVE too) belong to a rank's messages: only a job
 * whose layout, that is mesh, cuts, hosts and wire, has the same number can use them. 0: no
 * rank has any. Collective over world. */
uint64_t optimizer_layout(const struct optimizer *o, MPI_Comm world);

#endif
