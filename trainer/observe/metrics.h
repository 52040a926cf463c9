/* What a run says of itself: a record of numbers a step, samples of what was answered, progress.
 * All of it goes to the sinks that metrics.c lists: the files metrics.jsonl and samples.jsonl,
 * the live line. Rank 0 writes, the others' calls do nothing. */
#ifndef DUET_TRAINER_OBSERVE_METRICS_H
#define DUET_TRAINER_OBSERVE_METRICS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "trainer/observe/record.h"

struct metrics;
/* Opens (creates) the files in run_folder; *_bytes: what a checkpoint recorded as written so
 * far: longer files are cut there, so that a resumed run continues as if never interrupted. -1:
 * start anew. */
struct metrics *metrics_open(const char *run_folder, int rank, long metrics_bytes,
                             long samples_bytes);
void metrics_close(struct metrics *m);
/* Dies when the files are no longer those that were opened: deleted, replaced, or moved away
 * with their folder. Two looks at the file system. */
void metrics_look(const struct metrics *m);
/* A line: begin, any puts, end. Names in the order put; a name twice in a line is our bug. step
 * counts over all phases. */
void metrics_begin(struct metrics *m, long step, const char *phase);
void metrics_put(struct metrics *m, const char *name,
                 double value); /* NaN and infinities as null */
/* A reading of a clock: a name under time/, or tokens_per_second, mfu, pipeline/..., and
 * rollout/..., which depends on the clock as well: what a
 * comparison of runs leaves out. */
void metrics_put_clock(struct metrics *m, const char *name, double value);
bool metrics_is_clock(const char *name);
void metrics_end(struct metrics *m);
/* The line stays open while the run stops; metrics_waiting gives its text so far for the
 * checkpoint (NULL: no line, or another rank writes), and metrics_go_on opens it again in the
 * resumed run (metrics_is_beginning: it is such a text). */
void metrics_wait(struct metrics *m);
const char *metrics_waiting(const struct metrics *m);
bool metrics_is_beginning(const char *text);
void metrics_go_on(struct metrics *m, const char *text);
/* Writes one line to samples.jsonl; takes the reference. */
void metrics_sample(struct metrics *m, json_t *sample);
/* Flushes and says how long the files are now, for the checkpoint. */
void metrics_position(struct metrics *m, long *metrics_bytes, long *samples_bytes);
/* XXH64 of what the files hold; 0 on ranks that do not write. */
void metrics_sums(const struct metrics *m, uint64_t *metrics, uint64_t *samples);

/* The live line: on a terminal one line rewritten, else a line every few seconds. done/total in
 * steps of the phase. Prints phase, step, the numbers named by metrics_end's line (reward or
 * loss, length, tokens/s) and the time left of the whole run (estimated from phase_left_s + what
 * the caller adds). */
struct progress {
    const char *phase;
    long step, steps;
    double reward, loss, length, tokens_per_second; /* NaN: not shown */
    double seconds_left;                            /* NaN: not shown */
};
void metrics_progress(struct metrics *m, const struct progress *p);

#endif
