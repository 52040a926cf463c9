/* The paced device: a stage whose passes take given times without using the processor, so that many
 * ranks run the real engine with real messages and exchanges on a few cores, and bubble and overlap
 * are measured, not only simulated.
 *
 * A chunk of k layers is 2k halves, attention and experts in turn. After each half the forward
 * posts an exchange (dispatch, combine); the backward starts with one and posts the next as soon as
 * a half's input gradient is made, before the half's weight gradient (DeepSeek-V3 3.2.1, figure 4);
 * weight gradients alone (W) are a step a half and exchange nothing. A pass stepped alone waits for
 * its exchanges; stepped in turn with another, each computes while the other's exchange is on the
 * wire. The last weight gradient is a step of its own: a forward that is stepped in turn ends, and
 * its message leaves, before it. */
#ifndef DUET_PIPELINE_PACED_H
#define DUET_PIPELINE_PACED_H

#include "comm/exchange.h"
#include "pipeline/engine.h"
#include "pipeline/simulate.h"

/* Costs of one chunk, in seconds. */
struct paced_costs {
    int layers;
    double f, b, w; /* computing: forward, input gradient, weight gradient */
    double exchange_f,
        exchange_b; /* its exchanges on the wire: of a forward, of a backward; 0: none */
};

/* How long rows take when nothing is late: what the simulator is given. */
struct paced_times {
    double f, b, w, bw;
    double pair, pair_f; /* stepped in turn: the whole, and when the forward is done */
};
struct paced_times paced_predict(const struct paced_costs *c);
/* Any two passes in turn, as the engine steps a PLAN_INTERLEAVED. */
struct sim_interleaved paced_interleaved(const struct paced_costs *a, enum plan_op op_a,
                                         const struct paced_costs *b, enum plan_op op_b);
/* The pair of one chunk's F and another's backward, stepped in turn; *f_done: when the forward is
 * done. */
double paced_pair(const struct paced_costs *f, const struct paced_costs *b, double *f_done);

struct paced;
/* costs: [chunks of the model], kept. An exchange is an all-to-all of `bytes` to each other member
 * of x, which really moves, and ends when it has moved and its time on the (one) wire has
 * passed. x NULL: only the time passes. */
struct paced *paced_new(const struct paced_costs *costs, struct exchange *x, size_t bytes);
void paced_free(struct paced *p);
/* The device has nothing to do: to be called before each run. */
void paced_start(struct paced *p);
/* The stage it offers; message_bytes and slots are the caller's. in_turn: it steps pairs, and any
 * two passes, in turn. */
struct stage_ops paced_stage(struct paced *p, size_t message_bytes, int slots, bool in_turn);

#endif
