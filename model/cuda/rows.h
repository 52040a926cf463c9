/* For .cu files alone: the rows that this backend has. Each is a template over `real`, defined and
 * instantiated for both types in the file of its name, and found by table.cu through this list. */
#ifndef DUET_MODEL_CUDA_ROWS_H
#define DUET_MODEL_CUDA_ROWS_H

#include <type_traits>

extern "C" {
#include "model/ops.h"
}

#define CUDA_ROWS(X)          \
    X(copy_rows)              \
    X(scatter_rows)           \
    X(embed_forward)          \
    X(embed_backward)         \
    X(rmsnorm_forward)        \
    X(rmsnorm_backward)       \
    X(rmsnorm_heads_forward)  \
    X(rmsnorm_heads_backward) \
    X(add)                    \
    X(swiglu_forward)         \
    X(swiglu_backward)        \
    X(combine_forward)        \
    X(combine_backward)       \
    X(rope)                   \
    X(logprob_forward)        \
    X(logprob_backward)       \
    X(logprob_most)           \
    X(logprob_sums)           \
    X(logprob_share_backward) \
    X(logprob_join)           \
    X(fill_columns)           \
    X(adamw_step)             \
    X(square_sum)             \
    X(to_real)                \
    X(to_float)

/* A row of struct ops as a function of `real`: its type is that of the member. */
template <class real> struct rows {
#define ROW(name) static std::remove_pointer_t<decltype(ops::name)> name;
    CUDA_ROWS(ROW)
#undef ROW
};

#endif
