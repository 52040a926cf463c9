/* A decode batch on its way down the stages, and what every stage does with it: keep its cache
 * in step, run its chunk, pass the rows on. Nothing here knows which wave comes next. */
#ifndef DUET_TRAINER_ROLLOUT_WAVE_H
#define DUET_TRAINER_ROLLOUT_WAVE_H

#include <stdbool.h>
#include <stddef.h>
#include "comm/p2p.h"

struct decoder;
struct rollout;

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
/* Travels in front of the activations, with as many rows and events as it has. The first
 * `sampled` rows get a token at the last stage, the others fill the cache with a prompt. */
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

/* Waits until what the wave last sent is gone. */
void wave_reuse(struct rollout *r, struct wave *w);
/* Head, rows and events, one after the other; returns their bytes. */
size_t wave_pack(const struct wave *w, unsigned char *to);
/* What has been packed, in d->arrived or elsewhere, becomes that of its wave. */
struct wave *wave_take(struct rollout *r, struct decoder *d, const unsigned char *packed);
/* Waits for nothing: the next wave's head will be in d->arrived. */
ticket wave_expect(struct rollout *r, struct decoder *d);
/* Activations from the stage before, into d->act_in. */
void wave_receive(struct rollout *r, struct decoder *d, const struct wave *w);
/* Runs the rows through this rank's chunk and passes them on: activations to the next stage, or
 * sampled tokens to the first. `in` are the activations of the stage before; the first stage's
 * is NULL. Ranks that share a stage all run it: follow_lead. */
void wave_run(struct rollout *r, struct decoder *d, struct wave *w, const void *in);
/* To the next stage: no wave comes after this. */
void wave_send_end(struct rollout *r, struct decoder *d);
/* Bytes that a wave's sampled tokens take on their way back. */
size_t wave_back_bytes(const struct wave *w);

#endif
