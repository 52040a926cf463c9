/* How the optimizer cuts what a rank holds: into buckets, and each of them into slices.
 *
 * A bucket is a run of a chunk's flat arrays: neighbouring layers up to some MiB
 * (reduction.bucket_mib) in one region, the two copies of a tied embedding alone. They stand in the
 * order in which the backward pass ends them, which is the same on all members of the replica
 * group: the later chunk first, in it the later layers. Where cuts are changes no bit: sums over
 * ranks are formed element by element (P4), and a checkpoint knows tensors only. */
#ifndef DUET_TRAINER_LEARN_BUCKET_H
#define DUET_TRAINER_LEARN_BUCKET_H

#include "trainer/stage/stage.h"

struct bucket {
    struct local *local;
    enum param_region region;
    int layer;              /* it is complete when its chunk is from this one on (pass_complete) */
    size_t at, n;           /* run of the local's flat arrays */
    size_t *count, *offset; /* (members) slices, relative to `at` */
    size_t mine, mine_n;    /* my slice */
    float *grad;            /* (mine_n) sums; of an only replica they lie in the local's */
    float *policy, *m, *v;  /* (mine_n), or NULL, as grad: enum keep; bucket_shares */
    float *reward;          /* (mine_n) or NULL: the reward model's masters */
    float *master;          /* which of the two learns: policy, but in a phase of reward_model */
    float *reference;       /* (mine_n) or NULL: the master when the reference was taken */
    const char *tied;       /* as in struct param: which tie this is; NULL: none */
    int tie;                /* TIE_NONE; else bucket index of the other copy, or TIE_REMOTE */
    bool tied_copy;         /* not counted in the norm, not saved */
    float
        *residual; /* what rounding left of what I sent to other hosts; NULL: nothing is rounded */
    size_t
        parts; /* floats that are to be summed over tp first (CUT_NONE_PART), all sums together */
    int op;    /* its reduction or gather under way */
};
enum { TIE_NONE = -1, TIE_REMOTE = -2 };

/* Both copies of a tie are on this rank, and this one has no state of its own: masters, moments and
 * reference are the other's, which alone is updated. */
static inline bool bucket_shares(const struct bucket *b)
{
    return b->tied_copy && b->tie >= 0;
}

struct bucket_list {
    int n, room;
    struct bucket *b;
};
/* On the heap; sizes follow from the recipe alone. Local. */
void buckets_make(struct bucket_list *l, struct stage *s);
void buckets_free(struct bucket_list *l);

/* Where the slices of `members` lie and which is that of `me`; into count and offset only when they
 * are there. */
void bucket_cut(struct bucket *b, int members, int me);

/* The part of a tensor that lies in my slice. */
struct piece {
    const struct param *param;
    size_t lo, hi; /* elements of the tensor */
    size_t at;     /* of the slice */
};
/* Calls visit for every piece, in flat order. */
void bucket_pieces(struct bucket *b, void (*visit)(void *ctx, struct bucket *b, struct piece s),
                   void *ctx);
/* The same of elements [begin, end) of my slice; piece.at still counts from the slice's begin. */
void bucket_pieces_in(struct bucket *b, size_t begin, size_t end,
                      void (*visit)(void *ctx, struct bucket *b, struct piece s), void *ctx);
/* What several ranks of tp hold alike is counted, and saved, by the first of them: am I it? */
bool bucket_counts(const struct stage *s, const struct param *p);
/* Calls visit for every tensor in the bucket whose gradient the ranks of tp have in parts, for each
 * of the local's sums. `part` counts up through their elements. */
void bucket_parts(const struct bucket *b, const struct device *d, float *part,
                  void (*visit)(const struct device *d, float *part, float *grad, size_t n));

#endif
