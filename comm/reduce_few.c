#include "comm/reduce_few.h"

#include <stdlib.h>

#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "comm/reduce_op.h"

/* ---- which groups ---- */

static bool is_large(const struct reduce_form *f)
{
    INVARIANT(f->map.nodes > 0, "a group of %d has no map of nodes", f->members);
    return f->members > REDUCE_ALL_PAIRS && f->map.nodes > 1 && f->path != REDUCE_FLAT;
}

bool reduce_few(const struct reduce_form *f)
{
    return is_large(f) && f->wire == CODEC_FP32;
}

int reduce_each(const struct reduce_form *f)
{
    return f->map.each <= 1 && reduce_few(f) ? f->map.run : f->map.each;
}

int reduce_near_root(int members, int inner)
{
    int best = inner;
    for (int k = inner; (long)k * k <= members; k += inner)
        if (members % k == 0) best = k;
    return best;
}

size_t reduce_column(const struct reduce_map *m, size_t n)
{
    const size_t each = (size_t)m->each, length = (n + each - 1) / each;
    return (length + CODEC_BLOCK - 1) / CODEC_BLOCK * CODEC_BLOCK;
}

/* Those of a codec are whole blocks; the others what rows of owners own, so that the tree of a
 * column is the same for arrays of every size. */
struct reduce_span reduce_column_of(const struct reduce_form *f, const size_t *offset, size_t n,
                                    int j)
{
    if (reduce_few(f)) {
        const int rows = f->members / reduce_each(f), end = (j + 1) * rows;
        return (struct reduce_span){offset[j * rows] - offset[0],
                                    end < f->members ? offset[end] - offset[0] : n};
    }
    size_t each = reduce_column(&f->map, n), lo = each * (size_t)j, hi = lo + each;
    return (struct reduce_span){lo < n ? lo : n, hi < n ? hi : n};
}

/* ---- finished sums ---- */

struct reduce_owners reduce_owners_of(const struct reduce_form *f, int j)
{
    const int each = reduce_each(f), rows = f->members / each;
    struct reduce_owners o = {.first = j * rows, .root = f->members - each + j};
    o.n = rows - (o.root >= o.first && o.root < o.first + rows);
    return o;
}

int reduce_owner_at(const struct reduce_owners *o, int number)
{
    const int member = o->first + number;
    return o->root >= o->first && member >= o->root ? member + 1 : member;
}

int reduce_below(struct reduce_some of, struct reduce_some below[REDUCE_FAN])
{
    const int m = of.end - of.first, n = m < REDUCE_FAN ? m : REDUCE_FAN;
    for (int k = 0; k < n; k++)
        below[k] = (struct reduce_some){of.first + m * k / n, of.first + m * (k + 1) / n};
    return n;
}

/* Down from the root, each time to the part that has it. */
int reduce_above(const struct reduce_form *f, int to, struct reduce_some *some)
{
    const int rows = f->members / reduce_each(f);
    const struct reduce_owners o = reduce_owners_of(f, to / rows);
    struct reduce_some of = {0, o.n}, below[REDUCE_FAN] = {{0, 0}};
    int above = o.root, number = to - o.first;
    if (to == o.root) return -1;
    if (o.root >= o.first && o.root < to) number--;
    for (;;) {
        int k = reduce_below(of, below) - 1;
        INVARIANT(k >= 0, "member %d is below nobody", to);
        while (k > 0 && below[k].first > number) k--;
        *some = below[k];
        if (some->first == number) return above;
        above = reduce_owner_at(&o, some->first);
        of = (struct reduce_some){some->first + 1, some->end};
    }
}

size_t reduce_some_floats(const struct reduce_owners *o, struct reduce_some some,
                          const size_t *count, const size_t *offset)
{
    if (some.first == some.end) return 0;
    const int first = reduce_owner_at(o, some.first), last = reduce_owner_at(o, some.end - 1);
    const size_t n = offset[last] + count[last] - offset[first];
    return o->root > first && o->root < last ? n - count[o->root] : n;
}

/* ---- gathers ---- */

/* In a small group over nodes where enough bytes cross. */
int reduce_gather_each(const struct reduce_form *f, size_t bytes)
{
    if (is_large(f)) return f->map.each > 1 ? f->map.each : 1;
    const bool worth = bytes >= REDUCE_SMALL * sizeof(float) || f->path == REDUCE_NODES;
    return f->path != REDUCE_FLAT && f->map.each > 1 && worth ? f->map.each : 0;
}

bool reduce_gather_doubles(const struct reduce_form *f, int each)
{
    return is_large(f) && f->members / each > REDUCE_FAN;
}

int reduce_doubling(int rows, int distance)
{
    const bool doubled = distance > 0 && (distance & (distance - 1)) == 0 && distance < rows;
    if (!doubled) return 0;
    return distance < rows - distance ? distance : rows - distance;
}

/* ---- peers ---- */

static void mark_others(bool *with, int first, int n)
{
    for (int i = 0; i < n; i++) with[first + i] = true;
}

/* Owners below member f->me: as the root of a column, and among the owners of one. */
static void mark_below(const struct reduce_form *f, int j, struct reduce_some of, bool *with)
{
    const struct reduce_owners o = reduce_owners_of(f, j);
    struct reduce_some below[REDUCE_FAN] = {{0, 0}};
    for (int k = reduce_below(of, below) - 1; k >= 0; k--)
        with[reduce_owner_at(&o, below[k].first)] = true;
}

/* Sums connect it with its run, with one before and one behind, and in the trees of two columns. */
static void mark_sums(const struct reduce_form *f, bool *with)
{
    const int each = reduce_each(f), me = f->me, j = me % each, rows = f->members / each;
    struct reduce_some some;
    mark_others(with, me - j, each);
    if (me >= each) with[me - each] = true;
    if (me + each < f->members)
        with[me + each] = true;
    else
        mark_below(f, j, (struct reduce_some){0, reduce_owners_of(f, j).n}, with);
    const int above = reduce_above(f, me, &some);
    if (above < 0) return;
    with[above] = true;
    mark_below(f, me / rows, (struct reduce_some){some.first + 1, some.end}, with);
}

/* Gathers of all sizes go the same way in a large group. */
static void mark_gathers(const struct reduce_form *f, bool *with)
{
    const int R = f->members, each = reduce_gather_each(f, 0), me = f->me;
    const bool doubles = reduce_gather_doubles(f, each);
    mark_others(with, me - me % each, each);
    for (int k = each; k < R; k += each)
        if (!doubles || reduce_doubling(R / each, k / each) > 0)
            with[(me + k) % R] = with[(me + R - k) % R] = true;
}

/* Small groups, and those of a codec that sum, are connected with all. */
int reduce_peers(const struct reduce_form *f, int *peer)
{
    bool *with = memory_take((size_t)f->members, sizeof *with, "peers of a reduction");
    const bool sums = !f->gathers;
    int n = 0;
    if (!is_large(f) || (sums && !reduce_few(f)))
        mark_others(with, 0, f->members);
    else {
        mark_gathers(f, with);
        if (sums) mark_sums(f, with);
    }
    for (int i = 0; i < f->members; i++)
        if (with[i] && i != f->me) peer[n++] = i;
    free(with);
    return n;
}
