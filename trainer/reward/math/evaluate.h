/* Values of trees as balls: a middle and a radius that the true value does not leave (arb). */
#ifndef DUET_TRAINER_REWARD_MATH_EVALUATE_H
#define DUET_TRAINER_REWARD_MATH_EVALUATE_H

#include "trainer/reward/math/tree.h"

/* The value at a point (evaluate_point; -1: the tree has no variables), to about `precision` bits.
 * false: it has none there: not defined, or no number at all, or the steps are used up. Roots of
 * odd degree and powers with odd denominators are real where the base is. Local. */
bool math_evaluate(struct math_work *w, int node, int point, slong precision, acb_t out);

enum { MATH_POINTS = 96 };
/* Does the tree have variables? */
bool math_has_names(struct math_work *w, int node);

#endif
