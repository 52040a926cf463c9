/* A plan says, for every rank, in which order it runs which pass: who does what when.
 *
 * A plan is data: made by a pure function (one generator a file; schedules.h has them all), proved
 * by plan_check (check.h), printed as text or JSON, run by the engine (engine.h). Sends and
 * receives are not in it: they follow from data dependence (chunk c's F needs chunk c-1's F of the
 * same micro-batch; B the other way). */
#ifndef DUET_PIPELINE_PLAN_H
#define DUET_PIPELINE_PLAN_H

#include <stdbool.h>
#include <stdio.h>
#include "comm/base/arena.h"
#include "comm/base/die.h"
#include "pipeline/kinds.h"
#include "comm/base/problems.h"

/* F forward, B input gradient only, W the weight gradient left over by a B, BW both at once, FB a
 * forward and a backward (BW) as one overlapped pair: that of DualPipe's steady state. INTERLEAVED:
 * two passes that would else run alone, stepped in turn like a pair, so that each hides the other's
 * exchanges: F or B with F, B or W. */
enum plan_op { PLAN_F, PLAN_B, PLAN_W, PLAN_BW, PLAN_FB, PLAN_INTERLEAVED, PLAN_OPS };
/* Where the chunks of the model live on P ranks.
 *   line     P chunks; rank r holds chunk r
 *   mirror   P chunks, each held twice: rank r holds r for direction 0 and P-1-r for direction 1
 *   vee      2P chunks, direction 0 alone; rank r holds r on the way down and 2P-1-r on the way
 *            back, so that the last rank hands chunk P-1's output to its own chunk P: no message */
enum plan_place { PLACE_LINE, PLACE_MIRROR, PLACE_VEE, PLACES };

struct plan_cell {
    int dir;   /* direction the micro-batch flows: 0 down, 1 up; plans of one direction use 0 */
    int chunk; /* part of the model, counted from the embedding: 0 .. chunks-1 */
    int mb;    /* micro-batch, counted within its direction */
};

struct plan_row {
    enum plan_op op;
    struct plan_cell f;          /* F, FB; the first of INTERLEAVED */
    struct plan_cell b;          /* B, W, BW, FB; the second of INTERLEAVED */
    enum plan_op interleaved[2]; /* INTERLEAVED: F, B or W, in that order */
};

struct plan {
    enum plan_kind kind;
    enum plan_place place;
    int stages;             /* P = number of ranks of one pipeline */
    int chunks;             /* parts of the model: P, or 2P (vee) */
    int micro_batches;      /* M, both directions together */
    int directions;         /* 1 or 2 */
    bool forward_only;      /* made by plan_forward_only */
    int *n_rows;            /* [stages] */
    struct plan_row **rows; /* [stages][n_rows] */
};

/* One rank's rows of a plan: all that it needs to run it, however many stages there are. */
struct plan_part {
    struct plan of; /* the plan's shape, no rows in it */
    int rank, n_rows, room;
    struct plan_row *rows;
};

/* One pass of a row, with op F, B, W or BW. */
struct plan_pass {
    enum plan_op op;
    struct plan_cell cell;
};
/* The one or two (FB: F, then BW) passes of a row; returns how many. */
int plan_passes(const struct plan_row *row, struct plan_pass out[2]);
/* The row of two unpaired passes in turn. false: these two cannot be. */
bool plan_row_interleaved(struct plan_row *out, struct plan_pass a, struct plan_pass b);

const char *plan_op_name(enum plan_op op); /* "F" "B" "W" "BW" "F+B" */
/* Micro-batches of one direction. */
int plan_per_direction(const struct plan *plan);
/* Rank that sends a pass its input (sender) or takes its output (receiver); -1 where there is no
 * message: the ends of the model, and every W. The rank itself where a vee turns round. */
int plan_sender(const struct plan *plan, const struct plan_pass *pass);
int plan_receiver(const struct plan *plan, const struct plan_pass *pass);

/* The same plan with only its forwards: for log-probabilities. */
void plan_forward_only(struct plan *out, const struct plan *plan);
void plan_copy(struct plan *out, const struct plan *plan);
void plan_free(struct plan *plan);

/* Rows that a rank of such a plan can have at most: an F, a B and a W for each micro-batch of its
 * chunks. */
int plan_room(const struct plan *plan);

/* A rank's rows where they stand in the plan. */
struct plan_part plan_part_of(const struct plan *plan, int rank);
/* A part that lives in an arena, with room for up to `most` micro-batches of that placement. What
 * follows, and plan_part_make (schedules.h), fills it anew, as often as wanted, and allocates
 * nothing: */
void plan_part_place(struct plan_part *part, enum plan_place place, int stages, int rank, int most,
                     struct arena *a);
/* No rows yet, of another kind and other micro-batches of its placement. */
void plan_part_again(struct plan_part *part, enum plan_kind k, int micro_batches);
void plan_part_forward(struct plan_part *part, const struct plan_part *whole); /* the F of it */

/* The one or two chunks that a rank holds; returns how many. In a mirror chunk[k] serves direction
 * k, else all serve direction 0. */
int plan_held(enum plan_place place, int stages, int rank, int chunk[2]);
/* Direction that the k-th held chunk serves. */
int plan_held_dir(enum plan_place place, int k);
/* Chunks of the model: stages, or twice as many (vee). */
int plan_chunks(enum plan_place place, int stages);
/* Rank that holds a chunk for that direction: the inverse. */
int plan_rank(enum plan_place place, int stages, int chunk, int dir);
/* The other ranks that hold what comes before or behind a chunk of this one, each once: with them
 * it exchanges messages. Returns how many, at most 4. */
enum { PLAN_NEIGHBOURS = 4 };
int plan_neighbours(enum plan_place place, int stages, int rank, int out[PLAN_NEIGHBOURS]);

/* A plan without rows, with room for plan_room of them a rank; and one more row of a rank. */
void plan_begin(struct plan *plan, enum plan_kind k, enum plan_place place, int stages,
                int micro_batches);
void plan_add(struct plan *plan, int rank, enum plan_op op, struct plan_cell f, struct plan_cell b);
/* For generators: one more row of the part. */
void plan_part_add(struct plan_part *part, enum plan_op op, struct plan_cell f, struct plan_cell b);

enum plan_format { PLAN_TEXT, PLAN_JSON };
void plan_print(FILE *out, const struct plan *plan, enum plan_format format);
/* Rows [from, to) of a rank as that text has them, a blank before each. */
void plan_print_rows(FILE *out, const struct plan *plan, int rank, int from, int to);
/* A right plan as text, columns being time: F, B (input part) and W take one unit, a pair three. */
void plan_print_timeline(FILE *out, const struct plan *plan);

#endif
