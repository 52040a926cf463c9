/* Runs are sorted by their first element. Columns are rectangles, of which many may begin in one
 * row: these are held together by their corners.
 *
 * In a table of rows and columns, with + at the upper left and lower right corner of a rectangle
 * and - at the two others, the sum over all that is above and left of an element is 1 inside of the
 * rectangle and 0 outside. Different sums have different corners. So rectangles hold each element
 * of the whole exactly once if and only if their corners, those that cancel left out, are those of
 * the whole. */
#include "trainer/checkpoint/gap.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/checkpoint/range.h"

enum { RUN_CORNERS = 4, NUMBERS_A_SLICE = 2 * RUN_CORNERS, WHOLE = 2 };

size_t gap_scratch(size_t slices)
{
    return slices * NUMBERS_A_SLICE + 2 * WHOLE;
}

static int number_order(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* --- columns --- */

/* n of either sign. A corner is the number of an element of a table with one more row and column:
 * below 2^63, since parsers bound the elements of a tensor by 2^62. */
struct corners {
    uint64_t *plus, *minus;
    size_t n, length; /* length of a row of the tensor */
};

static void add_corners(struct corners *c, size_t row, size_t plus, size_t minus)
{
    c->plus[c->n] = row * (c->length + 1) + plus;
    c->minus[c->n++] = row * (c->length + 1) + minus;
}

/* Rows [row, end) of the columns from lo to hi. */
static void add_rectangle(struct corners *c, size_t row, size_t end, size_t lo, size_t hi)
{
    add_corners(c, row, lo, hi);
    add_corners(c, end, hi, lo);
}

/* A run from within a row to within another: the end of its first row, whole rows, the beginning of
 * its last one, less the corners that these have in common. */
static void add_run(struct corners *c, const struct range *s)
{
    const size_t row = s->lo / c->length, last = (s->hi - 1) / c->length, lo = s->lo % c->length,
                 hi = s->hi - last * c->length;
    if (row == last) {
        add_rectangle(c, row, row + 1, lo, hi);
        return;
    }
    add_corners(c, row, lo, c->length);
    add_corners(c, row + 1, 0, lo);
    add_corners(c, last, c->length, hi);
    add_corners(c, last + 1, hi, 0);
}

static void add_slice(struct corners *c, const struct range *s)
{
    if (s->run == 0) {
        add_run(c, s);
        return;
    }
    const size_t row = s->lo / c->length, lo = s->lo % c->length;
    add_rectangle(c, row, (s->hi - 1) / c->length + 1, lo, lo + s->run);
}

/* The length of a row, which all columns have in common; 0 where they differ. */
static size_t row_length(const struct manifest_tensor *t)
{
    size_t length = 0;
    for (size_t i = 0; i < t->slices; i++) {
        const struct range *s = &t->slice[i].at;
        if (s->run && length && s->stride != length) return 0;
        if (s->run) length = s->stride;
    }
    return length;
}

static bool holds_each_once(const struct manifest_tensor *t, uint64_t *scratch)
{
    const size_t half = gap_scratch(t->slices) / 2;
    struct corners c = {scratch, scratch + half, 0, row_length(t)};
    if (c.length == 0) return false;
    for (size_t i = 0; i < t->slices; i++) add_slice(&c, &t->slice[i].at);
    add_corners(&c, 0, c.length, 0); /* of the whole, with the other sign: all cancel */
    add_corners(&c, t->n / c.length, 0, c.length);
    qsort(c.plus, c.n, sizeof *c.plus, number_order);
    qsort(c.minus, c.n, sizeof *c.minus, number_order);
    return memcmp(c.plus, c.minus, c.n * sizeof *c.plus) == 0;
}

/* --- runs --- */

static bool has_columns(const struct manifest_tensor *t)
{
    for (size_t i = 0; i < t->slices; i++)
        if (t->slice[i].at.run) return true;
    return false;
}

/* Copies may overlap. */
size_t gap_find(const struct manifest_tensor *t, uint64_t *scratch)
{
    if (has_columns(t)) return holds_each_once(t, scratch) ? t->n : 0;
    size_t reach = 0;
    uint64_t(*run)[2] = (uint64_t(*)[2])scratch;
    for (size_t i = 0; i < t->slices; i++) {
        run[i][0] = t->slice[i].at.lo;
        run[i][1] = t->slice[i].at.hi;
    }
    qsort(run, t->slices, sizeof *run, number_order);
    for (size_t i = 0; i < t->slices && run[i][0] <= reach; i++)
        if (run[i][1] > reach) reach = run[i][1];
    return reach;
}
