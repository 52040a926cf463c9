/* ranks: 18 */
/* Large groups, in which a member has messages with few: sums have the bits of coll_reduce_scatter,
 * gathers those of coll_all_gather, and as much crosses as the planner says. A message to one that
 * is no peer would end the job (comm/p2p.c). */
#include "tests/support/reduce_case.h"

#include "comm/reduce_few.h"

static size_t gather_wrong(struct reduce *r, const size_t *count, const size_t *offset, size_t n)
{
    enum { ELEM = 2 };
    size_t wrong = 0;
    unsigned char *buf = memory_take(n + 1, ELEM, "a test"),
                  *right = memory_take(n + 1, ELEM, "a test");
    const size_t from = offset[ck_world.rank] * ELEM, bytes = count[ck_world.rank] * ELEM;
    for (size_t j = from; j < from + bytes; j++)
        buf[j] = right[j] = (unsigned char)(j * 31 + (j >> 9) + (size_t)ck_world.rank);
    coll_all_gather(right, count, offset, ELEM, ck_world.comm);
    reduce_gather(r, buf, count, offset, ELEM);
    for (size_t j = 0; j < n * ELEM; j++) wrong += buf[j] != right[j];
    free(buf);
    free(right);
    return wrong;
}

static void check_size(struct reduce *r, const struct group *g, const char *name, size_t base)
{
    struct sum s;
    sum_make(&s, &g->form, base, 3, base % 2);
    reduce_crossed(r);
    sum_start(&s, r);
    reduce_wait(r, s.op);
    const unsigned long long sent = reduce_crossed(r), right = reduce_sends(&g->form, s.count);
    const size_t wrong = sum_wrong(&s), lost = gather_wrong(r, s.count, s.offset, s.n);
    const unsigned long long told = reduce_crossed(r),
                             due = reduce_gather_sends(&g->form, s.count, 2);
    ck_all(wrong == 0, "%s, inner %d, %zu: %zu of %zu wrong", name, g->form.inner, base, wrong,
           s.mine);
    ck_all(sent == right, "%s, %zu: %llu bytes sent, not %llu", name, base, sent, right);
    ck_all(lost == 0, "%s, %zu: %zu bytes of a gather wrong", name, base, lost);
    ck_all(told == due, "%s, %zu: gathering %llu bytes sent, not %llu", name, base, told, due);
    sum_free(&s);
}

START_TEST(bits_and_bytes)
{
    const size_t bases[] = {0, 100, 400001 / (size_t)ck_world.size};
    for (int map = 0; map < MAPS; map++)
        for (int inner = 1; inner <= 2; inner++) {
            struct group g;
            group_make(&g, map, inner, inner == 1 ? REDUCE_AUTO : REDUCE_NODES, CODEC_FP32);
            struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g.form, 1);
            for (int k = 0; k < 3; k++) check_size(r, &g, maps[map].name, bases[k]);
            reduce_free(r);
        }
}
END_TEST

/* In a codec sums are between all pairs where they were, gathers are not. */
START_TEST(with_a_codec)
{
    struct group g;
    struct sum s;
    group_make(&g, 2, 1, REDUCE_AUTO, CODEC_BF16);
    struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g.form, 1);
    sum_make(&s, &g.form, 100, 5, false);
    sum_start(&s, r);
    reduce_wait(r, s.op);
    const size_t lost = gather_wrong(r, s.count, s.offset, s.n);
    ck_all(lost == 0, "%zu bytes of a gather wrong", lost);
    sum_free(&s);
    reduce_free(r);
}
END_TEST

/* Who only gathers has the peers of a gather alone. */
START_TEST(only_gathers)
{
    struct group g;
    size_t count[ROOM], offset[ROOM];
    const size_t n = slices_make(count, offset, 1000);
    int peer[ROOM];
    for (int map = 0; map < 3; map++) {
        group_make(&g, map, 1, REDUCE_AUTO, CODEC_INT8);
        g.form.gathers = true;
        struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g.form, 1);
        const size_t lost = gather_wrong(r, count, offset, n);
        ck_all(lost == 0, "%s: %zu bytes of a gather wrong", maps[map].name, lost);
        if (map != 1) ck_assert_int_le(reduce_peers(&g.form, peer), 12);
        reduce_free(r);
    }
}
END_TEST

#define TESTS(X)      \
    X(bits_and_bytes) \
    X(with_a_codec)   \
    X(only_gathers)

MPI_MAIN("reduce_few")
