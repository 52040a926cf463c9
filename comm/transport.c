/* What stands in for rows that a transport does not have. */
#include "comm/transport.h"

#include <stdlib.h>

#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "comm/base/missing.h"

const struct transport *transport_wire(const struct transport *t)
{
    INVARIANT(!t->open == !t->close && !t->open == !t->post && !t->open == !t->look,
              "%s has some rows of a wire, not all", t->name);
    if (t->open) return t;
    missing_row(t->name, "wire");
    return &transport_staged;
}

/* Elements [at, at + n) of a term, in host memory that is the caller's to free. */
static struct join_term fetched(const struct device *d, const struct join_term *t, size_t at,
                                size_t n)
{
    size_t bytes = codec_bytes(t->wire, n);
    void *host = memory_take(bytes, 1, "sums of a device that cannot form them");
    d->copy_out(host, join_at(t, at), bytes);
    return (struct join_term){t->wire, host};
}

static void term_free(const struct join_term *t)
{
    union {
        const void *in;
        void *out;
    } at = {.in = t->at};
    free(at.out);
}

/* A device without the row: its terms are fetched, summed on the host, and the sum copied in. Slow,
 * allocates, and is counted (missing.h). */
void transport_join(const struct transport *t, float *to, const struct join *j, size_t at, size_t n)
{
    if (t->join) {
        t->join(to, j, at, n);
        return;
    }
    missing_row(t->name, "join");
    const struct device *d = t->device;
    struct join host = *j;
    struct join_term *term = memory_take((size_t)j->terms, sizeof *term, "terms of a sum"), before;
    float *sum = memory_take(n, sizeof *sum, "sums of a device that cannot form them");
    for (int i = 0; i < j->terms; i++) term[i] = fetched(d, &j->term[i], at, n);
    host.term = term;
    if (j->before) {
        before = fetched(d, j->before, at, n);
        host.before = &before;
    }
    join_host(sum, &host, 0, n);
    d->copy_in(to, sum, n * sizeof *sum);
    for (int i = 0; i < j->terms; i++) term_free(&term[i]);
    if (j->before) term_free(&before);
    free(term);
    free(sum);
}

void transport_add(const struct transport *t, float *to, const float *a, const float *b, size_t n)
{
    const struct join_term term[] = {{CODEC_FP32, a}, {CODEC_FP32, b}};
    const struct join j = {.op = JOIN_SUM, .term = term, .terms = 2, .inner = 1};
    transport_join(t, to, &j, 0, n);
}

/* As transport_join: by way of the host where the device has no row. */
void transport_encode(const struct transport *t, enum codec w, void *to, const float *x,
                      float *residual, size_t n)
{
    if (t->encode) {
        t->encode(w, to, x, residual, n);
        return;
    }
    missing_row(t->name, "encode");
    const struct device *d = t->device;
    size_t bytes = n * sizeof *x, coded_bytes = codec_bytes(w, n);
    float *plain = memory_take(2 * n, sizeof *plain, "numbers to be rounded"), *kept = plain + n;
    void *coded = memory_take(coded_bytes, 1, "rounded numbers");
    d->copy_out(plain, x, bytes);
    if (residual) d->copy_out(kept, residual, bytes);
    codec_encode(w, coded, plain, residual ? kept : NULL, n);
    d->copy_in(to, coded, coded_bytes);
    if (residual) d->copy_in(residual, kept, bytes);
    free(plain);
    free(coded);
}

/* As transport_join: by way of the host where the device has no row. */
void transport_decode(const struct transport *t, enum codec w, float *x, const void *from, size_t n)
{
    if (t->decode) {
        t->decode(w, x, from, n);
        return;
    }
    missing_row(t->name, "decode");
    struct join_term coded = fetched(t->device, &(struct join_term){w, from}, 0, n);
    float *plain = memory_take(n, sizeof *plain, "numbers that were rounded");
    codec_decode(w, plain, coded.at, n);
    t->device->copy_in(x, plain, n * sizeof *plain);
    free(plain);
    term_free(&coded);
}
