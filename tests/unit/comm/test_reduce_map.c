/* Which path a reduction takes, and why: counted by hand. */
#include <stdlib.h>
#include <string.h>

#include "comm/reduce.h"
#include "tests/support/check_unit.h"

enum { MIB = 1 << 18 }; /* floats */

static const int one[8] = {5, 5, 5, 5, 5, 5, 5, 5}, pairs[8] = {0, 0, 1, 1, 2, 2, 3, 3},
                 halves[8] = {1, 1, 1, 1, 0, 0, 0, 0}, single[8] = {0, 1, 2, 3, 4, 5, 6, 7},
                 uneven[8] = {0, 0, 0, 1, 1, 1, 1, 1}, woven[8] = {0, 1, 2, 3, 0, 1, 2, 3},
                 threes[6] = {0, 0, 0, 1, 1, 1};

/* Four nodes of two send 1.5 arrays flat, and 1.25 arrive at one in the middle of a chain. Two
 * nodes of two: one either way. Two of four: 2 flat, 1. */
static const struct row {
    const char *name;
    int members;
    const int *node;
    int inner;
    enum reduce_path path;
    size_t n;
    enum reduce_path right;
    const char *why;
} rows[] = {
    {"no map", 8, NULL, 1, REDUCE_NODES, MIB, REDUCE_FLAT, "one node"},
    {"one node", 8, one, 1, REDUCE_AUTO, 64 * MIB, REDUCE_FLAT, "one node"},
    {"pairs", 8, pairs, 1, REDUCE_AUTO, 64 * MIB, REDUCE_NODES, "fewer bytes cross"},
    {"pairs, inner 2", 8, pairs, 2, REDUCE_AUTO, 64 * MIB, REDUCE_NODES, "fewer bytes cross"},
    {"pairs, flat", 8, pairs, 1, REDUCE_FLAT, 64 * MIB, REDUCE_FLAT, "asked for"},
    {"two pairs", 4, pairs, 1, REDUCE_AUTO, 64 * MIB, REDUCE_FLAT, "busiest link"},
    {"two pairs, asked for", 4, pairs, 1, REDUCE_NODES, 64 * MIB, REDUCE_NODES, "asked for"},
    {"halves", 8, halves, 1, REDUCE_AUTO, 64 * MIB, REDUCE_NODES, "fewer bytes cross"},
    {"halves, small", 8, halves, 1, REDUCE_AUTO, 1000, REDUCE_FLAT, "small"},
    {"pairs, filling", 8, pairs, 1, REDUCE_AUTO, 65536, REDUCE_FLAT, "busiest link"},
    {"single", 8, single, 1, REDUCE_AUTO, 64 * MIB, REDUCE_FLAT, "one member each"},
    {"single, asked for", 8, single, 1, REDUCE_NODES, 64 * MIB, REDUCE_NODES, "asked for"},
    {"single, inner 2", 8, single, 2, REDUCE_NODES, 64 * MIB, REDUCE_FLAT, "summed first"},
    {"threes, inner 2", 6, threes, 2, REDUCE_NODES, 64 * MIB, REDUCE_FLAT, "summed first"},
    {"uneven", 8, uneven, 1, REDUCE_NODES, 64 * MIB, REDUCE_FLAT, "different numbers of members"},
    {"woven", 8, woven, 1, REDUCE_NODES, 64 * MIB, REDUCE_FLAT, "consecutive ranks"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static struct reduce_form form_of(const struct row *r, int me, enum codec wire)
{
    struct reduce_form f = {.members = r->members,
                            .me = me,
                            .inner = r->inner,
                            .node = r->node,
                            .path = r->path,
                            .wire = wire};
    f.map = reduce_map_of(&f);
    return f;
}

START_TEST(path_and_reason)
{
    for (int i = 0; i < ROWS; i++) {
        struct reduce_form f = form_of(&rows[i], 0, CODEC_FP32);
        const char *why = "";
        enum reduce_path path = reduce_choose(&f, rows[i].n, &why);
        ck_assert_msg(path == rows[i].right && strstr(why, rows[i].why), "%s: path %d because %s",
                      rows[i].name, (int)path, why);
    }
}
END_TEST

/* The map found by looking for every member at all others. */
static struct reduce_map map_by_counting(const struct reduce_form *f)
{
    struct reduce_map m = {.why = ""};
    int each = 0;
    for (int i = 0; i < f->members; i++) {
        int n = 0, first = f->members;
        for (int k = f->members - 1; k >= 0; k--)
            if (f->node[k] == f->node[i]) n++, first = k;
        if (i == 0) each = n;
        m.nodes += first == i;
        if (n != each) m.why = "nodes have different numbers of members";
    }
    for (int i = 0; i < f->members && !m.why[0]; i++)
        if (f->node[i] != f->node[i - i % each])
            m.why = "members of a node do not have consecutive ranks";
    if (m.nodes == 1) m.why = "all members are on one node";
    if (!m.why[0] && each % f->inner) m.why = "a group of members that is summed first spans nodes";
    m.each = m.why[0] ? 0 : each;
    return m;
}

/* Any nodes in any order: mostly some that could be, turned round or with one member elsewhere. */
START_TEST(maps_are_those_of_counting)
{
    int node[24];
    unsigned random = 1;
    for (int trial = 0; trial < 20000; trial++) {
        struct reduce_form f = {.members = 1 + trial % 24, .inner = 1 + trial % 2, .node = node};
        random = random * 1103515245u + 12345;
        int each = 1 + (int)(random >> 16) % 6, turned = (int)(random >> 20) % 2;
        for (int i = 0; i < f.members; i++) node[i] = (turned ? 100 - i : i) / each;
        if (trial % 3 == 0) node[(int)(random >> 8) % f.members] = (int)(random >> 24) % 5;
        struct reduce_map m = reduce_map_of(&f), right = map_by_counting(&f);
        ck_assert_int_eq(m.nodes, right.nodes);
        ck_assert_int_eq(m.each, right.each);
        ck_assert_str_eq(m.why, right.why);
    }
}
END_TEST

/* A member needs about one more array, up to two where it rounds, and keeps what it rounds: at most
 * the array flat, a column by nodes. */
START_TEST(room_is_one_array_or_two)
{
    for (int i = 0; i < ROWS; i++)
        for (int wire = CODEC_FP32; wire <= CODEC_INT8; wire++) {
            struct reduce_form f = form_of(&rows[i], 1, (enum codec)wire);
            size_t n = 64 * MIB, each = n / (size_t)f.members, most = n + each + 100000;
            if (wire != CODEC_FP32) most += n;
            ck_assert_uint_le(reduce_scratch(&f, n), most);
            ck_assert_uint_le(reduce_residual(&f, n), n);
            if (wire == CODEC_FP32) ck_assert_uint_eq(reduce_residual(&f, n), 0);
        }
    struct reduce_form f = form_of(&rows[2], 3, CODEC_INT8);
    ck_assert_uint_eq(reduce_residual(&f, 64 * MIB), 32 * MIB);
}
END_TEST

/* Slices of a MiB on four nodes of two: flat each member sends six of eight slices; in the chain
 * each sends a column (four slices) on, of which the last node returns: its members 0 and 1 four
 * and two, because slices 6 and 7 are its own. */
START_TEST(bytes_that_are_sent)
{
    static const size_t chain[8] = {4, 4, 4, 4, 4, 4, 4, 2};
    size_t count[8];
    for (int i = 0; i < 8; i++) count[i] = MIB;
    for (int me = 0; me < 8; me++) {
        struct reduce_form f = form_of(&rows[2], me, CODEC_FP32);
        ck_assert_uint_eq(reduce_sends(&f, count), chain[me] << 20);
        ck_assert_uint_eq(reduce_gather_sends(&f, count, 2), 3 << 19);
        ck_assert_uint_eq(reduce_sends_to(&f, count, me ^ 1), 0);
        if (me < 6) ck_assert_uint_eq(reduce_sends_to(&f, count, me + 2), 4 << 20);
        if (me >= 6) ck_assert_uint_eq(reduce_sends_to(&f, count, me % 2 * 4 + 1), 1 << 20);
        f.wire = CODEC_INT8;
        ck_assert_uint_eq(reduce_sends(&f, count), (chain[me] << 20) * 132 / 512);
        f.wire = CODEC_BF16, f.path = REDUCE_FLAT;
        ck_assert_uint_eq(reduce_sends(&f, count), 3 << 20);
        ck_assert_uint_eq(reduce_gather_sends(&f, count, 2), 6 << 19);
    }
}
END_TEST

#define TESTS(X)                  \
    X(path_and_reason)            \
    X(maps_are_those_of_counting) \
    X(room_is_one_array_or_two)   \
    X(bytes_that_are_sent)

UNIT_MAIN("reduce_map")
