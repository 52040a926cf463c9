/* A GPU's sums and rounded numbers (comm/cuda/transport.h) have the bits of the host's. On the
 * emulated GPU, or a real one. */
#include "tests/support/check_unit.h"

#include <math.h>
#include <string.h>

#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/cuda/device.h"
#include "comm/cuda/transport.h"

enum { N = 1000, AT = 2 * CODEC_BLOCK, ALL = AT + N, MOST = 300 };
static const struct transport *gpu;

static void setup(void)
{
    struct problems p = {0};
    device_cuda(0, &p);
    problems_end_if_any(&p);
    gpu = transport_cuda();
}

/* Numbers of all sizes; one block has a NaN, one an infinity, one is of denormals. */
static float *numbers(unsigned seed)
{
    float *x = memory_take(ALL, sizeof *x, "a test");
    unsigned s = seed * 2654435761u + 1;
    for (int i = 0; i < ALL; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = ldexpf((float)(s >> 8) / 8388608.0f - 1, (int)(s % 31) - 15);
    }
    x[AT + 3] = seed % 3 == 0 ? NAN : 1;
    x[AT + 130] = seed % 3 == 1 ? INFINITY : -1;
    for (int i = 256; i < 384; i++) x[AT + i] *= 0x1p-130f;
    return x;
}

static void *there_of(const void *host, size_t bytes)
{
    void *there = gpu->device->alloc(bytes);
    gpu->device->copy_in(there, host, bytes);
    return there;
}

/* NaNs may differ in their bits. */
static void same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(memcmp(&a[i], &b[i], sizeof *a) == 0 || (isnan(a[i]) && isnan(b[i])),
                      "number %zu: %g, %g", i, (double)a[i], (double)b[i]);
}

static struct join_term term_made(enum codec w, unsigned seed, void **host)
{
    float *x = numbers(seed);
    *host = memory_take(codec_bytes(w, ALL), 1, "a test");
    codec_encode(w, *host, x, NULL, ALL);
    free(x);
    return (struct join_term){w, there_of(*host, codec_bytes(w, ALL))};
}

/* Terms of every form, in runs, after another or not; more of them than a launch takes. */
START_TEST(sums_are_the_hosts)
{
    static const struct {
        int terms, inner;
        bool before;
        enum join_op op;
    } cases[] = {{1, 1, false, JOIN_SUM},
                 {2, 1, false, JOIN_SUM},
                 {6, 3, true, JOIN_SUM},
                 {6, 2, false, JOIN_MAX},
                 {MOST, 3, true, JOIN_SUM}};
    static struct join_term here[MOST + 1], there[MOST + 1];
    static void *host[MOST + 1];
    static float sum[N], right[N];
    for (int i = 0; i <= MOST; i++) {
        there[i] = term_made((enum codec)(i % 3), (unsigned)i, &host[i]);
        here[i] = (struct join_term){there[i].wire, host[i]};
    }
    float *to = gpu->device->alloc(sizeof sum);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct join j = {cases[k].op, cases[k].before ? here : NULL, here + 1, cases[k].terms,
                         cases[k].inner};
        join_host(right, &j, AT, N);
        j.before = cases[k].before ? there : NULL, j.term = there + 1;
        gpu->join(to, &j, AT, N);
        gpu->device->copy_out(sum, to, sizeof sum);
        same(sum, right, N);
    }
    for (int i = 0; i <= MOST; i++) free(host[i]);
}
END_TEST

START_TEST(rounded_numbers_are_the_hosts)
{
    enum codec w = (enum codec)(_i / 2);
    size_t bytes = codec_bytes(w, ALL);
    float *x = numbers((unsigned)_i), *residual = numbers(2), back[ALL];
    unsigned char *right = memory_take(bytes, 1, "a test");
    for (int i = 0; i < ALL; i++) residual[i] = isfinite(residual[i]) ? residual[i] : 0;
    float *x_there = there_of(x, sizeof back), *kept = there_of(residual, sizeof back);
    unsigned char *there = gpu->device->alloc(bytes);
    bool with = _i % 2;
    gpu->encode(w, there, x_there, with ? kept : NULL, ALL);
    codec_encode(w, right, x, with ? residual : NULL, ALL);
    gpu->device->copy_out(back, kept, sizeof back);
    same(back, residual, ALL);
    gpu->decode(w, x_there, there, ALL);
    codec_decode(w, x, right, ALL);
    gpu->device->copy_out(back, x_there, sizeof back);
    same(back, x, ALL);
    free(x);
    free(residual);
    free(right);
}
END_TEST

#define TESTS(X)          \
    X(sums_are_the_hosts) \
    X(rounded_numbers_are_the_hosts, .to = 6)

UNIT_MAIN("sums", .setup = setup, .timeout_s = 60)
