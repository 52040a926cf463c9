/* What a rollout consists of on a rank: its decoders (one for each chunk that the rank holds, in
 * the row of chunks that decode batches pass), and what they share. Only trainer/rollout includes
 * this. */
#ifndef DUET_TRAINER_ROLLOUT_INSIDE_H
#define DUET_TRAINER_ROLLOUT_INSIDE_H

#include "trainer/rollout/rollout.h"
#include "trainer/rollout/decode_batch.h"

/* A question whose prompt is in the cache (or on its way there). */
struct group {
    int question, slot;
    int filled; /* prompt positions sent to the cache so far */
    int next_sample;
    int last;   /* token of the prompt, which each answer reads itself; -1: not known yet */
    bool again; /* it lost its blocks (room.h) and is read once more */
};
struct decode_slot {
    int answer;     /* index of the answer being sampled; -1: free */
    int pos, token; /* of the next row */
    int last;       /* token of its prompt */
    int filled;     /* positions sent to the cache so far */
    int seen;       /* the same, without what was sent again since */
    bool waits;     /* for blocks of the cache (room.h) */
    bool asks;      /* waits for an observation (observe.h) */
    long number; /* answers of the direction are counted as they start: the highest is youngest */
};

/* What a batch's operations find in the memory of the stage's device; where that is the host's, the
 * decoder's and the batch's own (there.c). */
struct decoder_there {
    int *token, *pos, *target;
    const int **table;
    float *logp, *entropy;
    unsigned char *in, *out;
    double *u;      /* at which tokens are drawn */
    double *host_u; /* on the host: the same; and one row of logits, to be drawn from */
    float *logits;
};

struct decoder {
    int dir;
    int number, next_number; /* of this one on its rank, and of the next on its own: in tags */
    bool first, last, done;
    /* World ranks of neighbours, of the first and of the last chunk. A vee turns round within a
     * rank, which then writes to itself. */
    int prev, next, head_rank, tail_rank;
    struct local *local;
    struct cache cache;
    int n_batches, batch_slots, rows_max, events_max;
    struct decode_batch *batch;
    size_t packed_most; /* bytes of the largest batch's head, rows, events */
    unsigned char *act_in;
    ticket in;              /* batch head (others) or sampled tokens (first stage) */
    unsigned char *arrived; /* a packed batch */

    /* first stage */
    struct decode_slot *slot; /* (n_batches * batch_slots); batch b owns [b*batch_slots, ...) */
    struct group *group;      /* ring of questions under way */
    int groups, group_from, max_groups;
    int *free_prompt_slot, n_free_prompt_slots;
    int *outstanding, n_outstanding; /* batches under way, oldest first */
    struct sampled *back;
    /* blocks of the cache: room.h */
    bool plenty;           /* all slots could be full */
    int running, waiting;  /* answers with blocks; set aside */
    int asking;            /* answers, of either, that wait for an observation */
    struct event *pending; /* (events_max) what the other ranks were not told yet */
    int n_pending;
    long started, set_aside, read_again; /* in this job: answers; times; positions */

    /* last stage */
    struct sampled *out; /* (n_batches, batch_slots) */
    ticket *out_sent;    /* (n_batches) */
    float *logp, *entropy;
    int *target;
    void *scratch;

    int *row_pos;
    const int **row_table;
    struct decoder_there there;
};

struct queue;
struct bring;

struct rollout {
    struct stage *stage;
    const struct ops *host_ops; /* which tokens are drawn with */
    const struct world *world;
    struct p2p *p2p;
    struct decoder decoder[2];
    int decoders;
    const struct rollout_job *job;
    bool stopping; /* the job shall end with what is complete */
    int whole;     /* see rollout_whole */
    bool told_of_waits;
    struct answer *answer; /* of the job; token and logp on the rank that samples it */
    uint64_t *told;        /* (max_answers) gather.c */
    struct rollout_room room;
    /* Answers sampled here, one after the other as they start: (most_held, room.max_new) */
    int *held_token, held, most_held;
    float *held_logp;
    struct queue *queue;
    struct bring *bring;
    unsigned char *order;       /* tp_follow.h; NULL without tensor parallelism */
    unsigned char *order_there; /* the same in the memory of the stage's device */
    MPI_Comm group;             /* ranks that work in lockstep; MPI_COMM_NULL: none */
    struct arena arena, host;   /* keys, values and operands; what the host reads and writes */
};

/* The first three: + the receiver's number, or direction. */
enum {
    TAG_HEAD = 0,
    TAG_ACT = 2,
    TAG_BACK = 4,
    TAG_ASK = 6,
    TAG_GIVE,
    TAG_TOKENS,
    TAG_LOGP,
    ROLLOUT_TAGS
};

/* Shall the job end? Once heard, it stays so. */
static inline bool rollout_stops(struct rollout *r)
{
    r->stopping = r->stopping || (r->job->stop && r->job->stop(r->job->stop_context));
    return r->stopping;
}

/* Is this the rank that decides for those that share its stage? */
static inline bool rollout_leads(const struct rollout *r)
{
    return r->stage->mesh->t == 0;
}

#endif
