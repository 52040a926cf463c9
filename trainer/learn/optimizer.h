/* AdamW with its state sharded over the replica group (ZeRO-1; arXiv 1910.02054), and the global gradient norm.
 *
 * Weights of a rank are cut into buckets (runs of the flat array; the two copies of a tied embedding are buckets of their own).
 * Of each bucket every member of the replica group owns one slice: it receives the sum of all gradients of the slice
 * (reduce-scatter in rank order, P4), updates the fp32 master, and the rounded result is gathered by all. */
#ifndef DUET_TRAINER_LEARN_OPTIMIZER_H
#define DUET_TRAINER_LEARN_OPTIMIZER_H

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/stage.h"

enum { MAX_BUCKETS = 8, MAX_MEMBERS = 1024 };

struct bucket {
    struct local *local;
    bool experts;                 /* whose replicas are fewer, with ep */
    size_t at, n;                 /* run of the local's flat arrays */
    size_t *count, *offset;       /* (members) slices, relative to `at` */
    size_t mine, mine_n;          /* my slice */
    float *grad, *master, *m, *v; /* (mine_n) */
    float *reference;             /* (mine_n) or NULL: the master when the reference was taken */
    int tie;                      /* -1; else bucket index of the other copy, or TIE_REMOTE */
    bool tied_copy;               /* not counted in the norm, not saved */
};
enum { TIE_NONE = -1, TIE_REMOTE = -2 };

struct optimizer {
    struct actor *actor;
    int members, me, inner;
    int expert_members, expert_me; /* replicas of the experts, and which of them this rank is */
    int n_buckets;
    struct bucket bucket[MAX_BUCKETS];
    float *scratch, *remote;
    float *parts, *parts_scratch; /* gradients to be summed over tp */
    long updates;                 /* optimizer steps done since the state was last reset */
    struct arena arena;
};

void optimizer_new(struct optimizer *o, struct actor *a);
/* What optimizer_new does before it allocates, as member `me` of so many: o->arena.used and .of say what it would take. The
 * actor may be a measured one (actor_measure). Local; nothing to free. */
void optimizer_measure(struct optimizer *o, struct actor *a, int members, int me);
void optimizer_free(struct optimizer *o);

/* Masters from the initialiser (by global name and index), moments 0; then weights. Collective over the replica group. */
void optimizer_init(struct optimizer *o, uint64_t seed);
/* Weights from masters: round, gather, repack. Collective over the replica group. */
void optimizer_publish(struct optimizer *o);
/* The policy of this moment becomes the reference. Local. */
void optimizer_snapshot(struct optimizer *o);
/* Reference weights from the slices of a checkpoint. Collective over the replica group. */
void optimizer_publish_reference(struct optimizer *o);
/* Moments to 0, updates to 0: at the start of a phase. */
void optimizer_reset(struct optimizer *o);

/* Sums the gradients over directions and replicas into my slices. Collective over the replica group (and the pipeline when tied). */
void optimizer_reduce(struct optimizer *o);
/* sqrt of the sum of squares of all gradients of the model, each counted once: the same bits on any mesh. NaN when any is not finite (or
 * beyond 2^15). Collective over world. */
double optimizer_norm(struct optimizer *o, MPI_Comm world);
/* One AdamW update of my slices with h (its correction fields are filled in here), then publish. Weight decay for matrices,
 * embedding and head only. Collective over the replica group. */
void optimizer_step(struct optimizer *o, struct adamw h);

/* The slices of master ("model/"), moments ("adam_m/", "adam_v/") and reference ("ref/", with one) this rank saves: pointers into the state.
 * Returns how many (out may be NULL). A tied copy is read ("model/embed") but not saved under SLICES_READ. */
enum { SLICES_SAVE, SLICES_READ, SLICES_READ_MODEL /* masters only */ };
int optimizer_slices(struct optimizer *o, struct slice *out, int what);

#endif
