/* A decode batch on its way down the stages, and what every stage does with it: keep its cache
 * in step, run its chunk, pass the rows on. Nothing here knows which batch comes next. */
#ifndef DUET_TRAINER_ROLLOUT_DECODE_BATCH_H
#define DUET_TRAINER_ROLLOUT_DECODE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include "comm/p2p.h"

struct decoder;
struct rollout;

/* What a stage does to its cache before the rows of a batch. */
enum event_kind { EVENT_FORK, EVENT_RELEASE };
struct event {
    int kind, slot;
    int from, positions; /* EVENT_FORK */
};
struct decode_batch_row {
    int slot, pos;
    int question, sample; /* of sampled rows */
};
/* Travels in front of the activations, with as many rows and events as it has. The first
 * `sampled` rows get a token at the last stage, the others fill the cache with a prompt. */
struct decode_batch_head {
    int batch, events, rows, sampled;
    int end; /* the direction has no more work */
};
struct decode_batch {
    struct decode_batch_head *head;
    struct event *event;          /* (events_max) */
    struct decode_batch_row *row; /* (rows_max) */
    unsigned char *packed;        /* what is sent of them: head, rows, events */
    int *token;                   /* first stage: input token of each row */
    unsigned char *act;           /* activations going out */
    ticket sent[2];               /* head, activations */
    bool idle;                    /* first stage: nothing to do at present */
};
struct sampled {
    int token;
    float logp;
};

/* Waits until what the batch last sent is gone. */
void decode_batch_reuse(struct rollout *r, struct decode_batch *b);
/* Head, rows and events, one after the other; returns their bytes. */
size_t decode_batch_pack(const struct decode_batch *b, unsigned char *to);
/* What has been packed, in d->arrived or elsewhere, becomes that of its batch. */
struct decode_batch *decode_batch_take(struct rollout *r, struct decoder *d,
                                       const unsigned char *packed);
/* Waits for nothing: the next batch's head will be in d->arrived. */
ticket decode_batch_expect(struct rollout *r, struct decoder *d);
/* Activations from the stage before, into d->act_in. */
void decode_batch_receive(struct rollout *r, struct decoder *d, const struct decode_batch *b);
/* Runs the rows through this rank's chunk and passes them on: activations to the next stage, or
 * sampled tokens to the first. `in` are the activations of the stage before; the first stage's
 * is NULL. Ranks that share a stage all run it: tp_follow_lead. */
void decode_batch_run(struct rollout *r, struct decoder *d, struct decode_batch *b, const void *in);
/* To the next stage: no batch comes after this. */
void decode_batch_send_end(struct rollout *r, struct decoder *d);
/* Bytes that a batch's sampled tokens take on their way back. */
size_t decode_batch_back_bytes(const struct decode_batch *b);

#endif
