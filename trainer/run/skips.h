/* Updates that are not made because their gradient is not finite. One now and then does no harm
 * (its batch is lost); many in a row mean that the weights are ruined and will not recover. Then
 * the run ends while the checkpoints from before are still there. */
#ifndef DUET_TRAINER_RUN_SKIPS_H
#define DUET_TRAINER_RUN_SKIPS_H

#include <jansson.h>
#include "trainer/learn/learned.h"

struct skips {
    int in_row;
    long since;     /* the step of the first of them */
    bool idle;      /* and the last step made no other: its weights are those from before */
    bool guarded;   /* max_skips of them in a row end the run */
    bool any_saved; /* there is a checkpoint that was not taken behind an idle step: */
    long saved;     /* the last one is of this step */
};

struct run;
/* After every update: counts those skipped in a row; phases.max_skips of them end the job (exit 1).
 * Collective. */
void skips_count_update(struct run *r, const struct phase_settings *k, const struct step_stats *s);
/* After the updates of a step. Local. */
void skips_count_step(struct skips *s, const struct learned *l);
/* At the end of a phase that learned. */
void skips_warn(const struct run *r, const struct phase_settings *k);
/* A checkpoint is taken. */
void skips_saved(struct skips *s, long step);
/* Into the state of a checkpoint, and back from it. */
void skips_put(const struct skips *s, json_t *state);
struct position;
struct skips skips_of(const struct position *q, const struct settings *s);

#endif
