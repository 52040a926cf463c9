/* The one place where model and pipeline meet: what a rank holds of the model (its chunks, their
 * weights and gradients), offered to the engine as passes.
 *
 * The plan's place says which chunks a rank holds (pipeline/plan.h). In a mirror (dualpipe) each of
 * its two serves one direction; otherwise (one chunk, or under dualpipev two) the gradients of the
 * two directions that micro-batches are dealt to are kept apart (mesh.directions), so that every
 * schedule forms the same sums (P4). Layers are shared out over chunks by cost unless mesh.split
 * fixes it: which chunk holds a layer changes no bit. */
#ifndef DUET_TRAINER_STAGE_STAGE_H
#define DUET_TRAINER_STAGE_STAGE_H

#include "comm/exchange.h"
#include "comm/mesh.h"
#include "pipeline/engine.h"
#include "trainer/config/settings.h"
#include "trainer/data/pack.h"
#include "trainer/phase.h"
#include "trainer/schedule/schedule.h"

enum { MAX_LOCAL = 2 };

/* One chunk on this rank. */
struct local {
    int chunk; /* part of the model */
    int dir;   /* direction it serves in a mirror; -1: all */
    struct chunk_span span;
    struct param_list params;
    /* real, flat; NULL unless a phase needs it: the reference, and the reward model */
    void *weights, *reference, *reward;
    float *grad[2]; /* float, flat; [1] NULL when there is one sum, both where nothing is learned */
    struct chunk *model;
};

/* Who is told, between the steps of passes, how far the gradients of a run have got. */
struct gradient_listener {
    void *self; /* NULL: no listener */
    /* Everything of l from `layer` on (model/chunk.h, pass_complete) is as it will be: nothing is
     * added any more. */
    void (*complete)(void *self, const struct local *l, int layer);
    void (*poll)(void *self); /* after every other step */
};

/* What a forward pass makes of the log-probabilities of rows [from, to) of a micro-batch, handed in
 * by the caller (learn/loss.h): fills their mb->dlogp, and ref_logp if it likes, from the rest. */
typedef void stage_loss_run(void *ctx, const struct micro_batch *mb, int from, int to);
struct stage_loss {
    const char *name;     /* "grpo loss" */
    stage_loss_run *host; /* over the host's memory */
    stage_loss_run *row;  /* over that of the stage's device. NULL: it has none, and the host's
                             stands in, with copies around it (comm/base/missing.h) */
    void *ctx;
    bool learns, whole, scalar; /* as in struct head_io */
};

struct stage {
    const struct settings *settings;
    const struct mesh *mesh;
    const struct transport *transport;
    const struct device *device; /* the transport's: whose memory and rows all of it is */
    const struct ops *ops;
    struct dims dims;
    enum plan_kind kind;
    enum plan_place place;
    int chunks;     /* of the model */
    int *first;     /* [chunks+1] first layer of each */
    int directions; /* of the plan: 2 in a mirror */
    int sums;       /* gradient sums a micro-batch may go to: settings mesh.directions */
    enum keep keep;
    bool with_reference, with_reward;
    struct never never;
    int n_local;
    struct local local[MAX_LOCAL];
    struct arena arena, host; /* tensors, on the device; structures, where the host reads and writes
                                 them (comm/base/arena.h) */

    /* The step's micro-batches of this pipeline, as the host fills them, and in the device's memory
     * for passes: the same ones where that is the host's. Micro-batch m flows in direction m %
     * directions. */
    struct micro_batch *mb, *there;
    int max_mb, T_max;
    struct stage_loss loss;
    float inv_temperature;
    float balance; /* what a row's load-balance loss counts in the step's loss */

    /* This rank's rows of plans, all in an arena (P7): the searched ones of `auto`, by count of
     * micro-batches; room for a named one, and for one of forwards only, which are made again when
     * a step has another count. */
    struct plan_part *searched;
    int n_searched;
    struct plan_part named, forward;
    size_t plans_bytes; /* what they take of the arena */
    struct p2p *p2p;
    struct parallel parallel;
    struct engine *engine;
    struct stage_ops passes;
    struct pass open[2]; /* [0] the forward, [1] the backward under way */
    struct gradient_listener listener;
    double pace;         /* seconds that a step of a pass takes longer, of BW twice: see stage.c */
    struct head_io head; /* of the forward pass under way, over this micro-batch */
    int head_mb;
};

/* The mesh that the settings ask for. */
struct mesh_shape stage_mesh(const struct settings *s);
/* What this rank holds of a chunk; NULL: nothing. */
struct local *stage_local(struct stage *s, int chunk);
/* Is this the rank whose head sees micro-batch m of the step? */
bool stage_has_head(struct stage *s, int m);
/* The same of its embedding. Other ranks read no tokens of it. */
bool stage_has_embedding(struct stage *s, int m);

/* What a stage is made of. settings and mesh are kept until stage_free. */
struct stage_job {
    const struct settings *settings;
    const struct mesh *mesh;
    const struct transport *transport; /* and with it the device; kept until stage_free */
    const struct ops *ops;             /* that device's */
    struct dims dims;                  /* the whole model's */
    int max_mb;          /* most micro-batches of a step a pipeline may get; 0: none are run */
    enum keep keep;      /* but for KEEP_TRAINING passes are forward ones only */
    bool with_reference; /* room for a second set of weights */
    bool with_reward;    /* a scalar head, and room for a reward model's weights */
    struct never never;  /* tokens never to be sampled; kept until stage_free */
};
/* Collective over the pipeline. Whether it fits is asked before (limits.h). */
void stage_new(struct stage *s, const struct stage_job *job);
/* What stage_new does before it allocates: all but the pointers are set, used and of of s->arena
 * and s->host say what it would take, and the engine engine_measure(&s->passes, ...). Local; of the
 * mesh only the sizes and this rank's place are read. stage_free. */
void stage_measure(struct stage *s, const struct stage_job *job);
void stage_free(struct stage *s);
/* Sleeps as long as DUET_PACE_US makes this many steps of a pass, or decode batches of a rollout,
 * take longer. Local. */
void stage_pace(const struct stage *s, int steps);
size_t stage_bytes(const struct stage *s);

/* This rank's rows of the plan of a step with this many micro-batches in the pipeline. Local;
 * allocates nothing. Valid until the next call. */
const struct plan_part *stage_plan(struct stage *s, int micro_batches, bool forward_only);
/* Least and step size of a pipeline's micro-batch count. */
int stage_least(const struct stage *s);
int stage_multiple(const struct stage *s);

/* mb[0 .. micro_batches), once filled, are there for passes, too. Local. */
void stage_copy_in(struct stage *s, int micro_batches);
/* Runs the plan over them. Gradients add up in local[].grad. Collective over the
 * pipeline. */
void stage_run(struct stage *s, int micro_batches, bool forward_only, struct engine_times *t);
/* What a loss left in ref_logp of a micro-batch, on the host until the next run (T). Local. */
const float *stage_reference(struct stage *s, int m);
void stage_zero_gradients(struct stage *s);
/* The routers' counts of this rank begin again. */
void stage_clear_load(struct stage *s);

#endif
