/* The rows of struct ops by name, for those who declare, fill or stand in for all of them. */
#ifndef DUET_MODEL_OPS_ROWS_H
#define DUET_MODEL_OPS_ROWS_H

/* Rows of training, over whole tensors: where a device lacks one, the host's can stand in
 * (ops_staged.h). */
#define OPS_TENSOR_ROWS_BUT_ATTENTION(X) \
    X(linear_place)                      \
    X(linear_pack)                       \
    X(linear_forward)                    \
    X(linear_backward_input)             \
    X(linear_backward_weight)            \
    X(copy_rows)                         \
    X(scatter_rows)                      \
    X(embed_forward)                     \
    X(embed_backward)                    \
    X(rmsnorm_forward)                   \
    X(rmsnorm_backward)                  \
    X(rmsnorm_heads_forward)             \
    X(rmsnorm_heads_backward)            \
    X(add)                               \
    X(swiglu_forward)                    \
    X(swiglu_backward)                   \
    X(router_forward)                    \
    X(router_select)                     \
    X(router_sort)                       \
    X(router_load)                       \
    X(router_backward)                   \
    X(router_backward_input)             \
    X(router_backward_weight)            \
    X(combine_forward)                   \
    X(combine_backward)                  \
    X(rope)                              \
    X(score_forward)                     \
    X(logprob_forward)                   \
    X(logprob_backward)                  \
    X(logprob_most)                      \
    X(logprob_sums)                      \
    X(logprob_share_backward)            \
    X(logprob_join)                      \
    X(fill_columns)                      \
    X(adamw_step)                        \
    X(square_sum)                        \
    X(to_real)                           \
    X(to_float)

/* Those of decoding and sampling, whose operands are lists of places, and those that touch no
 * memory. */
#define OPS_OTHER_ROWS_BUT_ATTENTION(X) \
    X(sample_largest)                   \
    X(sample_weights)                   \
    X(sample_sum)

/* Attention's own rows of both kinds: tables may differ in them alone. */
#define OPS_ATTENTION_TENSOR_ROWS(X) X(attention_forward) X(attention_backward)
#define OPS_ATTENTION_OTHER_ROWS(X) \
    X(attention_scratch) X(kv_block_bytes) X(kv_store) X(attention_cached)
#define OPS_ATTENTION_ROWS(X) OPS_ATTENTION_TENSOR_ROWS(X) OPS_ATTENTION_OTHER_ROWS(X)

#define OPS_TENSOR_ROWS(X)        OPS_TENSOR_ROWS_BUT_ATTENTION(X) OPS_ATTENTION_TENSOR_ROWS(X)
#define OPS_OTHER_ROWS(X)         OPS_OTHER_ROWS_BUT_ATTENTION(X) OPS_ATTENTION_OTHER_ROWS(X)
#define OPS_ROWS_BUT_ATTENTION(X) OPS_TENSOR_ROWS_BUT_ATTENTION(X) OPS_OTHER_ROWS_BUT_ATTENTION(X)
#define OPS_ROWS(X)               OPS_TENSOR_ROWS(X) OPS_OTHER_ROWS(X)

#endif
