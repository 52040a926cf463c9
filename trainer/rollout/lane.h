/* Inside of a rollout: one chunk that this rank holds, in the row of chunks that waves pass. Only trainer/rollout includes this. */
#ifndef DUET_TRAINER_ROLLOUT_LANE_H
#define DUET_TRAINER_ROLLOUT_LANE_H

#include "trainer/rollout/rollout.h"

/* What a stage does to its cache before the rows of a wave. */
enum event_kind { EVENT_FORK, EVENT_RELEASE };
struct event {
    int kind, slot;
    int from, positions; /* EVENT_FORK */
};
struct wave_row {
    int slot, pos;
    int question, sample; /* of sampled rows */
};
/* Travels in front of the activations, with as many rows and events as it has. The first `sampled` rows get a token at
 * the last stage, the others fill the cache with a prompt. */
struct wave_head {
    int wave, events, rows, sampled;
    int end; /* the direction has no more work */
};
struct wave {
    struct wave_head *head;
    struct event *event;   /* (events_max) */
    struct wave_row *row;  /* (rows_max) */
    unsigned char *packed; /* what is sent of them: head, rows, events */
    int *token;            /* first stage: input token of each row */
    unsigned char *act;    /* activations going out */
    ticket sent[2];        /* head, activations */
    bool parked;           /* first stage: nothing to do at present */
};
struct sampled {
    int token;
    float logp;
};

/* A question whose prompt is in the cache (or on its way there). */
struct group {
    int question, slot;
    int filled; /* prompt positions sent to the cache so far */
    int next_sample;
};
struct slot {
    int answer;     /* index of the answer being sampled; -1: free */
    int pos, token; /* of the next row */
};

/* Hands out question numbers; see dispatch.c. */
struct dispatch;

struct lane {
    int dir;
    int number, next_number; /* of this lane on its rank, and of the next one on its own: in tags */
    bool first, last, done;
    int prev, next, head_rank,
        tail_rank; /* world ranks of neighbours, of the first and the last chunk; a vee
                                             turns round within a rank, which then writes to itself */
    struct local *local;
    struct cache cache;
    int n_waves, wave_slots, rows_max, events_max;
    struct wave *wave;
    size_t packed_most; /* bytes of the largest wave's head, rows, events */
    unsigned char *act_in;
    ticket in;              /* wave head (others) or sampled tokens (first stage) */
    unsigned char *arrived; /* a packed wave */

    /* first stage */
    struct slot *slot;   /* (n_waves * wave_slots); wave w owns [w*wave_slots, ...) */
    struct group *group; /* ring of questions under way */
    int groups, group_from, max_groups;
    int *free_prompt_slot, n_free_prompt_slots;
    int *outstanding, n_outstanding; /* waves under way, oldest first */
    struct sampled *back;

    /* last stage */
    struct sampled *out; /* (n_waves, wave_slots) */
    ticket *out_sent;    /* (n_waves) */
    float *logits, *logp, *entropy;
    int *target;
    void *scratch;

    int *row_pos;
    const int **row_table;
};

struct rollout {
    struct actor *actor;
    const struct world *world;
    struct p2p *p2p;
    struct lane lane[2];
    int lanes;
    const struct rollout_job *job;
    bool stopping; /* the job shall end with what is complete */
    int whole;     /* see rollout_whole */
    struct answer *answer;
    bool *mine;
    int max_answers, max_new;
    struct dispatch *dispatch;
    unsigned char *order;              /* follow.c; NULL without tensor parallelism */
    int *gather_count, *gather_offset; /* (world size) */
    int *gather_send, *gather_all;     /* words */
    MPI_Comm group; /* ranks that work in rounds together; MPI_COMM_NULL: no rounds */
    struct arena arena;
};

enum {
    TAG_HEAD = 0,
    TAG_ACT = 2,
    TAG_BACK = 4,
    TAG_ASK = 6,
    TAG_GIVE = 8
}; /* + the receiver's number, or direction */

/* Shall the job end? Once heard, it stays so. */
bool rollout_stops(struct rollout *r);

/* follow.c: several ranks that share a stage */
void follow_place(struct rollout *r, struct arena *a);
/* What is told before a wave of this lane. */
size_t follow_bytes(const struct lane *l);
bool follow_is_first(const struct rollout *r);
/* The first rank: this wave is about to run here; this was the last. Collective over the ranks of the stage, as follow_run. */
void follow_tell(struct rollout *r, const struct lane *l, const struct wave *w);
void follow_tell_end(struct rollout *r);
/* The other ranks, for the whole job. */
void follow_run(struct rollout *r);

/* rounds.c: pipelines that share experts. Collective over them; in place of the loop of waves that come as they may. */
void rounds_run(struct rollout *r);

/* wave.c: every stage */
/* Waits until what the wave last sent is gone. */
void wave_reuse(struct rollout *r, struct wave *w);
/* Head, rows and events, one after the other; returns their bytes. */
size_t wave_pack(const struct wave *w, unsigned char *to);
void wave_unpack(struct wave *w, const unsigned char *from);
/* What has been packed, in l->arrived or elsewhere, becomes that of its wave. */
struct wave *wave_take(struct rollout *r, struct lane *l, const unsigned char *packed);
/* Waits for nothing: the next wave's head will be in l->arrived. */
ticket wave_expect(struct rollout *r, struct lane *l);
/* Activations from the stage before, into l->act_in. */
void wave_receive(struct rollout *r, struct lane *l, const struct wave *w);
void wave_events(struct rollout *r, struct lane *l, const struct wave *w);
/* Runs the rows through this rank's chunk and passes them on: activations to the next stage, or sampled tokens to the first. */
void wave_run(struct rollout *r, struct lane *l, struct wave *w, const void *in);
/* A stage other than the first: a wave has arrived in l->arrived. */
void wave_arrived(struct rollout *r, struct lane *l);
void wave_send_end(struct rollout *r, struct lane *l);
/* Bytes that a wave's sampled tokens take on their way back. */
size_t wave_back_bytes(const struct wave *w);

/* lane.c: the first stage */
void lane_start(struct rollout *r, struct lane *l);
/* Its parts: nothing is under way; the oldest wave's tokens, in l->back, are booked (returns which wave); a wave is filled
 * with rows and counted as under way, false when there are none. */
void lane_clear(struct lane *l);
int lane_book(struct rollout *r, struct lane *l);
bool lane_fill(struct rollout *r, struct lane *l, struct wave *w);
/* Sampled tokens of the oldest wave under way are in l->back: book them and send the wave again. */
void lane_returned(struct rollout *r, struct lane *l);
/* Tries the parked waves; ends the direction when there is nothing left. */
void lane_advance(struct rollout *r, struct lane *l);

/* dispatch.c */
enum { DISPATCH_NONE = -1, DISPATCH_WAIT = -2 };
void dispatch_place(struct dispatch **out, const struct rollout *r, struct arena *a);
void dispatch_start(struct rollout *r);
/* The next question for this lane: a number, DISPATCH_NONE (no more), DISPATCH_WAIT (asked, not answered yet). */
int dispatch_take(struct rollout *r, struct lane *l);
/* Tickets to wait on besides the lanes': requests (on the dispatcher's rank) and answers. Appends to t, returns how many. */
int dispatch_tickets(struct rollout *r, ticket *t);
/* The i-th of those tickets is done. */
void dispatch_arrived(struct rollout *r, int i);
/* No other rank will ask any more. */
bool dispatch_done(const struct rollout *r);
/* In rounds: this lane will get a question yet. */
bool dispatch_left(const struct rollout *r, const struct lane *l);
/* Sends still under way end. */
void dispatch_close(struct rollout *r);
int dispatch_most_tickets(const struct rollout *r);

#endif
