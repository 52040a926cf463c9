/* ranks: 1 2 4 */
/* Messages, exchanges and reductions in the memory of a device that faults when the host touches
 * it, over a transport without a single row and over one with all: the bits are those of host
 * memory over MPI, and missing rows are counted. */
#include "tests/support/reduce_case.h"
#include "tests/support/test_transport.h"

#include "comm/base/missing.h"
#include "comm/exchange.h"
#include "comm/p2p.h"

#define MIB ((size_t)1 << 20)

static const struct transport *const transports[] = {&test_transport, &test_transport_whole};
enum { TRANSPORTS = sizeof transports / sizeof *transports };

/* ---- messages ---- */

static unsigned char byte_of(size_t j, int seed)
{
    return (unsigned char)(j * 31 + (j >> 13) + (size_t)seed * 7);
}

/* Everybody to its neighbour of the ring; of `most` bytes that are awaited n come. Bytes that are
 * wrong, those behind the end included. */
static size_t ring_wrong(struct p2p *p, const struct transport *t, size_t n, size_t most)
{
    struct twin in = twin_make(t, most + 1), out = twin_make(t, n);
    int me = ck_world.rank, R = ck_world.size, before = (me + R - 1) % R;
    size_t wrong = 0;
    for (size_t j = 0; j < n; j++) out.host[j] = byte_of(j, me);
    memset(in.host, 77, most + 1);
    twin_put(&in), twin_put(&out);
    ticket r = most > n ? p2p_recv_most(p, before, 5, in.there, most)
                        : p2p_recv(p, before, 5, in.there, n);
    ticket s = p2p_send(p, (me + 1) % R, 5, out.there, n);
    p2p_wait(p, s);
    p2p_wait(p, r);
    twin_get(&in);
    for (size_t j = 0; j <= most; j++) wrong += in.host[j] != (j < n ? byte_of(j, before) : 77);
    twin_free(&in), twin_free(&out);
    return wrong;
}

START_TEST(messages)
{
    static const size_t sizes[] = {0, 1, 4097, 2 * MIB, 2 * MIB + 1, 11 * MIB + 5};
    for (int k = 0; k < TRANSPORTS; k++) {
        const struct transport *t = transports[k];
        struct p2p *p = p2p_new(t, ck_world.comm, 4);
        for (int i = 0; i < 6; i++) {
            size_t wrong = ring_wrong(p, t, sizes[i], sizes[i]);
            ck_all(wrong == 0, "%s: %zu of %zu bytes", t->name, wrong, sizes[i]);
        }
        size_t wrong = ring_wrong(p, t, 1000, 5000);
        ck_all(wrong == 0, "%s: %zu bytes of a shorter one", t->name, wrong);
        p2p_free(p);
    }
}
END_TEST

/* ---- exchanges ---- */

enum { SUM = 300007 };

static size_t sums_wrong(struct exchange *x, struct exchange *right, const struct transport *t)
{
    size_t n = SUM, all = n * (size_t)ck_world.size, wrong = 0;
    float *scratch = memory_take(all, sizeof(float), "a test");
    for (int max = 0; max < 2; max++) {
        struct twin buf = twin_make(t, n * sizeof(float));
        struct twin room = twin_make(t, all * sizeof(float));
        float *due = memory_take(n, sizeof *due, "a test");
        for (size_t i = 0; i < n; i++) due[i] = number(ck_world.rank, i, max);
        memcpy(buf.host, due, n * sizeof *due);
        twin_put(&buf);
        int (*reduce)(struct exchange *, int, float *, size_t, float *) =
            max ? exchange_all_reduce_max : exchange_all_reduce;
        exchange_wait(right, reduce(right, 1, due, n, scratch));
        exchange_wait(x, reduce(x, 1, (float *)(void *)buf.there, n, (float *)(void *)room.there));
        twin_get(&buf);
        wrong += memcmp(buf.host, due, n * sizeof *due) != 0;
        twin_free(&buf), twin_free(&room);
        free(due);
    }
    free(scratch);
    return wrong;
}

/* Bytes that rank a has for rank b. */
static size_t bytes_for(int a, int b)
{
    static const size_t some[] = {5000, 1, 0, 3 << 20, 17};
    return some[(a * 3 + b * 2) % 5];
}

static size_t shuffle_wrong(struct exchange *x, const struct transport *t)
{
    size_t recv[MOST], recv_at[MOST], send[MOST], send_at[MOST], in = 0, out = 0, wrong = 0;
    int me = ck_world.rank, R = ck_world.size;
    for (int r = 0; r < R; r++) {
        recv[r] = bytes_for(r, me), recv_at[r] = in, in += recv[r];
        send[r] = bytes_for(me, r), send_at[r] = out, out += send[r];
    }
    struct twin to = twin_make(t, in), from = twin_make(t, out);
    for (int r = 0; r < R; r++)
        for (size_t j = 0; j < send[r]; j++) from.host[send_at[r] + j] = byte_of(j, me * 8 + r);
    twin_put(&from);
    exchange_wait(x, exchange_all_to_all(x, 0, to.there, recv, recv_at, from.there, send, send_at));
    twin_get(&to);
    for (int r = 0; r < R; r++)
        for (size_t j = 0; j < recv[r]; j++)
            wrong += to.host[recv_at[r] + j] != byte_of(j, r * 8 + me);
    twin_free(&to), twin_free(&from);
    return wrong;
}

START_TEST(exchanges)
{
    struct exchange *right = exchange_new(&transport_mpi, ck_world.comm, 1);
    for (int k = 0; k < TRANSPORTS; k++) {
        const struct transport *t = transports[k];
        struct exchange *x = exchange_new(t, ck_world.comm, 2);
        size_t wrong = sums_wrong(x, right, t);
        ck_all(wrong == 0, "%s: %zu sums", t->name, wrong);
        wrong = shuffle_wrong(x, t);
        ck_all(wrong == 0, "%s: %zu bytes", t->name, wrong);
        exchange_free(x);
    }
    exchange_free(right);
}
END_TEST

/* ---- reductions ---- */

/* A reduction's arrays on a device. */
struct there {
    struct twin in, out, scratch, residual;
};

static float *floats(const struct twin *w)
{
    return (float *)(void *)w->there;
}

static struct there there_make(const struct transport *t, const struct sum *s)
{
    struct there d = {.in = twin_make(t, s->n * sizeof(float)),
                      .out = twin_make(t, s->mine * sizeof(float)),
                      .scratch = twin_make(t, s->scratch_n * sizeof(float)),
                      .residual = twin_make(t, s->residual_n * sizeof(float))};
    memcpy(d.in.host, s->in, d.in.bytes);
    twin_put(&d.in);
    return d;
}

static void there_free(struct there *d)
{
    twin_free(&d->in), twin_free(&d->out), twin_free(&d->scratch), twin_free(&d->residual);
}

/* Two steps, so that what rounding left in the first counts in the second. */
static bool reduction_is_right(const struct transport *t, const struct group *g, size_t base)
{
    struct reduce *right = reduce_new(&transport_mpi, ck_world.comm, &g->form, 1);
    struct reduce *r = reduce_new(t, ck_world.comm, &g->form, 1);
    struct sum s;
    sum_make(&s, &g->form, base, 3, false);
    struct there d = there_make(t, &s);
    for (int step = 0; step < 2; step++) {
        sum_start(&s, right);
        reduce_wait(right, s.op);
        reduce_wait(r, reduce_start(r, &(struct reduce_job){.out = floats(&d.out),
                                                            .in = floats(&d.in),
                                                            .count = s.count,
                                                            .offset = s.offset,
                                                            .scratch = floats(&d.scratch),
                                                            .residual = floats(&d.residual)}));
    }
    twin_get(&d.out), twin_get(&d.residual);
    bool same = memcmp(d.out.host, s.out, d.out.bytes) == 0 &&
                memcmp(d.residual.host, s.residual, d.residual.bytes) == 0;
    there_free(&d);
    sum_free(&s);
    reduce_free(r);
    reduce_free(right);
    return same;
}

START_TEST(reductions)
{
    static const int chosen[] = {0, 2, 3}; /* pairs, alone, together */
    for (int k = 0; k < TRANSPORTS; k++)
        for (int i = 0; i < 3; i++)
            for (int path = REDUCE_FLAT; path <= REDUCE_NODES; path++)
                for (int wire = CODEC_FP32; wire <= CODEC_INT8; wire++) {
                    struct group g;
                    int inner = ck_world.size % 2 || i > 0 ? 1 : 2;
                    group_make(&g, chosen[i], inner, (enum reduce_path)path, (enum codec)wire);
                    bool same = reduction_is_right(transports[k], &g, 20001);
                    ck_all(same, "%s: %s, path %d, wire %d", transports[k]->name,
                           maps[chosen[i]].name, path, wire);
                }
}
END_TEST

START_TEST(gathers)
{
    for (int k = 0; k < TRANSPORTS; k++) {
        const struct transport *t = transports[k];
        struct group g;
        group_make(&g, 0, 1, REDUCE_NODES, CODEC_FP32);
        struct reduce *r = reduce_new(t, ck_world.comm, &g.form, 1);
        size_t count[MOST], offset[MOST], n = slices_make(count, offset, 400001), wrong = 0;
        struct twin buf = twin_make(t, n * 2);
        size_t from = offset[ck_world.rank] * 2, bytes = count[ck_world.rank] * 2;
        for (size_t j = from; j < from + bytes; j++) buf.host[j] = byte_of(j, 0);
        twin_put(&buf);
        reduce_gather(r, buf.there, count, offset, 2);
        twin_get(&buf);
        for (size_t j = 0; j < n * 2; j++) wrong += buf.host[j] != byte_of(j, 0);
        ck_all(wrong == 0, "%s: %zu bytes", t->name, wrong);
        twin_free(&buf);
        reduce_free(r);
    }
}
END_TEST

/* After the tests above: what a table lacks was used, of what it has nothing stood in. */
START_TEST(missing_rows_were_counted)
{
    static const char *const row[] = {"wire", "join", "encode", "decode"};
    for (int i = 0; i < 4; i++) {
        bool used = i < 2 || ck_world.size > 1; /* a rank alone rounds nothing */
        ck_all((missing_uses(test_transport.name, row[i]) > 0) == used || ck_world.rank > 0,
               "%s: %lu", row[i], missing_uses(test_transport.name, row[i]));
        ck_all(missing_uses(test_transport_whole.name, row[i]) == 0, "%s", row[i]);
    }
    ck_all(missing_uses(test_device.name, "copy") > 0, "what a rank has for itself");
    ck_all(missing_uses(test_device_whole.name, "copy") == 0, "the device copies");
}
END_TEST

#define TESTS(X)  \
    X(messages)   \
    X(exchanges)  \
    X(reductions) \
    X(gathers)    \
    X(missing_rows_were_counted)

MPI_MAIN("transport")
