/* Are two expressions the same number, or the same function of their variables? */
#ifndef DUET_TRAINER_REWARD_MATH_SAME_H
#define DUET_TRAINER_REWARD_MATH_SAME_H

#include "trainer/reward/math/tree.h"

enum same { SAME_NO, SAME_YES, SAME_UNKNOWN };

/* C2-C5. Rationals exactly. Where one is a decimal as it is written, to half of the sixth place.
 * Constants in balls: they differ when these are apart, and are one when these agree to 2^-180.
 * With variables, at eight points at least where both are defined and real. Local. */
enum same math_same(struct math_work *w, int g, int a); /* g: expected, a: the answer */

/* Are a and b, of two equations or inequalities made zero on the right, proportional: a = c b with
 * a constant c, whose sign goes to *sign? (C10) */
enum same math_proportional(struct math_work *w, int a, int b, int *sign);

#endif
