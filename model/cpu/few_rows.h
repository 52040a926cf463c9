/* The variant's kernels for a few rows: NULL where it has none for such a weight. */
#ifndef DUET_MODEL_CPU_FEW_ROWS_H
#define DUET_MODEL_CPU_FEW_ROWS_H

#include "model/cpu/vec.h"
#include "model/few_rows.h"

few_rows_of OP(few_rows);

#endif
