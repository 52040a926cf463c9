/* Sets of elements of a flattened tensor (struct range): a run, or equal runs at equal distances.
 * Two runs of a tensor's columns are cut out of the same rows, so their stride is the same: the
 * length of a row. Local. */
#ifndef DUET_TRAINER_CHECKPOINT_RANGE_H
#define DUET_TRAINER_CHECKPOINT_RANGE_H

#include <stdbool.h>
#include "model/params.h"

/* Can this be part of a tensor of n elements? Runs must not overlap nor go beyond the end of a
 * row. */
bool range_valid(const struct range *s, size_t n);
/* Is there an element in both? Strides, where both have one, must be equal. */
bool range_meets(const struct range *a, const struct range *b);
/* How many elements are in both. Strides as above. */
size_t range_common(const struct range *s, const struct range *t);
/* Copies what both have: `to` lies at to_at, `from` at from_at. */
void range_copy(float *to, const struct range *to_at, const float *from,
                const struct range *from_at);

#endif
