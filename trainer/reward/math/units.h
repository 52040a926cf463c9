/* THE table of units (N7). */
#ifndef DUET_TRAINER_REWARD_MATH_UNITS_H
#define DUET_TRAINER_REWARD_MATH_UNITS_H

#include <stdbool.h>
#include "trainer/data/completion.h"

struct unit {
    const char *names;           /* "inch inches in" */
    int dimension;               /* units of one are compared by size; 0: counted things */
    long numerator, denominator; /* its size, of the dimension's first unit */
};
enum {
    UNIT_THINGS,
    UNIT_LENGTH,
    UNIT_MASS,
    UNIT_VOLUME,
    UNIT_TIME,
    UNIT_MONEY,
    UNIT_ANGLE,
    UNIT_SPEED
};
/* By name; NULL: none. */
const struct unit *math_unit(struct span name);

#endif
