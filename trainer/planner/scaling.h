/* How three models would scale from 8 to 16,384 devices, and what bites at each point. Times of
 * models that cannot be run here come from formulas (shape.h, costs.c); memory is that of a recipe
 * with their sizes. */
#ifndef DUET_TRAINER_PLANNER_SCALING_H
#define DUET_TRAINER_PLANNER_SCALING_H

#include "trainer/planner/remember.h"

/* A model with the batch it is trained on. */
struct scaled_model {
    struct shape shape;
    const char *model; /* the model section of a recipe that trains it, or one of its sizes; NULL:
                          none, its memory is that of the formulas */
    enum recompute recompute; /* the least that is tried */
    double context;           /* rows of a sequence, which is a micro-batch */
    int batch;                /* sequences of a step */
};
enum { SCALED_MODELS = 3, SCALED_V3 = 2 };
extern const struct scaled_model SCALED[SCALED_MODELS];

/* Bytes that a rank needs, by formulas: weights, float gradients (of both directions, where a chunk
 * has two), its part of the optimizer's state, activations of `slots` micro-batches, room for sums
 * under way. Weights are shared out evenly; what that leaves out tests/unit/planner/test_scaling.c
 * measures. */
struct scaling_bytes {
    double parameters, gradients, optimizer, activations, buffers;
};
struct scaling_bytes scaling_bytes(const struct shape *s, const struct layout *l, int slots);
double scaling_memory(const struct shape *s, const struct layout *l, int slots);
/* The recipe of a step on such a layout; false when it cannot be. Free s either way. m->model is
 * not NULL. */
bool scaling_settings(struct settings *s, const struct scaled_model *m, const struct layout *l);
/* Bytes of the rank that needs most, placed by the trainer's own functions (memory.h) for that
 * recipe, without packed copies of weights; INFINITY when it cannot be. */
double scaling_placed(const struct scaled_model *m, const struct layout *l);

enum scaling_limit {
    LIMIT_COMPUTE,
    LIMIT_MEMORY,
    LIMIT_BATCH,
    LIMIT_BUBBLE,
    LIMIT_EXPOSED,
    LIMITS
};
const char *scaling_limit_name(enum scaling_limit l);

/* The fastest way to run a model on this many devices. */
struct scaled {
    bool fits;
    struct layout layout;
    struct prediction time;
    double bytes; /* of the heaviest rank: scaling_placed, or scaling_memory */
    enum scaling_limit limit;
};
/* Searches all meshes (dp, pp, tp within a node, ep), schedules, and what is computed again: of
 * each the least that fits. limit: what would gain most if it were lifted: memory without end, or
 * four times the batch, where that gains 5 % at least; else the larger of bubble and exposed
 * communication where it is 5 % at least; else computing itself. known: of this model and cluster
 * alone, however often they are searched. */
struct scaled scaling_best(const struct scaled_model *m, const struct cluster *c,
                           struct remember *known, int devices);

/* The table, to stdout, for nodes like the cluster's. */
void scaling_print(const struct cluster *c);

#endif
