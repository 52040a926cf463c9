/* ranks: 1 2 4 6 */
/* Reductions that go on by themselves: on whatever map of nodes (which is told, so that one machine can be many) they give
 * the bits of coll_reduce_scatter, and gathers those of coll_all_gather. */
#include "tests/support/check_mpi.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "comm/base/memory.h"
#include "comm/coll.h"
#include "comm/reduce.h"

enum { MOST = 8, LARGE = 700000 };

/* ---- maps ---- */

static int pairs(int i, int R)
{
    return R > 0 ? i / 2 : 0;
}
static int halves(int i, int R)
{
    return R > 1 ? i / ((R + 1) / 2) : 0;
}
static int alone(int i, int R)
{
    return R - i;
} /* names of nodes need not rise */
static int together(int i, int R)
{
    return 0 * (i + R);
}
static int interleaved(int i, int R)
{
    return R > 0 ? i % 2 : 0;
}
static int uneven(int i, int R)
{
    return i > 0 && R > 0;
}
static const struct map {
    const char *name;
    int (*node)(int member, int members);
} maps[] = {{"pairs", pairs},       {"halves", halves},           {"alone", alone},
            {"together", together}, {"interleaved", interleaved}, {"uneven", uneven}};
enum { MAPS = sizeof maps / sizeof *maps };

struct group {
    struct reduce_form form;
    int node[MOST];
};

static void group_make(struct group *g, int map, int inner, enum reduce_path path,
                       enum reduce_wire wire)
{
    for (int i = 0; i < ck_world.size; i++) g->node[i] = maps[map].node(i, ck_world.size);
    g->form = (struct reduce_form){.members = ck_world.size,
                                   .me = ck_world.rank,
                                   .inner = inner,
                                   .node = g->node,
                                   .path = path,
                                   .wire = wire};
}

/* ---- what is added ---- */

/* Numbers whose sum depends on the order: many magnitudes and both signs. */
static float number(int rank, size_t i, int seed)
{
    unsigned h = (unsigned)i * 2654435761u + (unsigned)rank * 40503u + (unsigned)seed * 97u;
    h ^= h >> 15, h *= 2246822519u, h ^= h >> 13;
    float x = ldexpf((float)(h & 0xffffff), (int)(h >> 24) % 24 - 30);
    return h & 1 ? x : -x;
}

/* Slices as uneven as they may be: small ones also empty. */
static size_t slices_make(size_t *count, size_t *offset, size_t base)
{
    size_t n = 0;
    for (int i = 0; i < ck_world.size; i++) {
        count[i] = base + (size_t)(i * 37 + 3) % 64;
        if (base == 0 && i % 3 == 1) count[i] = 0;
        offset[i] = n;
        n += count[i];
    }
    return n;
}

struct sum {
    size_t count[MOST], offset[MOST], n, mine, at;
    float *in, *out, *right, *scratch, *residual;
    int op;
    bool in_place, over;
};

static void *room(size_t n)
{
    return memory_take(n + 1, sizeof(float), "a test");
}

/* `right` is made by coll_reduce_scatter: the bits that must come out when nothing is rounded. */
static void sum_make(struct sum *s, const struct reduce_form *f, size_t base, int seed,
                     bool in_place)
{
    *s = (struct sum){.in_place = in_place};
    s->n = slices_make(s->count, s->offset, base);
    s->mine = s->count[f->me], s->at = s->offset[f->me];
    s->in = room(s->n), s->right = room(s->mine);
    s->scratch = room(reduce_scratch(f, s->n)), s->residual = room(reduce_residual(f, s->n));
    s->out = in_place ? s->in + s->at : room(s->mine);
    for (size_t i = 0; i < s->n; i++) s->in[i] = number(f->me, i, seed);
    float *other = room((size_t)f->members * s->mine);
    coll_reduce_scatter(s->right, s->in, s->count, s->offset, f->inner, other, ck_world.comm);
    free(other);
}

static void sum_start(struct sum *s, struct reduce *r)
{
    s->op = reduce_start(r, &(struct reduce_job){.out = s->out,
                                                 .in = s->in,
                                                 .count = s->count,
                                                 .offset = s->offset,
                                                 .scratch = s->scratch,
                                                 .residual = s->residual});
}

static size_t sum_wrong(const struct sum *s)
{
    size_t wrong = 0;
    for (size_t i = 0; i < s->mine; i++)
        wrong += memcmp(&s->out[i], &s->right[i], sizeof(float)) != 0;
    return wrong;
}

static void sum_free(struct sum *s)
{
    if (!s->in_place) free(s->out);
    free(s->in);
    free(s->right);
    free(s->scratch);
    free(s->residual);
}

/* ---- in fp32 ---- */

static void check_form(const struct group *g, const char *name)
{
    static const size_t bases[] = {0, 1500, LARGE / MOST};
    struct reduce *r = reduce_new(ck_world.comm, &g->form, 1);
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
                group_make(&g, map, inner, (enum reduce_path)path, WIRE_FP32);
                check_form(&g, maps[map].name);
            }
}
END_TEST

static void pause_ms(unsigned ms)
{
    struct timespec t = {.tv_nsec = (long)ms * 1000000};
    nanosleep(&t, NULL);
}

/* Five at once, started and completed at random moments, some by tests, some by waiting, last to first. */
START_TEST(several_open_at_once)
{
    enum { OPEN = 5 };
    static const size_t bases[OPEN] = {40000, 0, 100000, 1500, 300000};
    struct group g;
    unsigned random = (unsigned)ck_world.rank * 7919u + 1;
    for (int map = 0; map < 3; map++) {
        group_make(&g, map, 1, map == 2 ? REDUCE_FLAT : REDUCE_NODES, WIRE_FP32);
        struct reduce *r = reduce_new(ck_world.comm, &g.form, OPEN);
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
            group_make(&g, map, 1, (enum reduce_path)path, WIRE_FP32);
            struct reduce *r = reduce_new(ck_world.comm, &g.form, 1);
            size_t wrong =
                gather_wrong(r, 0, 2) + gather_wrong(r, 1501, 6) + gather_wrong(r, LARGE / 2, 2);
            ck_all(wrong == 0, "%s, path %d: %zu bytes", maps[map].name, path, wrong);
            reduce_free(r);
        }
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *tests[] = {any_map_gives_the_bits_of_coll, several_open_at_once,
                            gathers_on_any_map};
    return check_mpi_main("reduce", tests, sizeof tests / sizeof *tests, argc, argv);
}
