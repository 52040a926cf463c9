/* How long a plan will take: every chunk with its own times, messages that take time, pairs that
 * save some.
 *
 * A row starts as soon as its rank has done the row before and all its inputs have come; a message
 * leaves when its content is computed, and blocks no rank. That is what the engine does.
 * plan_check (check.h) measures plans in the same way, for equal chunks and free messages. */
#ifndef DUET_PIPELINE_SIMULATE_H
#define DUET_PIPELINE_SIMULATE_H

#include "pipeline/plan.h"

/* What a row of two passes takes (PLAN_INTERLEAVED), and when each of them is done and what it made
 * leaves. */
struct sim_interleaved {
    double takes, done[2];
};

/* What the passes of equal chunks take. */
struct plan_costs {
    double f, b, w, fb; /* b: input part only; fb: the fused pair (F + B + W) */
};

/* Times in any one unit, say seconds. */
struct sim_costs {
    const double *f, *b, *w; /* [chunks] F; B, the input part alone; W, the weight part */
    const double *bw;        /* [chunks] both as one pass, which may hide exchanges; NULL: B + W */
    /* A pair takes pair * (F + BW) of its halves, but never less than its longer half: 1 saves
     * nothing, and so does 0, so that costs of which nothing is known of pairs need not say so. */
    double pair;
    /* [chunk of the F][chunk of the backward] What each pair takes, where that is known (`pair`
     * should be the least share of them); NULL: by `pair`. */
    const double *pairs;
    /* Share of a pair after which its F half is done and its message leaves; 0: at the pair's end.
     */
    double pair_f;
    /* [3 * chunks][3 * chunks] What two passes in turn take, the first and the second each numbered
     * op * chunks + chunk (F, B, W); NULL: as long as one after the other. */
    const struct sim_interleaved *interleaved;
    int chunks;     /* of `pairs` and `two` */
    double message; /* from rank to rank, after the end of the pass that made it; 0: free */
};

/* Costs that own their arrays: the caller fills in the times, `sim` is what the simulator
 * reads. */
struct sim_table {
    struct sim_costs sim;
    double *f, *b, *w;                   /* [chunks] */
    double *bw;                          /* [chunks]; NULL without SIM_WHOLE */
    double *pairs;                       /* [chunks][chunks]; NULL without SIM_PAIRS */
    struct sim_interleaved *interleaved; /* [3 * chunks][3 * chunks]; NULL without SIM_TURNS */
};
enum { SIM_WHOLE = 1, SIM_PAIRS = 2, SIM_TURNS = 4, SIM_OVERLAP = SIM_WHOLE | SIM_PAIRS };
/* All times 0, `pair` 1; with: SIM_ flags of the arrays that are wanted. Local; sim_table_free. */
void sim_table_new(struct sim_table *t, int chunks, unsigned with);
/* The same times for every chunk, messages free. */
void sim_table_even(struct sim_table *t, int chunks, const struct plan_costs *each);
void sim_table_free(struct sim_table *t);

struct sim {
    int ranks, room;       /* rows a rank may have */
    double **start, **end; /* [rank][row] */
    double *busy;          /* [rank] inside rows */
    double *idle;          /* [rank] makespan - busy */
    double *exposed;       /* [rank] of the idle time: the input was made, but on its way */
    double makespan;
    double mean_idle, worst_idle, bubble; /* over ranks; bubble = mean_idle / makespan */
    double *made[2]; /* [F, B][dir][chunk][mb] when the output was made; < 0: not yet */
    int *at;         /* [rank] rows done */
};

/* Room for this plan and for all others of its shape (place, stages, micro-batches). */
void sim_new(struct sim *s, const struct plan *plan);
void sim_free(struct sim *s);
/* false: the plan hangs (s->at says where the ranks stand). Allocates nothing. The plan must have
 * complete cells (plan_check); a plan of forwards only will do. */
bool sim_run(struct sim *s, const struct plan *plan, const struct sim_costs *costs);

/* The same row by row, for a search that makes a plan while it is simulated: begin; then, as long
 * as rows come, ask when the input of a pass is there (INFINITY: not made yet), and do a rank's
 * next row (false: its inputs are not known). */
void sim_begin(struct sim *s, const struct plan *plan);
double sim_here(const struct sim *s, const struct plan *plan, const struct plan_pass *pass,
                int rank, const struct sim_costs *costs);
bool sim_go(struct sim *s, const struct plan *plan, const struct sim_costs *costs, int rank);
/* What the row takes. */
struct sim_interleaved sim_interleaved(const struct sim_costs *costs, const struct plan_row *row);
double sim_row(const struct plan_row *row, const struct sim_costs *costs);

#endif
