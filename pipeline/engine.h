/* Runs a plan: for each row waits for what it needs, steps the passes, sends what they made.
 *
 * The two passes of a fused pair, or of any row that has two, are stepped in turn: while an
 * exchange that one has posted is on the wire, the other computes, and each one's message leaves as
 * soon as it is done.
 *
 * The engine knows no tensors, only buffers of one message size. What a pass does is behind struct
 * stage_ops (trainer/stage/stage.c joins model and pipeline there). */
#ifndef DUET_PIPELINE_ENGINE_H
#define DUET_PIPELINE_ENGINE_H

#include <stddef.h>
#include "comm/base/device.h"
#include "comm/p2p.h"
#include "pipeline/plan.h"

/* One forward, backward-input or backward-weight run of a chunk over a micro-batch, as the engine
 * sees it. */
struct engine_pass {
    enum plan_op op; /* PLAN_F, PLAN_B, PLAN_W or PLAN_BW */
    struct plan_cell cell;
    int slot; /* activation slot, 0 .. slots-1, the same from F to the end of W (of F, when the
                        plan has only forwards) */
    const void *in; /* F: activation from chunk-1 (NULL: first chunk); B, BW: gradient from chunk+1
                       (NULL: last) */
                    /* `in` may be read until the pass ends: what W needs of it, B must keep */
    void *
        out; /* F: activation for chunk+1 (NULL: last); B, BW: gradient for chunk-1 (NULL: first) */
    double waited; /* seconds that the engine has just waited for `in` and `out` */
    bool last; /* the run's last W or BW of this chunk and direction: nothing is added to its weight
                  gradients after it */
    int turn; /* 0, or 1 for the second pass of a row (of FB the BW): tells two open passes apart */
};

struct stage_ops {
    void *self;
    const struct device *device; /* on which its passes work, and whose clock times them */
    size_t message_bytes;
    int slots; /* activation slots the stage has allocated */
    void (*begin)(void *self, const struct engine_pass *pass);
    /* Runs to the next point where the engine may do something else; true when the pass is
     * finished. At most two passes are open at once: one F and one BW (the fused pair), and, if
     * `any_interleaved`, those of a PLAN_INTERLEAVED. */
    bool (*step)(void *self, const struct engine_pass *pass);
    /* Seconds spent waiting for exchanges inside step since the last call; NULL: the passes post
     * none. */
    double (*waited)(void *self);
    /* Steps the passes of a pair in turn, the backward first (it starts with an exchange). Without
     * exchanges it is better to run the forward first: neighbours answer each other row by row and
     * have no slack. */
    bool in_turn;
    /* The last step of a pair's forward follows the backward's last one, behind which its exchange
     * hides, rather than go before it so that its message leaves sooner: for passes whose exchanges
     * take longer than messages. */
    bool forward_last;
    /* The same for any PLAN_INTERLEAVED; else it runs its passes one after the other. */
    bool any_interleaved;
};

struct engine;
/* Tags of its messages are below; from here on they are the caller's. */
enum { ENGINE_TAGS = 4 };
/* Messages that an engine has open at once, at most: what its p2p must have room for (p2p_new). */
enum { ENGINE_OPEN = 16 };
/* Local (p2p_new was collective). `p2p` spans the pipeline (rank = position). Room for plans of up
 * to max_micro_batches; nothing is allocated after. `stage` is copied, p2p kept until engine_free.
 */
struct engine *engine_new(struct p2p *p2p, int rank, int stages, const struct stage_ops *stage,
                          int max_micro_batches);
void engine_free(struct engine *e);
size_t engine_bytes(const struct engine *e);
/* What engine_bytes of such an engine would be. Local. */
size_t engine_measure(int stages, const struct stage_ops *stage, int max_micro_batches);

struct engine_row {
    int n;          /* rows that were run */
    double seconds; /* mean of one; waiting for messages does not count, for exchanges does */
    double waited;  /* mean of one: of it waiting for exchanges */
};
struct engine_times {
    double total, busy;     /* seconds of the run; of it inside stage->step */
    double exposed;         /* waiting for messages while there was work left, and for exchanges */
    double exchanges;       /* the latter alone: part of busy */
    double bubble_fraction; /* 1 - busy/total */
    struct engine_row row[PLAN_OPS]; /* by enum plan_op */
};
/* Records passes and waits of the runs to come into t, from each run's start on, until called with
 * NULL. A span that finds no room is left out. */
struct timeline;
void engine_record(struct engine *e, struct timeline *t);
/* Collective over the pipeline: each rank runs its rows of the same (checked) plan. times may be
 * NULL. */
void engine_run(struct engine *e, const struct plan_part *part, struct engine_times *times);

#endif
