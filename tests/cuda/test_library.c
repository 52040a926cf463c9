/* Which of the library's algorithms are taken: the emulated one offers some that do not keep
 * promise P1 before those that do, or those alone. */
#include "tests/cuda/device_rows.h"

#include "tests/cuda/emulation/emulation.h"

enum { N = 48, K = 64, ROWS = 40 };

/* With the plain algorithms taken away, our own kernel serves, and the library is asked for trials
 * alone. test_products looks at the bits of both. */
START_TEST(bad_algorithms_are_not_taken)
{
    bool plain_too = _i / PRECISIONS == 0;
    emulated_library.plain = plain_too;
    setup(_i);
    void *x = reals_spread(plain, ROWS * K, 1, 2.0f), *w = reals_spread(plain, N * K, 2, 1.0f);
    void *y = room(ROWS * N), *one = room(N);
    struct linear l;
    struct arena unused = {0};
    ops->linear_place(&l, N, K, true, &unused);
    ops->linear_pack(&l, w);
    unsigned long tried = emulated_library.calls;
    ck_assert_uint_gt(tried, 0);
    ops->linear_forward(y, false, x, &l, NULL, ROWS);
    for (size_t t = 0; t < ROWS; t++) {
        ops->linear_forward(one, false, row_at(x, t, K), &l, NULL, 1);
        ck_assert_mem_eq(one, row_at(y, t, N), N * plain->real_bytes);
    }
    ck_assert((emulated_library.calls > tried) == plain_too);
    FREE_ALL(x, w, y, one);
}
END_TEST

#define TESTS(X) X(bad_algorithms_are_not_taken, .to = 2 * PRECISIONS)

UNIT_MAIN("library", .timeout_s = 60)
