/* The table of the plain loops, one precision. */
#include "model/cpu/real.h"

const struct ops OP(ops) = OPS_TABLE;
