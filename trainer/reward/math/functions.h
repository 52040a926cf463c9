/* THE table of functions that an answer may have. */
#ifndef DUET_TRAINER_REWARD_MATH_FUNCTIONS_H
#define DUET_TRAINER_REWARD_MATH_FUNCTIONS_H

#include <stdbool.h>
#include "trainer/data/completion.h"
#include "trainer/reward/math/flint.h"

struct function {
    const char *name; /* in LaTeX with a backslash before it, in plain text without */
    int inverse;      /* row of what NAME^{-1} is; -1: none */
    int steps;        /* at 128 bits, in products */
    void (*value)(acb_t out, const acb_t x, slong precision); /* NULL: of rationals, or a base */
};
enum {
    FUNCTION_SIN,
    FUNCTION_COS,
    FUNCTION_TAN,
    FUNCTION_COT,
    FUNCTION_SEC,
    FUNCTION_CSC,
    FUNCTION_ARCSIN,
    FUNCTION_ARCCOS,
    FUNCTION_ARCTAN,
    FUNCTION_SINH,
    FUNCTION_COSH,
    FUNCTION_TANH,
    FUNCTION_EXP,
    FUNCTION_LN,
    FUNCTION_LG,
    FUNCTION_LOG, /* base 10 where it has none */
    FUNCTION_SQRT,
    FUNCTION_ABS,
    FUNCTION_FLOOR,
    FUNCTION_CEILING,
    FUNCTION_FACTORIAL,
    FUNCTIONS
};
extern const struct function math_functions[FUNCTIONS];
/* By name, also "asin" and the like; -1: none. */
int math_function(struct span name);
/* Are degrees in its argument an angle? */
bool math_function_of_angle(int function);

#endif
