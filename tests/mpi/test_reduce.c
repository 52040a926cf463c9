/* ranks: 1 2 4 6 */
/* Reductions that go on by themselves: on whatever map of nodes (which is told, so that one machine
 * can be many) they give the bits of coll_reduce_scatter, and gathers those of coll_all_gather. */
#include "tests/support/reduce_case.h"

#include <time.h>

enum { LARGE = 700000 };

/* ---- in fp32 ---- */

static void check_form(const struct group *g, const char *name)
{
    static const size_t bases[] = {0, 1500, LARGE / MOST};
    struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g->form, 1);
    for (int k = 0; k < 3; k++)
        for (int in_place = k > 0; in_place < 2; in_place++) {
            struct sum s;
            sum_make(&s, &g->form, bases[k], k, in_place);
            sum_start(&s, r);
            reduce_wait(r, s.op);
            size_t wrong = sum_wrong(&s);
            ck_all(wrong == 0, "%s, inner %d, path %d: %zu of %zu wrong", name, g->form.inner,
                   (int)g->form.path, wrong, s.mine);
            sum_free(&s);
        }
    reduce_free(r);
}

START_TEST(any_map_gives_the_bits_of_coll)
{
    for (int map = 0; map < MAPS; map++)
        for (int inner = 1; inner <= 2; inner++)
            for (int path = REDUCE_AUTO; path <= REDUCE_NODES; path++) {
                struct group g;
                if (ck_world.size % inner) continue;
                group_make(&g, map, inner, (enum reduce_path)path, CODEC_FP32);
                check_form(&g, maps[map].name);
            }
}
END_TEST

static void pause_ms(unsigned ms)
{
    struct timespec t = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&t, NULL);
}

/* Five at once, started and completed at random moments, some by tests, some by waiting, last to
 * first. */
START_TEST(several_open_at_once)
{
    enum { OPEN = 5 };
    static const size_t bases[OPEN] = {40000, 0, 100000, 1500, 300000};
    struct group g;
    unsigned random = (unsigned)ck_world.rank * 7919u + 1;
    for (int map = 0; map < 3; map++) {
        group_make(&g, map, 1, map == 2 ? REDUCE_FLAT : REDUCE_NODES, CODEC_FP32);
        struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g.form, OPEN);
        struct sum s[OPEN];
        size_t wrong = 0;
        for (int k = 0; k < OPEN; k++) sum_make(&s[k], &g.form, bases[k], k + map, k % 2);
        for (int k = 0; k < OPEN; k++) {
            pause_ms((random = random * 1103515245u + 12345) >> 16 & 7);
            sum_start(&s[k], r);
            if (k % 2) reduce_poll(r);
        }
        for (int k = 0; k < OPEN; k += 2)
            while (!s[k].over) s[k].over = reduce_test(r, s[k].op);
        for (int k = OPEN - 1; k >= 0; k--)
            if (!s[k].over) reduce_wait(r, s[k].op);
        for (int k = 0; k < OPEN; k++) wrong += sum_wrong(&s[k]);
        ck_all(wrong == 0, "%s: %zu wrong", maps[map].name, wrong);
        for (int k = 0; k < OPEN; k++) sum_free(&s[k]);
        reduce_free(r);
    }
}
END_TEST

/* Nobody calls anything that moves: all pieces leave nevertheless, those of sums that have to be
 * formed first included. */
START_TEST(goes_on_while_nobody_looks)
{
    if (ck_world.size == 1 || !ck_world.threads) return;
    struct group g;
    struct sum s;
    group_make(&g, 1, 1, REDUCE_NODES, CODEC_FP32);
    struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g.form, 1);
    sum_make(&s, &g.form, LARGE / MOST, 9, false);
    unsigned long long sent = 0, right = reduce_sends(&g.form, s.count);
    sum_start(&s, r);
    for (int i = 0; i < 4000 && sent < right; i++) {
        pause_ms(5);
        sent += reduce_crossed(r);
    }
    ck_all(sent == right, "%llu of %llu bytes left by themselves", sent, right);
    reduce_wait(r, s.op);
    size_t wrong = sum_wrong(&s);
    ck_all(wrong == 0, "%zu wrong", wrong);
    sum_free(&s);
    reduce_free(r);
}
END_TEST

/* ---- gathers ---- */

static size_t gather_wrong(struct reduce *r, size_t base, size_t elem)
{
    size_t count[MOST], offset[MOST], n = slices_make(count, offset, base), wrong = 0;
    unsigned char *buf = memory_take(n + 1, elem, "a test"),
                  *right = memory_take(n + 1, elem, "a test");
    size_t from = offset[ck_world.rank] * elem, bytes = count[ck_world.rank] * elem;
    for (size_t j = from; j < from + bytes; j++)
        buf[j] = right[j] = (unsigned char)(j * 31 + (j >> 9) + (size_t)ck_world.rank);
    coll_all_gather(right, count, offset, elem, ck_world.comm);
    reduce_gather(r, buf, count, offset, elem);
    for (size_t j = 0; j < n * elem; j++) wrong += buf[j] != right[j];
    free(buf);
    free(right);
    return wrong;
}

START_TEST(gathers_on_any_map)
{
    for (int map = 0; map < MAPS; map++)
        for (int path = REDUCE_AUTO; path <= REDUCE_NODES; path++) {
            struct group g;
            group_make(&g, map, 1, (enum reduce_path)path, CODEC_FP32);
            struct reduce *r = reduce_new(&transport_mpi, ck_world.comm, &g.form, 1);
            size_t wrong =
                gather_wrong(r, 0, 2) + gather_wrong(r, 1501, 6) + gather_wrong(r, LARGE / 2, 7);
            ck_all(wrong == 0, "%s, path %d: %zu bytes", maps[map].name, path, wrong);
            reduce_free(r);
        }
}
END_TEST

#define TESTS(X)                      \
    X(any_map_gives_the_bits_of_coll) \
    X(several_open_at_once)           \
    X(goes_on_while_nobody_looks)     \
    X(gathers_on_any_map)

MPI_MAIN("reduce")
