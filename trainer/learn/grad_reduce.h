/* The sums of gradients over replicas, under way while the backward pass still runs.
 *
 * As soon as the last micro-batch has passed the layers of a bucket (the stage's listener says so)
 * its two directions are added, parts that tp ranks have are summed, and its reduction over the
 * replicas starts. Buckets start in their order, which is one on all members; at most
 * GRAD_REDUCE_OPEN are under way. Who did not ask for overlap starts them all at the end: the same
 * calls in the same order, the same bits. */
#ifndef DUET_TRAINER_LEARN_GRAD_REDUCE_H
#define DUET_TRAINER_LEARN_GRAD_REDUCE_H

#include "comm/reduce.h"
#include "trainer/learn/bucket.h"

enum { GRAD_REDUCE_OPEN = 4 };

struct grad_reduce {
    struct bucket_list *buckets;
    struct stage *stage;
    struct reduce_form form[REGIONS];
    int *node[REGIONS];           /* their maps of hosts, on the heap */
    struct reduce *over[REGIONS]; /* NULL: the region is empty */
    struct exchange *tp;          /* NULL: nothing comes in parts */
    float *scratch[GRAD_REDUCE_OPEN];
    float *parts, *parts_scratch; /* of one bucket */
    bool parts_open;
    int parts_op;

    int layer[MAX_LOCAL]; /* from which on a local's gradients are complete */
    int first, next;      /* buckets [first, next) are under way */
    int early;            /* buckets started since grad_reduce_begin, before grad_reduce_finish */
};

/* The forms as the settings have them; node maps (members) are allocated by grad_reduce_nodes or
 * stay NULL: all on one. Local. */
void grad_reduce_form(struct grad_reduce *r, struct bucket_list *l, struct stage *s, int members,
                      int me);
/* How a region crosses hosts: as asked for, but what all ranks of tp hold as it is. Where their
 * hosts differ only some of them would round, and they would come apart. */
enum codec grad_reduce_wire(enum codec asked, int tp, enum param_region region);
/* Which member is on which host; DUET_RANKS_PER_NODE=n stands in for hosts in tests. Collective
 * over the replica groups. */
void grad_reduce_nodes(struct grad_reduce *r);
/* The same without MPI: node[k] (members of region k), malloc'ed, is the reduction's from here on;
 * NULL: all on one. Local. */
void grad_reduce_nodes_are(struct grad_reduce *r, int *const node[REGIONS]);
/* Ranks of the job (n) become their hosts, by the same rule. Local, behind roster_new. */
void grad_reduce_hosts(int *rank, int n);
/* What the arena must hold. Then, on a placed arena, the groups are opened: collective over
 * replicas and tp. */
void grad_reduce_place(struct grad_reduce *r, struct arena *a);
void grad_reduce_open(struct grad_reduce *r);
void grad_reduce_free(struct grad_reduce *r);
/* The group over which a bucket is summed. */
static inline struct reduce *grad_reduce_over(const struct grad_reduce *r, const struct bucket *b)
{
    return r->over[b->region];
}
static inline const struct reduce_form *grad_reduce_form_of(const struct grad_reduce *r,
                                                            const struct bucket *b)
{
    return &r->form[b->region];
}

/* From here on buckets start as the listener hears of them: before a run whose gradients are all
 * there will be. Local. */
void grad_reduce_begin(struct grad_reduce *r);
/* Starts what has not started, waits for all. Collective over replicas and tp. */
void grad_reduce_finish(struct grad_reduce *r);

/* Slices from their owners to all, one bucket after the other: while one is on its way the next may
 * be worked on. Elements of elem_bytes, the run begins at `run`. Bucket i is started after i-1;
 * gather_end when all are. */
void grad_reduce_gather(struct grad_reduce *r, int i, void *run, size_t elem_bytes);
void grad_reduce_gather_end(struct grad_reduce *r);

/* Seconds waited for sums and slices since the last call. */
double grad_reduce_waited(struct grad_reduce *r);

#endif
