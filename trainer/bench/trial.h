/* One schedule on the paced device, beside what the simulator and the published formula say of it
 * (duet bench pipeline). */
#ifndef DUET_TRAINER_BENCH_TRIAL_H
#define DUET_TRAINER_BENCH_TRIAL_H

#include "pipeline/engine.h"
#include "trainer/bench/bench.h"

/* The ranks that work on one length of pipeline, as this one sees them. */
struct length {
    int stages, members, micro_batches;
    MPI_Comm group, pipe, stage; /* all of them; one of each stage; those of one stage */
    int position;
    struct p2p *p2p;
    struct exchange *exchange; /* NULL: a stage is one rank */
};

/* Which passes are stepped in turn: none (each pair's one after the other), the pairs of the
 * schedule, or also passes that run alone in it (plan_interleave). */
enum turns { TURNS_OFF, TURNS_PAIRS, TURNS_ALL, TURNS };
/* Collective over l->group. */
struct trial *trial_new(const struct bench_options *o, const struct length *l, enum plan_kind kind,
                        enum turns turns);
void trial_free(struct trial *t);
enum plan_kind trial_kind(const struct trial *t);
bool trial_fused(const struct trial *t); /* its plan has pairs */
/* One step; returns its seconds, those of the slowest rank. Collective over l->group. */
double trial_run(struct trial *s, const struct length *l);
/* How many times as fast as the schedule that others are compared with. */
void trial_compare(struct trial *t, double speed);

void trial_heading(const struct bench_options *o, const struct length *l);
void trial_print(const struct trial *s);
/* A new reference. */
json_t *trial_json(const struct trial *s, const struct length *l);

#endif
