/* Which path, and how much room and traffic it needs: functions of the form and of the map in it,
 * so that the planner can ask them, too. */
#include "comm/reduce_op.h"

#include <stdlib.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"

/* A chain is full when a piece has made all its hops, so pieces are small; but each costs some ten
 * microseconds. */
enum { PIECES = 128, SHORTEST = 8 << 10, LONGEST = 256 << 10 };

static size_t up_to_block(size_t n)
{
    return (n + CODEC_BLOCK - 1) / CODEC_BLOCK * CODEC_BLOCK;
}

static size_t divide_up(size_t n, size_t by)
{
    return (n + by - 1) / by;
}

static int node_of(const struct reduce_form *f, int member)
{
    return f->node ? f->node[member] : 0;
}

static int by_number(const void *a, const void *b)
{
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static bool rises(const int *node, int n)
{
    for (int i = 1; i < n; i++)
        if (node[i] < node[i - 1]) return false;
    return true;
}

/* How many nodes there are, and how many members each has (0: not as many on each). In a copy that
 * is sorted the members of a node stand together; as they are they do so where nodes rise. */
static void count_nodes(struct reduce_map *m, const struct reduce_form *f)
{
    int n = f->members, *sorted = NULL;
    const int *node = f->node;
    if (!rises(node, n)) {
        node = sorted = memory_take((size_t)n, sizeof *sorted, "a map of nodes");
        for (int i = 0; i < n; i++) sorted[i] = f->node[i];
        qsort(sorted, (size_t)n, sizeof *sorted, by_number);
    }
    bool even = true;
    for (int first = 0, next; first < n; first = next) {
        for (next = first + 1; next < n && node[next] == node[first];) next++;
        if (m->nodes++ == 0) m->each = next;
        even &= next - first == m->each;
    }
    m->looks += 2L * n;
    if (!even) m->each = 0;
    free(sorted);
}

/* A chain of nodes needs nodes of equal size with consecutive ranks, and runs that are summed first
 * inside one node; otherwise each = 0 and why. */
struct reduce_map reduce_map_of(const struct reduce_form *f)
{
    struct reduce_map m = {.why = ""};
    if (f->node)
        count_nodes(&m, f);
    else
        m.nodes = 1, m.each = f->members;
    if (m.each == 0) m.why = "nodes have different numbers of members";
    for (int i = 0; m.nodes > 1 && i < f->members && !m.why[0]; i++, m.looks++)
        if (node_of(f, i) != node_of(f, i - i % m.each))
            m.why = "members of a node do not have consecutive ranks";
    if (m.nodes == 1) m.why = "all members are on one node";
    if (!m.why[0] && m.each % f->inner)
        m.why = "a group of members that is summed first spans nodes";
    if (m.why[0]) m.each = 0;
    m.run = reduce_near_root(f->members, f->inner);
    return m;
}

/* Whoever makes a form makes its map: a question that had to make it again would look at all
 * members. */
static const struct reduce_map *map_in(const struct reduce_form *f)
{
    INVARIANT(f->map.nodes > 0, "a group of %d has no map of nodes", f->members);
    return &f->map;
}

size_t reduce_piece(size_t n)
{
    size_t piece = up_to_block(n / PIECES);
    return piece < SHORTEST ? SHORTEST : piece > LONGEST ? LONGEST : piece;
}

/* ---- choosing ---- */

/* Floats that the busiest link carries, one way. */
static double flat_load(const struct reduce_map *m, size_t n)
{
    return (double)m->each * (double)n * (m->nodes - 1) / m->nodes;
}

/* A node in the middle gets the running sums and its slices. Filling the chain takes a piece of
 * each column a hop. */
static double nodes_load(const struct reduce_map *m, size_t n)
{
    double busiest = (double)n * (m->nodes > 2 ? 1 + 1.0 / m->nodes : 1);
    return busiest + (double)m->each * (double)reduce_piece(n) * (m->nodes - 1);
}

/* The first reason that holds decides; a table, so that the log and the planner can print it. */
enum reduce_path reduce_choose(const struct reduce_form *f, size_t n, const char **why)
{
    const struct reduce_map *m = map_in(f);
    const struct reason {
        bool holds;
        enum reduce_path path;
        const char *why;
    } reasons[] = {
        {reduce_each(f) == 0, REDUCE_FLAT, m->why},
        {f->path != REDUCE_AUTO, f->path, "asked for"},
        {reduce_few(f), REDUCE_NODES, "a member of a group this large has few peers"},
        {m->each == 1, REDUCE_FLAT, "nodes have one member each"},
        {n < REDUCE_SMALL, REDUCE_FLAT, "arrays this small are not worth a chain of nodes"},
        {m->each > 0 && nodes_load(m, n) >= flat_load(m, n), REDUCE_FLAT,
         "a chain of nodes would load its busiest link more"},
        {true, REDUCE_NODES, "fewer bytes cross between nodes"},
    };
    int i = 0;
    while (!reasons[i].holds) i++;
    *why = reasons[i].why;
    return reasons[i].path;
}

/* ---- traffic ---- */

static size_t sum_of(const struct reduce_form *f, const size_t *count)
{
    size_t n = 0;
    for (int i = 0; i < f->members; i++) n += count[i];
    return n;
}

static bool crosses(const struct reduce_form *f, int to)
{
    return node_of(f, to) != node_of(f, f->me);
}

/* A reduction whose bytes are asked for: what all of its messages have in common. */
struct sending {
    const struct reduce_form *f;
    bool nodes;
    size_t lo, hi; /* of the array: my column on the path over nodes */
};

static struct sending sending_of(const struct reduce_form *f, const size_t *count)
{
    const char *why;
    size_t n = sum_of(f, count);
    struct sending s = {.f = f, .nodes = reduce_choose(f, n, &why) == REDUCE_NODES};
    if (!s.nodes) return s;
    if (reduce_few(f)) return s;
    size_t column = reduce_column(map_in(f), n), lo = (size_t)(f->me % f->map.each) * column;
    s.lo = lo < n ? lo : n;
    s.hi = s.lo + column < n ? s.lo + column : n;
    return s;
}

/* To member `to`, whose slice is [from, from + n) of the array. */
static unsigned long long sent_to(const struct sending *s, int to, size_t from, size_t n)
{
    const struct reduce_form *f = s->f;
    const struct reduce_map *m = map_in(f);
    if (!crosses(f, to)) return 0;
    if (!s->nodes) return codec_bytes(f->wire, n);
    if (f->me / m->each < m->nodes - 1)
        return codec_bytes(f->wire, to == f->me + m->each ? s->hi - s->lo : 0);
    size_t lo = from > s->lo ? from : s->lo, hi = from + n < s->hi ? from + n : s->hi;
    return codec_bytes(f->wire, lo < hi ? hi - lo : 0);
}

static size_t sum_between(const size_t *count, int first, int end)
{
    size_t n = 0;
    for (int i = first; i < end; i++) n += count[i];
    return n;
}

/* In a group of few peers: what a member of my run forms of mine, the running sum, finished sums.
 */
static unsigned long long sent_to_few(const struct reduce_form *f, const size_t *count, int to)
{
    const int each = reduce_each(f), rows = f->members / each, me = f->me;
    struct reduce_some some;
    size_t n = 0;
    if (!crosses(f, to)) return 0;
    if (to / each == me / each) n += sum_between(count, to % each * rows, (to % each + 1) * rows);
    if (to == me + each) n += sum_between(count, me % each * rows, (me % each + 1) * rows);
    if (reduce_above(f, to, &some) == me) {
        const struct reduce_owners o = reduce_owners_of(f, to / rows);
        for (int q = some.first; q < some.end; q++) n += count[reduce_owner_at(&o, q)];
    }
    return n * sizeof(float);
}

/* The planner's count of bytes; tests/hosts/test_bytes.sh compares it with the links. */
unsigned long long reduce_sends_to(const struct reduce_form *f, const size_t *count, int to)
{
    const struct sending s = sending_of(f, count);
    size_t from = 0;
    if (s.nodes && reduce_few(f)) return sent_to_few(f, count, to);
    for (int i = 0; i < to; i++) from += count[i];
    return sent_to(&s, to, from, count[to]);
}

unsigned long long reduce_sends(const struct reduce_form *f, const size_t *count)
{
    const struct sending s = sending_of(f, count);
    unsigned long long bytes = 0;
    size_t from = 0;
    const bool few = s.nodes && reduce_few(f);
    for (int i = 0; i < f->members; from += count[i++])
        bytes += few ? sent_to_few(f, count, i) : sent_to(&s, i, from, count[i]);
    return bytes;
}

/* Elements that I send to `to` in a gather over nodes of `each` members; 0: of a flat one. */
static size_t gather_elements(const struct reduce_form *f, const size_t *count, int each, int to)
{
    if (each == 0) return count[f->me];
    const int R = f->members, behind = (to + R - f->me) % R;
    if (behind % each) return 0;
    if (!reduce_gather_doubles(f, each)) return count[f->me];
    size_t n = 0;
    for (int d = reduce_doubling(R / each, behind / each) - 1; d >= 0; d--)
        n += count[(f->me + R - d * each) % R];
    return n;
}

unsigned long long reduce_gather_sends_to(const struct reduce_form *f, const size_t *count,
                                          size_t elem_bytes, int to)
{
    if (!crosses(f, to)) return 0;
    const int each = reduce_gather_each(f, sum_of(f, count) * elem_bytes);
    return gather_elements(f, count, each, to) * elem_bytes;
}

unsigned long long reduce_gather_sends(const struct reduce_form *f, const size_t *count,
                                       size_t elem_bytes)
{
    unsigned long long bytes = 0;
    const int each = reduce_gather_each(f, sum_of(f, count) * elem_bytes);
    for (int i = 0; i < f->members; i++)
        if (crosses(f, i)) bytes += gather_elements(f, count, each, i) * elem_bytes;
    return bytes;
}

/* ---- room ---- */

static size_t largest_slice(const struct reduce_form *f, size_t n)
{
    return divide_up(n, (size_t)f->members) + REDUCE_SLACK;
}

static size_t flat_scratch(const struct reduce_form *f, size_t n)
{
    size_t slice = largest_slice(f, n), room = 0;
    for (int i = 0; i < f->members; i++) {
        bool coded = node_of(f, i) != node_of(f, f->me) && f->wire != CODEC_FP32;
        if (i != f->me) room += coded ? 2 * codec_floats(f->wire, slice) : slice;
    }
    return room;
}

/* Terms and the sum; rounded also the running sum as it comes and goes, and my slice, each with two
 * floats more a part. */
static size_t nodes_scratch(const struct reduce_form *f, const struct reduce_map *m, size_t n)
{
    size_t column = reduce_column(m, n), room = (size_t)m->each * column;
    if (f->wire != CODEC_FP32)
        room += 2 * codec_floats(f->wire, column) + codec_floats(f->wire, largest_slice(f, n)) +
                4 * (size_t)f->members;
    return room;
}

/* Terms and the sum of a column, and what a member passes on of finished sums. */
static size_t few_scratch(const struct reduce_form *f, size_t n)
{
    const size_t each = (size_t)reduce_each(f), rows = (size_t)f->members / each,
                 slice = largest_slice(f, n), column = rows * slice < n ? rows * slice : n,
                 passed_on = rows > REDUCE_FAN ? divide_up(rows, REDUCE_FAN) * slice : 0;
    return each * column + (passed_on < n ? passed_on : n);
}

size_t reduce_scratch(const struct reduce_form *f, size_t n)
{
    const char *why;
    if (reduce_choose(f, n, &why) == REDUCE_FLAT) return flat_scratch(f, n);
    return reduce_few(f) ? few_scratch(f, n) : nodes_scratch(f, map_in(f), n);
}

size_t reduce_residual(const struct reduce_form *f, size_t n)
{
    const char *why;
    const struct reduce_map *m = map_in(f);
    if (f->wire == CODEC_FP32 || m->nodes == 1) return 0;
    return reduce_choose(f, n, &why) == REDUCE_NODES ? reduce_column(m, n) : n;
}

/* The most of: flat; by nodes terms, two of the chain, parts of slices and what is passed on; of a
 * gather by nodes slices that cross, both ways, and all slices inside. */
int reduce_streams(const struct reduce_form *f)
{
    const struct reduce_map *m = map_in(f);
    const int each = reduce_each(f);
    int flat = 2 * (f->members - 1), nodes = 3 * each + f->members;
    int gather = 2 * (m->nodes - 1) + 2 * (m->each - 1) * m->nodes,
        most = nodes > gather ? nodes : gather;
    if (reduce_few(f)) most += 2 + 2 * f->members / each;
    return each > 0 && most > flat ? most : flat;
}
