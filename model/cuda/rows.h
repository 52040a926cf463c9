/* For .cu files alone: every row of struct ops as a template over `real`, defined and instantiated
 * for both types in the file of its name, and found by table.cu through the list of all. */
#ifndef DUET_MODEL_CUDA_ROWS_H
#define DUET_MODEL_CUDA_ROWS_H

#include <type_traits>

extern "C" {
#include "model/ops.h"
#include "model/ops_rows.h"
}

/* A row of struct ops as a function of `real`: its type is that of the member. */
template <class real> struct rows {
#define ROW(name) static std::remove_pointer_t<decltype(ops::name)> name;
    OPS_ROWS(ROW)
#undef ROW
};

#endif
