/* Which path, and how much room and traffic it needs: pure functions of the form, so that the
 * planner can ask them, too. */
#include "comm/reduce_op.h"

#include "comm/base/die.h"

/* A chain is full when a piece has made all its hops, so pieces are small; but each costs some ten
 * microseconds. */
enum { PIECES = 128, SHORTEST = 8 << 10, LONGEST = 256 << 10, SMALL = 64 << 10 };

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

/* Members of `node`, and the first of them. */
static int members_on(const struct reduce_form *f, int node, int *first)
{
    int n = 0;
    for (int i = f->members - 1; i >= 0; i--)
        if (node_of(f, i) == node) n++, *first = i;
    return n;
}

/* A chain of nodes needs nodes of equal size with consecutive ranks, and runs that are summed first
 * inside one node; otherwise each = 0 and why. */
struct reduce_map reduce_map_of(const struct reduce_form *f)
{
    struct reduce_map m = {0, 0, ""};
    int first = 0, each = members_on(f, node_of(f, 0), &first);
    for (int i = 0; i < f->members; i++) {
        if (i > 0 && node_of(f, i) == node_of(f, i - 1)) continue; /* counted with it */
        int n = members_on(f, node_of(f, i), &first);
        m.nodes += i == first;
        if (n != each) m.why = "nodes have different numbers of members";
    }
    for (int i = 0; each > 0 && i < f->members && !m.why[0]; i++)
        if (node_of(f, i) != node_of(f, i - i % each))
            m.why = "members of a node do not have consecutive ranks";
    if (m.nodes == 1) m.why = "all members are on one node";
    if (!m.why[0] && each % f->inner) m.why = "a group of members that is summed first spans nodes";
    m.each = m.why[0] ? 0 : each;
    return m;
}

size_t reduce_piece(size_t n)
{
    size_t piece = up_to_block(n / PIECES);
    return piece < SHORTEST ? SHORTEST : piece > LONGEST ? LONGEST : piece;
}

size_t reduce_column(const struct reduce_map *m, size_t n)
{
    return up_to_block(divide_up(n, (size_t)m->each));
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
    struct reduce_map m = reduce_map_of(f);
    const struct reason {
        bool holds;
        enum reduce_path path;
        const char *why;
    } reasons[] = {
        {m.each == 0, REDUCE_FLAT, m.why},
        {f->path != REDUCE_AUTO, f->path, "asked for"},
        {m.each == 1, REDUCE_FLAT, "nodes have one member each"},
        {n < SMALL, REDUCE_FLAT, "arrays this small are not worth a chain of nodes"},
        {m.each > 0 && nodes_load(&m, n) >= flat_load(&m, n), REDUCE_FLAT,
         "a chain of nodes would load its busiest link more"},
        {true, REDUCE_NODES, "fewer bytes cross between nodes"},
    };
    int i = 0;
    while (!reasons[i].holds) i++;
    *why = reasons[i].why;
    return reasons[i].path;
}

bool reduce_gather_by_nodes(const struct reduce_form *f, const struct reduce_map *m, size_t bytes)
{
    bool worth = bytes >= SMALL * sizeof(float) || f->path == REDUCE_NODES;
    return f->path != REDUCE_FLAT && m->each > 1 && worth;
}

bool reduce_gather_over_nodes(const struct reduce_form *f, size_t bytes)
{
    struct reduce_map m = reduce_map_of(f);
    return reduce_gather_by_nodes(f, &m, bytes);
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

/* The part of my column, at the last node, that is slice `to`. */
static size_t part_of_slice(const size_t *count, int to, size_t lo, size_t hi)
{
    size_t from = 0;
    for (int i = 0; i < to; i++) from += count[i];
    size_t a = from > lo ? from : lo, b = from + count[to] < hi ? from + count[to] : hi;
    return a < b ? b - a : 0;
}

/* The planner's count of bytes; tests/hosts/test_bytes.sh compares it with the links. */
unsigned long long reduce_sends_to(const struct reduce_form *f, const size_t *count, int to)
{
    const char *why;
    struct reduce_map m = reduce_map_of(f);
    size_t n = sum_of(f, count);
    if (!crosses(f, to)) return 0;
    if (reduce_choose(f, n, &why) != REDUCE_NODES) return codec_bytes(f->wire, count[to]);
    size_t column = reduce_column(&m, n), lo = (size_t)(f->me % m.each) * column;
    lo = lo < n ? lo : n;
    size_t hi = lo + column < n ? lo + column : n, sent = to == f->me + m.each ? hi - lo : 0;
    if (f->me / m.each == m.nodes - 1) sent = part_of_slice(count, to, lo, hi);
    return codec_bytes(f->wire, sent);
}

/* each: members of a node, of a gather over nodes; 0: of a flat one. */
static unsigned long long gather_sends_to(const struct reduce_form *f, unsigned long long bytes,
                                          int each, int to)
{
    bool other_row = each > 0 && to % each != f->me % each;
    return crosses(f, to) && !other_row ? bytes : 0;
}

static int gather_each(const struct reduce_form *f, const size_t *count, size_t elem_bytes)
{
    struct reduce_map m = reduce_map_of(f);
    return reduce_gather_by_nodes(f, &m, sum_of(f, count) * elem_bytes) ? m.each : 0;
}

unsigned long long reduce_gather_sends_to(const struct reduce_form *f, const size_t *count,
                                          size_t elem_bytes, int to)
{
    return gather_sends_to(f, count[f->me] * elem_bytes, gather_each(f, count, elem_bytes), to);
}

unsigned long long reduce_sends(const struct reduce_form *f, const size_t *count)
{
    unsigned long long bytes = 0;
    for (int i = 0; i < f->members; i++) bytes += reduce_sends_to(f, count, i);
    return bytes;
}

unsigned long long reduce_gather_sends(const struct reduce_form *f, const size_t *count,
                                       size_t elem_bytes)
{
    unsigned long long bytes = 0;
    int each = gather_each(f, count, elem_bytes);
    for (int i = 0; i < f->members; i++)
        bytes += gather_sends_to(f, count[f->me] * elem_bytes, each, i);
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

size_t reduce_scratch(const struct reduce_form *f, size_t n)
{
    const char *why;
    struct reduce_map m = reduce_map_of(f);
    return reduce_choose(f, n, &why) == REDUCE_NODES ? nodes_scratch(f, &m, n) : flat_scratch(f, n);
}

size_t reduce_residual(const struct reduce_form *f, size_t n)
{
    const char *why;
    struct reduce_map m = reduce_map_of(f);
    if (f->wire == CODEC_FP32 || m.nodes == 1) return 0;
    return reduce_choose(f, n, &why) == REDUCE_NODES ? reduce_column(&m, n) : n;
}

/* The most of: flat; by nodes terms, two of the chain and parts of slices; of a gather by nodes
 * slices that cross, both ways, and all slices inside. */
int reduce_streams(const struct reduce_form *f)
{
    struct reduce_map m = reduce_map_of(f);
    int flat = 2 * (f->members - 1), nodes = 3 * m.each + f->members;
    int gather = 2 * (m.nodes - 1) + 2 * (m.each - 1) * m.nodes,
        most = nodes > gather ? nodes : gather;
    return m.each > 0 && most > flat ? most : flat;
}
