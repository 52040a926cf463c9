/* For .cu files alone: every row of struct ops as a template over `real`, defined and instantiated
 * for both types in the file of its name, and found by table.cu through the list of all. */
#ifndef DUET_MODEL_CUDA_ROWS_H
#define DUET_MODEL_CUDA_ROWS_H

#include <type_traits>

extern "C" {
#include "model/ops.h"
#include "model/ops_rows.h"
}

/* The row that is not in the lists, the same for both precisions. */
struct sampling;
void sample_rows(int *token, const float *z, const double *u, const struct sampling *s, int T,
                 int V, int n);

/* A row of struct ops as a function of `real`: its type is that of the member. */
template <class real> struct rows {
#define ROW(name) static std::remove_pointer_t<decltype(ops::name)> name;
    OPS_ROWS(ROW)
#undef ROW
};

#endif
