/* A kernel of oneDNN that adds in another order, planted between Duet and the library: products
 * whose `rows` are in planted_rows are made as the sum of two, one over each half of the inner
 * dimension. It is right but for its last bits, and for elements whose sums are exact it is right
 * to the last one. A test includes this; tests/support/planted_kernel.c makes a library for
 * LD_PRELOAD of it. The includer defines _GNU_SOURCE first. */
#ifndef DUET_TESTS_SUPPORT_PLANTED_KERNEL_H
#define DUET_TESTS_SUPPORT_PLANTED_KERNEL_H

#include <dlfcn.h>
#include <dnnl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PLANTED_MOST = 4 };
static int planted_rows[PLANTED_MOST]; /* 0: none */
static bool planted_in_turn;           /* only every second of those products */
/* Weight gradients of those rows in place of products, but only such whose last row is not zero. */
static bool planted_gradients;

typedef dnnl_status_t execute_fn(const_dnnl_primitive_t p, dnnl_stream_t s, int n,
                                 const dnnl_exec_arg_t *args);

static bool planted_is(dnnl_dim_t rows)
{
    for (int i = 0; i < PLANTED_MOST; i++)
        if (planted_rows[i] && planted_rows[i] == rows) return true;
    return false;
}

static dnnl_memory_t planted_arg(const dnnl_exec_arg_t *args, int n, int which)
{
    for (int i = 0; i < n; i++)
        if (args[i].arg == which) return args[i].memory;
    return NULL;
}

/* Runs p on src without the elements whose inner index is in [from, to), which are zeroed in a
 * copy. */
static void planted_half(execute_fn *real, const_dnnl_primitive_t p, dnnl_stream_t s, int n,
                         const dnnl_exec_arg_t *args, const dnnl_memory_desc_t *m, dnnl_dim_t from,
                         dnnl_dim_t to)
{
    dnnl_memory_t src = planted_arg(args, n, DNNL_ARG_SRC);
    size_t element = m->data_type == dnnl_bf16 ? 2 : 4, bytes = dnnl_memory_desc_get_size(m);
    void *was;
    char *copy = aligned_alloc(64, (bytes + 127) / 64 * 64);
    dnnl_memory_get_data_handle(src, &was);
    memcpy(copy, was, bytes);
    const dnnl_dim_t *stride = m->format_desc.blocking.strides;
    for (dnnl_dim_t row = 0; row < m->dims[0]; row++)
        for (dnnl_dim_t i = from; i < to; i++)
            memset(copy + (size_t)(row * stride[0] + i * stride[1]) * element, 0, element);
    dnnl_memory_set_data_handle(src, copy);
    real(p, s, n, args);
    dnnl_stream_wait(s);
    dnnl_memory_set_data_handle(src, was);
    free(copy);
}

static bool planted_last_row_is_zero(const dnnl_exec_arg_t *args, int n)
{
    const dnnl_memory_desc_t *m;
    dnnl_memory_t x = planted_arg(args, n, DNNL_ARG_WEIGHTS);
    void *at;
    dnnl_memory_get_memory_desc(x, &m);
    dnnl_memory_get_data_handle(x, &at);
    size_t row = (size_t)m->dims[1] * (m->data_type == dnnl_bf16 ? 2 : 4);
    for (size_t i = 0; i < row; i++)
        if (((char *)at + (size_t)(m->dims[0] - 1) * row)[i]) return false;
    return true;
}

/* What the library's own name stands for in the test. A weight gradient adds to its dst, so its two
 * halves add up by themselves. */
dnnl_status_t dnnl_primitive_execute(const_dnnl_primitive_t p, dnnl_stream_t s, int n,
                                     const dnnl_exec_arg_t *args)
{
    static execute_fn *real;
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "dnnl_primitive_execute");
    dnnl_memory_t src = planted_arg(args, n, DNNL_ARG_SRC),
                  dst = planted_arg(args, n, DNNL_ARG_DST);
    const dnnl_memory_desc_t *m;
    if (!dst || !planted_arg(args, n, DNNL_ARG_WEIGHTS)) return real(p, s, n, args);
    dnnl_memory_get_memory_desc(src, &m);
    bool gradient = m->format_desc.blocking.strides[0] == 1 && m->dims[1] > 1;
    dnnl_dim_t inner = m->dims[1], rows = gradient ? inner : m->dims[0];
    if (!planted_is(rows) || gradient != planted_gradients) return real(p, s, n, args);
    static int calls;
    if (gradient && planted_last_row_is_zero(args, n)) return real(p, s, n, args);
    if (planted_in_turn && calls++ % 2 == 0) return real(p, s, n, args);

    const dnnl_memory_desc_t *out;
    dnnl_memory_get_memory_desc(dst, &out);
    size_t bytes = dnnl_memory_desc_get_size(out);
    void *y;
    dnnl_memory_get_data_handle(dst, &y);
    float *first = malloc(bytes);
    planted_half(real, p, s, n, args, m, 0, inner / 2);
    memcpy(first, y, bytes);
    planted_half(real, p, s, n, args, m, inner / 2, inner);
    for (size_t i = 0; !gradient && i < bytes / sizeof(float); i++) ((float *)y)[i] += first[i];
    free(first);
    return dnnl_success;
}

#endif
