/* What a precision is: a row each, used in place of comparisons with its name. */
#ifndef DUET_MODEL_PRECISION_H
#define DUET_MODEL_PRECISION_H

#include "model/dims.h"
#include "model/matmul.h"

struct precision_kind {
    const char *name;  /* in recipes and reports */
    size_t real_bytes; /* of a weight or an activation */
    /* How a linear layer stores its packed weights, and multiplies by them, on this machine. */
    enum matmul_type (*product)(void);
    bool (*runs)(void); /* has the matrix library kernels for it here? */
};
const struct precision_kind *precision_kind(enum precision p);

#endif
