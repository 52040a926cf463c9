/* The layout of a checkpoint over pretended ranks: any number of slices of a tensor that is cut by
 * columns, and no more work and bytes for a slice when there are more. */
#define _GNU_SOURCE
#include <stdlib.h>

#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "tests/support/pretended_ranks.h"

enum { MOST = 16384 };

/* --- comparisons are counted: the linker takes this qsort for all --- */

static double compared;
typedef int order(const void *, const void *);

static int counted(const void *a, const void *b, void *by)
{
    compared++;
    return (*(order **)by)(a, b);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): stdlib.h has __base, ... */
void qsort(void *base, size_t n, size_t size, order *by)
{
    qsort_r(base, n, size, counted, &by);
}

/* --- tests --- */

START_TEST(work_and_bytes_of_a_slice)
{
    struct growth work = {.n = 0}, bytes = {.n = 0};
    for (int ranks = 2 * PRETENDED_TP; ranks <= MOST; ranks *= 4) {
        struct manifest m;
        size_t n;
        compared = 0;
        pretended_layout(&m, ranks);
        char *text = manifest_text(&m, &n);
        growth_add(&work, growth_n_log_n((double)pretended_count(&m)), compared);
        growth_add(&bytes, ranks, (double)n);
        free(text);
        manifest_free(&m);
    }
    growth_at_most(&work, "comparisons of a layout", 1.1);
    growth_at_most(&bytes, "a manifest", 1.1);
}
END_TEST

/* Cut by columns. Work that is not counted above, were it of the second order, would take an hour
 * here. */
START_TEST(as_many_slices_as_there_are)
{
    struct manifest m;
    pretended_layout(&m, 8 * MOST);
    const struct manifest_tensor *t = manifest_find(&m, "model/layers.1.w");
    ck_assert_ptr_nonnull(t);
    ck_assert_uint_gt(t->slices, 4 * MOST);
    manifest_free(&m);
}
END_TEST

#define TESTS(X)                 \
    X(work_and_bytes_of_a_slice) \
    X(as_many_slices_as_there_are)

UNIT_MAIN("layout", .timeout_s = 60)
