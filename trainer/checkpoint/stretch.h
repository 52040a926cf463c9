/* Sets of elements of a flattened tensor (struct stretch): a run, or equal runs at equal distances. Two runs of a tensor's
 * columns are cut out of the same rows, so their stride is the same: the length of a row. Local. */
#ifndef DUET_TRAINER_CHECKPOINT_STRETCH_H
#define DUET_TRAINER_CHECKPOINT_STRETCH_H

#include <stdbool.h>
#include "model/params.h"

/* Can this be part of a tensor of n elements? Runs must not overlap nor go beyond the end of a row. */
bool stretch_valid(const struct stretch *s, size_t n);
/* Is there an element in both? Strides, where both have one, must be equal. */
bool stretch_meets(const struct stretch *a, const struct stretch *b);
/* Copies what both have: `to` lies at to_at, `from` at from_at. */
void stretch_copy(float *to, const struct stretch *to_at, const float *from,
                  const struct stretch *from_at);

#endif
