/* Tables of operations for the test device (tests/support/test_device.h). One has no row: the host
 * computes, with copies around it. The other has all but those of decoding and sampling: kernels
 * that see the device's memory and no other, doing what the host's rows do, so to the same bits. An
 * operand that lies on the host is as much a fault there as device memory in the host's hands. */
#ifndef DUET_TESTS_SUPPORT_TEST_OPS_H
#define DUET_TESTS_SUPPORT_TEST_OPS_H

#include "model/ops_staged.h"
#include "tests/support/test_device.h"

static const struct ops *test_rows; /* the host's */

static inline const void *test_read(const void *at, size_t bytes)
{
    return test_at(at, bytes);
}

static inline void *test_write(void *at, size_t bytes)
{
    return test_at(at, bytes);
}

static inline void test_done(void) {}

/* --- linear layers: packed copies lie on the device, as long as the backend likes --- */

static inline struct linear test_linear(const struct linear *l)
{
    struct linear there = *l;
    there.forward_copy = test_at(l->forward_copy, 1);
    there.backward_copy = l->backward_copy ? test_at(l->backward_copy, 1) : NULL;
    return there;
}

static inline void *test_output(void *y, bool is_float, int T, int n)
{
    return test_at(y, (size_t)T * (size_t)n * (is_float ? sizeof(float) : test_rows->real_bytes));
}

static inline const void *test_input(const void *x, int T, int n)
{
    return test_at(x, (size_t)T * (size_t)n * test_rows->real_bytes);
}

static inline void test_linear_pack(struct linear *l, const void *w)
{
    struct linear there = test_linear(l);
    test_rows->linear_pack(&there, test_input(w, l->N, l->K));
}

static inline void test_linear_forward(void *y, bool y_float, const void *x, const struct linear *l,
                                       const void *bias, int T)
{
    struct linear there = test_linear(l);
    test_rows->linear_forward(test_output(y, y_float, T, l->N), y_float, test_input(x, T, l->K),
                              &there, bias ? test_input(bias, 1, l->N) : NULL, T);
}

static inline void test_linear_backward_input(void *dx, bool dx_float, const void *dy,
                                              const struct linear *l, int T)
{
    struct linear there = test_linear(l);
    test_rows->linear_backward_input(test_output(dx, dx_float, T, l->K), dx_float,
                                     test_input(dy, T, l->N), &there, T);
}

/* --- the tables --- */

/* The operations of the device with all rows, or of the one without; one at a time. */
static inline const struct ops *test_ops(enum precision precision, bool whole)
{
    static struct ops table;
    test_rows = ops_find(precision, NULL);
    table = (struct ops){.name = "test ops",
                         .isa = test_rows->isa,
                         .precision = precision,
                         .real_bytes = test_rows->real_bytes};
    if (!whole) {
        ops_stage(&table, &test_device);
        return &table;
    }
    table.linear_place = test_rows->linear_place;
    table.linear_pack = test_linear_pack;
    table.linear_forward = test_linear_forward;
    table.linear_backward_input = test_linear_backward_input;
    ops_stand_in(&table, test_rows, (struct operands){test_read, test_write, test_done}, NULL);
    return &table;
}

#endif
