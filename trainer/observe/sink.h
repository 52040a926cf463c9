/* Where records go: one struct a kind, all of them in the list of metrics.c, on the rank that
 * writes. A sink is a file with such a struct and a line of that list. */
#ifndef DUET_TRAINER_OBSERVE_SINK_H
#define DUET_TRAINER_OBSERVE_SINK_H

#include <jansson.h>
#include "trainer/observe/record.h"

struct progress;

/* What a run knows when it begins or goes on. */
struct metrics_opening {
    const char *run_folder;
    long metrics_bytes, samples_bytes; /* that the checkpoint recorded; -1: a new run */
};

/* Every function but open and close may be NULL: then the sink has no use for such a thing. None
 * allocates in a step; what cannot be written ends the job (P8) unless it is only shown. */
struct metrics_sink {
    void *(*open)(const struct metrics_opening *o); /* its state; NULL: it is off */
    void (*record)(void *state, const struct record *r);
    void (*sample)(void *state, const json_t *sample); /* an answer, see docs/METRICS.md */
    void (*progress)(void *state, const struct progress *p);
    void (*look)(const void *state); /* dies when what it writes to was taken away */
    void (*close)(void *state);
};

extern const struct metrics_sink files_sink; /* files.h */
extern const struct metrics_sink live_sink;  /* progress.c */

#endif
