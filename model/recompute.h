/* What the backward pass of a layer computes again instead of keeping it from the forward pass
 * ("activation recomputation", arXiv 2205.05198): the same bits in less memory for more time. Each
 * also does what those before it do. */
#ifndef DUET_MODEL_RECOMPUTE_H
#define DUET_MODEL_RECOMPUTE_H

#include <stdbool.h>

enum recompute {
    RECOMPUTE_NONE,
    RECOMPUTE_SELECTIVE, /* what is no matrix product: norms, rotations, activation functions */
    RECOMPUTE_PRODUCTS,  /* matrix products; an attention's output stays */
    RECOMPUTE_FULL,      /* all of a layer but its input */
    RECOMPUTE_NEVER      /* no setting: of an activation that is kept with every one */
};

/* Is an activation that is computed again from `from` on computed again? */
static inline bool recompute_has(enum recompute setting, enum recompute from)
{
    return setting != RECOMPUTE_NONE && setting >= from;
}

#endif
