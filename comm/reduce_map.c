/* Which path, and how much room and traffic it needs: pure functions of the form, so that the planner can ask them, too. */
#include "comm/reduce_op.h"

#include "comm/base/die.h"

enum { PIECES = 32, SHORTEST = 16 << 10, LONGEST = 256 << 10, SMALL = 64 << 10 };

static size_t up_to_block(size_t n)
{
    return (n + WIRE_BLOCK - 1) / WIRE_BLOCK * WIRE_BLOCK;
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

struct reduce_map reduce_map_of(const struct reduce_form *f)
{
    struct reduce_map m = {0, 0, ""};
    int first = 0, each = members_on(f, node_of(f, 0), &first);
    for (int i = 0; i < f->members; i++) {
        int n = members_on(f, node_of(f, i), &first);
        m.nodes += i == first;
        if (n != each) m.why = "nodes have unequal numbers of members";
    }
    for (int i = 0; i < f->members && !m.why[0]; i++)
        if (node_of(f, i) != node_of(f, i - i % each))
            m.why = "members of a node are not neighbours";
    if (m.nodes == 1) m.why = "all members are on one node";
    if (!m.why[0] && each % f->inner) m.why = "a run of members that is summed first spans nodes";
    m.each = m.why[0] ? 0 : each;
    return m;
}

size_t reduce_piece(size_t n)
{
    size_t piece = up_to_block(n / PIECES);
    return piece < SHORTEST ? SHORTEST : piece > LONGEST ? LONGEST : piece;
}

enum reduce_path reduce_choose(const struct reduce_form *f, size_t n, const char **why)
{
    (void)n;
    *why = f->path == REDUCE_FLAT ? "asked for" : reduce_map_of(f).why;
    return REDUCE_FLAT;
}

static size_t largest_slice(const struct reduce_form *f, size_t n)
{
    return divide_up(n, (size_t)f->members) + REDUCE_SLACK;
}

static size_t flat_scratch(const struct reduce_form *f, size_t n)
{
    size_t slice = largest_slice(f, n), room = 0;
    for (int i = 0; i < f->members; i++) {
        bool coded = node_of(f, i) != node_of(f, f->me) && f->wire != WIRE_FP32;
        if (i != f->me) room += coded ? 2 * wire_floats(f->wire, slice) : slice;
    }
    return room;
}

size_t reduce_scratch(const struct reduce_form *f, size_t n)
{
    return flat_scratch(f, n);
}

size_t reduce_residual(const struct reduce_form *f, size_t n)
{
    return f->wire == WIRE_FP32 || reduce_map_of(f).nodes == 1 ? 0 : n;
}

/* Of a gather by nodes: slices that cross, both ways, and all slices inside. */
int reduce_streams(const struct reduce_form *f)
{
    struct reduce_map m = reduce_map_of(f);
    int flat = 2 * (f->members - 1), gather = 2 * (m.nodes - 1) + 2 * (m.each - 1) * m.nodes;
    return m.each > 0 && gather > flat ? gather : flat;
}
