/* A reduction or a gather between all pairs has pieces open with a few peers at a time, of however
 * many: each look at the wire goes over all that is open. */
#include "comm/base/memory.h"
#include "comm/reduce_op.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"

enum { LARGEST = 16384, EACH = 3 };

static size_t count[LARGEST], offset[LARGEST];

/* Streams of a member in the middle of pretended ones that may post when it has begun. */
static double open_at_first(int members, const struct reduce_way *way)
{
    struct reduce r = {.window = REDUCE_WINDOW};
    size_t n = (size_t)members * EACH;
    float *in = memory_take(n, sizeof *in, "a test"), *room = memory_take(n, sizeof *in, "a test");
    for (int i = 0; i < members; i++) count[i] = EACH, offset[i] = (size_t)i * EACH;
    r.form = (struct reduce_form){
        .members = members, .me = members / 2, .inner = 1, .path = REDUCE_FLAT};
    r.form.map = reduce_map_of(&r.form);
    struct reduction op = {.way = way, .n = n, .piece = reduce_piece(n), .room = room};
    op.job = (struct reduce_job){.in = in, .count = count, .offset = offset};
    op.gathered = in, op.elem_bytes = sizeof *in;
    op.stream = memory_take((size_t)reduce_streams(&r.form), sizeof *op.stream, "a test");
    op.term = memory_take((size_t)members, sizeof *op.term, "a test");
    way->begin(&r, &op);
    int open = 0;
    for (int i = 0; i < op.n_streams; i++) open += op.stream[i].ready > 0;
    free(op.stream), free(op.term), free(in), free(room);
    return open;
}

static void check_open(const struct reduce_way *way, const char *what)
{
    struct growth g = {.n = 0};
    for (int members = 4 * REDUCE_WINDOW; members <= LARGEST; members *= 4)
        growth_add(&g, members, open_at_first(members, way));
    growth_at_most(&g, what, 0.001);
    ck_assert_double_eq(g.count[0], 2 * REDUCE_WINDOW);
}

START_TEST(few_pairs_are_open)
{
    check_open(&reduce_flat, "open streams of a sum");
    check_open(&reduce_gathers, "open streams of a gather");
}
END_TEST

#define TESTS(X) X(few_pairs_are_open)

UNIT_MAIN("open_pairs")
