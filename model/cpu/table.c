/* The table of this variant. */
#include "model/cpu/real.h"

const struct ops OP(ops) = OPS_TABLE;
