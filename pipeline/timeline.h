/* What each rank did, or will do, when: a list of spans. The simulator makes one, the engine
 * records one, and the writers draw either, or the first above the second on one axis.
 *
 * A pair is two spans with `paired` set, one of its F and one of its BW, which overlap in time. */
#ifndef DUET_PIPELINE_TIMELINE_H
#define DUET_PIPELINE_TIMELINE_H

#include "pipeline/simulate.h"

/* A pass at work; waiting for a message or an exchange that a pass needs; an exchange or message on
 * the wire (it may lie over passes: that is what overlap means). */
enum span_kind { SPAN_PASS, SPAN_WAIT, SPAN_EXCHANGE, SPAN_KINDS };

struct timeline_span {
    int rank; /* position in the pipeline */
    enum plan_op
        op; /* PLAN_F, PLAN_B, PLAN_W or PLAN_BW: of the pass, or that waits, or that exchanges */
    struct plan_cell cell; /* of that pass */
    bool paired;           /* one of a row's two passes */
    bool lower;            /* the second of them */
    enum span_kind kind;
    double start, end; /* seconds (or units of time) from the step's start */
};

struct timeline {
    int ranks, n, room;
    struct timeline_span *span; /* (room); each rank's in order of time, ranks in any order */
};

/* Room for `room` spans, allocated here and nowhere else. Local. */
void timeline_new(struct timeline *t, int ranks, int room);
void timeline_free(struct timeline *t);
/* false: no room is left, the span is not kept. */
bool timeline_add(struct timeline *t, struct timeline_span span);
/* When the last span ends. */
double timeline_end(const struct timeline *t);
/* Time in which a rank is at work on passes; overlapping spans count once. */
double timeline_busy(const struct timeline *t, int rank);

/* What the simulator predicts (after sim_run): each row from start to end. Makes t (timeline_free).
 */
void timeline_of_sim(struct timeline *t, const struct plan *plan, const struct sim *sim);
/* a, or b for what flows the other way: direction 1, or the chunks of a vee on the way back. */
char span_letter(const struct timeline *t, const struct timeline_span *s);

/* What the writers draw: one timeline, or two of the same ranks. */
struct timeline_drawing {
    const char *title;
    const char *name[2]; /* "predicted", "measured" */
    const struct timeline *timeline[2];
    int n;            /* 1 or 2 */
    const char *unit; /* of the axis: "s", "ms", "units" */
    double per_unit;  /* how much time of the spans one unit of the axis is: 1e-3 for ms */
};

/* One line per rank, time in `columns` characters: F, B (full backward), I (its input part), W, X
 * (a pair), '.' idle or waiting. */
void timeline_text(FILE *out, const struct timeline_drawing *d, int columns);
/* One self-contained SVG: a row a rank, passes coloured by kind and direction, a pair as two halves
 * of a row. */
void timeline_svg(FILE *out, const struct timeline_drawing *d);
/* Trace Event JSON for ui.perfetto.dev and chrome://tracing: a process a timeline, threads for a
 * rank's passes, pairs, waits and exchanges. Times in microseconds. */
void timeline_trace(FILE *out, const struct timeline_drawing *d);

#endif
