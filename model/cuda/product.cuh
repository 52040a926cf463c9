/* Matrix products by our own kernel: product.cu. */
#ifndef DUET_MODEL_CUDA_PRODUCT_CUH
#define DUET_MODEL_CUDA_PRODUCT_CUH

#include <cstddef>

/* to (m, n), rows n apart, = (or +=, from what is there) the sum over i < k, in order, of
 * a[row * a_row + i * a_k] * b[column * b_column + i * b_k], + bias[column] if there is one. in:
 * the type of a, b and bias; out: of `to`. */
template <class in, class out> struct own_product {
    out *to;
    const in *a, *b, *bias;
    size_t a_row, a_k, b_column, b_k;
    int m, n, k;
    bool add;
};
template <class in, class out> void own_product_run(const own_product<in, out> &p);

#endif
