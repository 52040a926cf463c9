/* Exact values (C2): what is a rational number is one, however it is written. */
#ifndef DUET_TRAINER_REWARD_MATH_FOLD_H
#define DUET_TRAINER_REWARD_MATH_FOLD_H

#include "trainer/reward/math/tree.h"

/* The exact value of a tree. false: it is not rational, or not seen to be (\sqrt8/\sqrt2), or more
 * than MATH_BITS long. Steps are taken by length. Local. */
bool math_exact(struct math_work *w, int node, fmpq_t out);
/* A decimal as it was written: 3.50, -0.5. */
bool math_is_decimal(const struct math_work *w, int node);

#endif
