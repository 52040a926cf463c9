/* Transports over the test device (tests/support/test_device.h): test_transport has no row at all,
 * so the host does everything, with copies around it; test_transport_whole has all rows, which do
 * what a GPU's would with the device's memory. */
#ifndef DUET_TESTS_SUPPORT_TEST_TRANSPORT_H
#define DUET_TESTS_SUPPORT_TEST_TRANSPORT_H

#include "comm/base/memory.h"
#include "comm/transport.h"
#include "tests/support/test_device.h"

static inline void test_post(void *self, const struct transport_piece *piece)
{
    struct transport_piece there = *piece;
    there.buf = test_at(piece->buf, piece->bytes);
    transport_mpi.post(self, &there);
}

static inline void *test_open(const struct transport *t, MPI_Comm comm, const struct peers *with,
                              int most)
{
    (void)t;
    return transport_mpi.open(&transport_mpi, comm, with, most);
}

static inline void test_close(void *self)
{
    transport_mpi.close(self);
}

static inline int test_look(void *self, const struct transport_end **list)
{
    return transport_mpi.look(self, list);
}

static inline struct join_term test_term(const struct join_term *t, size_t n)
{
    return (struct join_term){t->wire, n ? test_at(t->at, codec_bytes(t->wire, n)) : NULL};
}

static inline void test_join(float *to, const struct join *j, size_t at, size_t n)
{
    struct join_term term[16], before = {CODEC_FP32, NULL};
    struct join there = *j;
    INVARIANT(j->terms <= 16, "%d terms", j->terms);
    for (int i = 0; i < j->terms; i++) term[i] = test_term(&j->term[i], at + n);
    there.term = term;
    if (j->before) {
        before = test_term(j->before, at + n);
        there.before = &before;
    }
    if (n > 0) join_host(test_at(to, n * sizeof *to), &there, at, n);
}

static inline void test_encode(enum codec w, void *to, const float *x, float *residual, size_t n)
{
    size_t bytes = n * sizeof *x;
    codec_encode(w, test_at(to, codec_bytes(w, n)), test_at(x, bytes),
                 residual ? test_at(residual, bytes) : NULL, n);
}

static inline void test_decode(enum codec w, float *x, const void *from, size_t n)
{
    codec_decode(w, test_at(x, n * sizeof *x), test_at(from, codec_bytes(w, n)), n);
}

static const struct transport test_transport = {.name = "test wire", .device = &test_device};

static const struct transport test_transport_whole = {.name = "whole test wire",
                                                      .device = &test_device_whole,
                                                      .open = test_open,
                                                      .close = test_close,
                                                      .post = test_post,
                                                      .look = test_look,
                                                      .join = test_join,
                                                      .encode = test_encode,
                                                      .decode = test_decode};

/* The same bytes in host memory, where tests look at them, and in a device's. */
struct twin {
    const struct device *device;
    size_t bytes;
    unsigned char *host, *there;
};

static inline struct twin twin_make(const struct transport *t, size_t bytes)
{
    struct twin w = {.device = t->device, .bytes = bytes};
    w.host = memory_take(bytes, 1, "a test");
    w.there = w.device->alloc(bytes);
    INVARIANT(w.there, "no room for %zu bytes on the device", bytes);
    w.device->copy_in(w.there, w.host, bytes);
    return w;
}

static inline void twin_put(struct twin *w)
{
    w->device->copy_in(w->there, w->host, w->bytes);
}

static inline void twin_get(struct twin *w)
{
    w->device->copy_out(w->host, w->there, w->bytes);
}

static inline void twin_free(struct twin *w)
{
    free(w->host);
    w->device->release(w->there);
}

#endif
