#include "trainer/checkpoint/range.h"

#include <string.h>

bool range_valid(const struct range *s, size_t n)
{
    if (s->lo >= s->hi || s->hi > n) return false;
    if (s->run == 0) return s->stride == 0;
    if (s->stride <= s->run || s->stride > n || n % s->stride) return false;
    if (s->hi - s->lo < s->run || (s->hi - s->lo - s->run) % s->stride) return false;
    return s->lo % s->stride + s->run <= s->stride;
}

/* A run of a range, or the rest of one: elements [lo, hi), the first being the range's at-th. */
struct range_run {
    size_t lo, hi, at;
};

/* The first run of s that ends behind element x, from x on. */
static bool run_from(const struct range *s, size_t x, struct range_run *r)
{
    size_t row = s->run && x > s->lo ? (x - s->lo) / s->stride : 0;
    size_t length = s->run ? s->run : s->hi - s->lo, start = s->lo + row * s->stride;
    if (s->run && x >= start + length) {
        row++;
        start += s->stride;
    }
    if (start >= s->hi || x >= s->hi) return false;
    r->lo = x > start ? x : start;
    r->hi = start + length;
    r->at = row * length + (r->lo - start);
    return true;
}

static bool columns_meet(const struct range *a, const struct range *b)
{
    size_t x = a->lo % a->stride, y = b->lo % b->stride;
    bool rows = a->lo / a->stride <= (b->hi - 1) / a->stride &&
                b->lo / b->stride <= (a->hi - 1) / b->stride;
    return rows && x < y + b->run && y < x + a->run;
}

bool range_meets(const struct range *a, const struct range *b)
{
    struct range_run r;
    if (a->hi <= b->lo || b->hi <= a->lo) return false;
    if (a->run && b->run) return columns_meet(a, b);
    if (b->run) return range_meets(b, a);
    return run_from(a, b->lo, &r) && r.lo < b->hi;
}

/* The next elements that both have, from x on; false: there are no more. */
static bool common_run(const struct range *s, const struct range *t, size_t *x, struct range_run *a,
                       struct range_run *b)
{
    while (run_from(s, *x, a) && run_from(t, a->lo, b)) {
        *x = b->lo;
        if (b->lo >= a->hi) continue;
        *x = a->hi < b->hi ? a->hi : b->hi;
        return true;
    }
    return false;
}

size_t range_common(const struct range *s, const struct range *t)
{
    struct range_run a, b;
    size_t n = 0;
    if (!range_meets(s, t)) return 0;
    for (size_t x = 0; common_run(s, t, &x, &a, &b);) n += x - b.lo;
    return n;
}

void range_copy(float *to, const struct range *to_at, const float *from,
                const struct range *from_at)
{
    struct range_run a, b;
    for (size_t x = 0; common_run(to_at, from_at, &x, &a, &b);)
        memcpy(to + a.at + (b.lo - a.lo), from + b.at, (x - b.lo) * sizeof *to);
}
