/* What a pass takes: THE model of it. The planner asks for seconds on a machine; `schedule: auto`,
 * which must choose alike on every rank and after every resume, asks alike where the recipe names a
 * cluster file, else in FLOPs, for an unknown machine (machine_of_flops). The assumptions, all
 * in one place:
 *
 *   - matrix products run at the rate that is reached; attention at a part of it; everything else
 *     is as long as its bytes take
 *   - backward: input and weight part of a linear layer cost what its forward does; attention's
 *     backward 2.5 times its forward (it forms the scores again), all of it in the input part
 *   - where activations are computed again (model/recompute.h) a layer's backward has its forward
 *     before it, as far as that is done again: matrix products but the last of each part (with
 *     `full` but the last of FFN), attention with its sum over tp, bytes; and the weight part is a
 *     part of B
 *   - the head forms its gradients in the forward pass, from logits that live only there
 *     (model/ends.c): three products where the loss learns, one where a pass only scores
 *   - tensor parallelism: two sums over tp a layer and direction (one where there are experts), of
 *     float rows, each rank sending each other one its share of them and of the rounded sums
 *     (comm/exchange.c)
 *   - expert parallelism: a dispatch and a combine a layer and direction; of a row's copies
 *     (ep-1)/ep leave their rank. Between nodes a row travels once to each node it goes to
 *   - a pass that runs alone waits for its exchanges, also a whole backward (model/chunk.c: each
 *     is waited for before the weight part behind it); a fused pair hides up to a part of them
 *     under its computing
 *   - a message, or an exchange, is as slow as its slowest link: no contention between them is
 *     counted */
#ifndef DUET_TRAINER_SCHEDULE_PASS_COST_H
#define DUET_TRAINER_SCHEDULE_PASS_COST_H

#include "pipeline/simulate.h"
#include "trainer/config/cluster.h"
#include "trainer/schedule/shape.h"

/* Exchanges apart from what is computed. */
struct pass_cost {
    double f, b, w;                /* computing */
    double exchange_f, exchange_b; /* of tensor and expert parallelism */
};
/* All of it takes this many times as long. */
void pass_cost_scale(struct pass_cost *p, double times);
/* A forward of f and a whole backward of b as a fused pair, of whose exchanges the part `hidden`
 * can be hidden: never less than what is computed, than what is exchanged, than either half alone.
 */
double pass_cost_pair(const struct pass_cost *f, const struct pass_cost *b, double hidden);

/* What a message takes: until its first byte is there, and a byte. */
struct link_cost {
    double first, byte;
};
double link_send(const struct link_cost *l, double bytes);

/* A device and its links, in any one unit of time. */
struct machine {
    double rate;                      /* FLOPs of matrix products in a unit of time */
    double attention;                 /* part of that rate which attention reaches */
    double memory;                    /* bytes read or written in a unit of time */
    struct link_cost inside, between; /* of a node; from node to node */
    long node;                        /* groups of at most this many ranks are inside one */
    /* A row through a whole layer, or the head, where measured; layer.f 0: not measured.
     */
    struct pass_cost layer, head;
};
/* A unit of time is a FLOP, memory is free, and a byte takes as long as the FLOPs that could be
 * done meanwhile. */
struct machine machine_of_flops(double flops_per_byte);
/* A unit of time is a second. room: rows of the micro-batches that the file's `costs` are of. */
struct machine machine_of_cluster(const struct cluster *c, enum precision precision, double room);

/* How the model is cut, and what is in a micro-batch. */
struct pass_job {
    int pp, tp, ep;
    bool cut; /* sequences over tp: messages have a share of the rows */
    enum recompute recompute;
    double rows;    /* in use */
    double room;    /* that messages are for */
    double context; /* rows of a sequence */
};

/* Layers [first, last) with or without the ends of the model. scores: the pass is one of forwards
 * only, without a gradient. */
struct pass_part {
    int first, last;
    bool embed, head, scores;
};
struct pass_part pass_part_of(const int *first, int chunk, int chunks);

/* Exchanges of one pass over a part: sums of its rows over tp; layers whose rows go to experts and
 * back; layers whose rows go there once more, for what experts compute again. */
struct pass_exchanges {
    int sums, experts, again;
};
struct pass_exchanges pass_exchanges(const struct shape *s, struct pass_part part,
                                     enum recompute recompute, bool backward);

/* The same of tp where sequences are cut: sums of which each rank gets its own rows; gathers of all
 * ranks' rows; gains whose gradients go along the ranks. Costs are those of pass_exchanges: such a
 * sum and a gather are the two rounds of one there. */
struct cut_exchanges {
    int slices, gathers, gains;
};
struct cut_exchanges pass_cut_exchanges(const struct shape *s, struct pass_part part,
                                        enum recompute recompute, enum plan_op op);

/* One micro-batch in one chunk. Local, pure. */
struct pass_cost pass_cost(const struct shape *s, const struct machine *m, const struct pass_job *j,
                           struct pass_part part);
/* All chunks, as the simulator takes them; messages are left free. Makes t (sim_table_free). */
void pass_cost_table(struct sim_table *t, const struct pass_cost *chunk, int chunks, double hidden);
/* From one stage to the next. */
double pass_cost_message(const struct shape *s, const struct machine *m, const struct pass_job *j);

#endif
