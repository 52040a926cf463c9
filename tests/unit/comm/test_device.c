/* The tables of devices: the host's, one that lacks every row that may be missing, one that has
 * all. The memory of the latter two faults when the host touches it. */
#include "tests/support/check_unit.h"
#include "tests/support/test_device.h"

#include <signal.h>

#include "comm/base/arena.h"
#include "comm/base/missing.h"
#include "comm/base/stopwatch.h"

static const struct device *const devices[] = {&device_host, &test_device, &test_device_whole};
enum { DEVICES = sizeof devices / sizeof *devices };

/* Sizes around those of a copy by way of the host. */
static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 100001};
enum { SIZES = sizeof sizes / sizeof *sizes, MOST = 100001 };

START_TEST(copies_and_fills)
{
    static unsigned char out[MOST + 1], in[MOST + 1];
    const struct device *d = devices[_i];
    unsigned char *a = d->alloc(MOST), *b = d->alloc(MOST);
    ck_assert_ptr_nonnull(b);
    for (size_t i = 0; i < MOST; i++) out[i] = (unsigned char)(i * 31 + i / 7);
    for (int k = 0; k < SIZES; k++) {
        size_t n = sizes[k];
        device_fill(d, b, 77, MOST);
        d->copy_in(a, out, n);
        device_copy(d, b, a, n);
        d->copy_out(in, b, MOST);
        ck_assert_mem_eq(in, out, n);
        for (size_t i = n; i < MOST; i++) ck_assert_int_eq(in[i], 77);
    }
    device_sync(d);
    d->release(a);
    d->release(b);
    d->release(NULL);
}
END_TEST

/* Large ones from a line's start go another way; the bytes beside stay. */
START_TEST(large_fills)
{
    enum { N = (5 << 20) + 77, AROUND = 128 };
    unsigned char *a = device_host.alloc(N + 2 * AROUND);
    ck_assert_ptr_nonnull(a);
    for (size_t at = AROUND; at < AROUND + 14; at += 13) {
        memset(a, 1, N + 2 * AROUND);
        device_fill(&device_host, a + at, 0xab, N);
        for (size_t i = 0; i < N + 2 * AROUND; i++)
            if (a[i] != (i >= at && i < at + N ? 0xab : 1)) ck_abort_msg("byte %zu of %zu", i, at);
    }
    device_host.release(a);
}
END_TEST

START_TEST(missing_rows_are_counted)
{
    unsigned char *a = test_device.alloc(100), *b = test_device.alloc(100);
    struct device_mark m = {0};
    ck_assert_uint_eq(missing_uses("test", "fill"), 0);
    for (int i = 0; i < 3; i++) device_fill(&test_device, a, 1, 100);
    device_copy(&test_device, b, a, 100);
    device_mark(&test_device, &m);
    ck_assert_uint_eq(missing_uses("test", "fill"), 3);
    ck_assert_uint_eq(missing_uses("test", "copy"), 1);
    ck_assert_uint_eq(missing_uses("test", "mark"), 1);
    device_fill(&test_device_whole, a, 1, 100);
    device_copy(&test_device_whole, b, a, 100);
    device_mark(&test_device_whole, &m);
    device_mark_free(&test_device_whole, &m);
    ck_assert_uint_eq(missing_uses("whole test", "fill"), 0);
    ck_assert_uint_eq(missing_uses("whole test", "copy"), 0);
    ck_assert_uint_eq(missing_uses("whole test", "mark"), 0);
    test_device.release(a);
    test_device.release(b);
}
END_TEST

START_TEST(reading_device_memory_faults)
{
    volatile unsigned char *a = test_device.alloc(100);
    ck_assert_int_eq(a[0], 0);
}
END_TEST

START_TEST(writing_device_memory_faults)
{
    volatile unsigned char *a = test_device.alloc(100);
    a[99] = 1;
}
END_TEST

/* copy_in and copy_out have sides; a device of its own finds who mixes them up. */
START_TEST(copying_the_wrong_way_is_a_bug)
{
    unsigned char *a = test_device.alloc(100), host[100] = {0};
    test_device.copy_in(host, a, 100);
}
END_TEST

START_TEST(arenas_belong_to_a_device)
{
    const struct device *d = devices[_i];
    struct arena a = {0};
    unsigned char host[1000];
    size_t live = arena_live_bytes();
    arena_take(&a, 1000);
    arena_back(&a, d, a.used);
    ck_assert_ptr_eq(a.device, d);
    unsigned char *at = arena_take(&a, 1000);
    memset(host, 1, sizeof host);
    d->copy_out(host, at, sizeof host);
    for (size_t i = 0; i < sizeof host; i++) ck_assert_int_eq(host[i], 0);
    ck_assert_uint_eq(arena_live_bytes(), live + 1024);
    arena_free(&a);
    ck_assert_uint_eq(arena_live_bytes(), live);
}
END_TEST

/* A device's arena has the host's beside it; the host's own is both. */
START_TEST(structures_lie_beside_tensors)
{
    const struct device *d = devices[_i];
    struct arena a = {0}, host = {0};
    size_t live = arena_live_bytes();
    bool one = d == &device_host;
    int *number = NULL;
    arena_beside(&a, d, &host);
    for (int round = 0; round < 2; round++) {
        arena_take(&a, 1000);
        number = arena_take(arena_host(&a), sizeof *number);
        ck_assert_uint_eq(a.used, one ? 1024 + 64 : 1024);
        ck_assert_uint_eq(host.used, one ? 0 : 64);
        if (round == 0) arena_back(&a, d, a.used);
    }
    *number = 1; /* no fault */
    ck_assert_ptr_eq(arena_host(&a)->device, &device_host);
    ck_assert_uint_eq(arena_live_bytes(), live + 1024 + 64);
    arena_free(&a);
    ck_assert_uint_eq(arena_live_bytes(), live);
}
END_TEST

START_TEST(a_device_without_room_says_so)
{
    struct arena a = {0};
    arena_back(&a, devices[_i], (size_t)1 << 60);
}
END_TEST

static void spend(double seconds)
{
    for (double end = clock_now() + seconds; clock_now() < end;) {
    }
}

/* More spans than it keeps marks of; what lies between spans is not counted. */
START_TEST(a_stopwatch_adds_spans_up)
{
    enum { STRETCHES = 3 * STOPWATCH_OPEN / 2 };
    struct stopwatch w = {.device = devices[_i]};
    double least = 0, most = 0;
    for (int i = 0; i < STRETCHES; i++) {
        double before = clock_now();
        stopwatch_begin(&w);
        double inside = clock_now();
        spend(200e-6);
        least += clock_now() - inside;
        stopwatch_end(&w);
        most += clock_now() - before;
        spend(200e-6);
    }
    double seconds = stopwatch_take(&w);
    ck_assert_msg(seconds >= least && seconds <= most, "%g of %g to %g", seconds, least, most);
    ck_assert(stopwatch_take(&w) == 0);
    stopwatch_free(&w);
}
END_TEST

START_TEST(clocks_do_not_go_back)
{
    struct device_mark m = {0};
    double before = device_clock(devices[_i]);
    device_mark(devices[_i], &m);
    double at = device_reached(devices[_i], &m);
    ck_assert(before <= at && at <= device_clock(devices[_i]));
    device_mark_free(devices[_i], &m);
}
END_TEST

/* AddressSanitizer reports the fault and exits with 1. */
#ifdef __SANITIZE_ADDRESS__
#define FAULT .exit = 1
#else
#define FAULT .signal = SIGSEGV
#endif

#define TESTS(X)                                               \
    X(copies_and_fills, .to = DEVICES)                         \
    X(large_fills)                                             \
    X(missing_rows_are_counted)                                \
    X(reading_device_memory_faults, FAULT)                     \
    X(writing_device_memory_faults, FAULT)                     \
    X(copying_the_wrong_way_is_a_bug, .exit = 3)               \
    X(arenas_belong_to_a_device, .to = DEVICES)                \
    X(structures_lie_beside_tensors, .to = DEVICES)            \
    X(a_device_without_room_says_so, .exit = 1, .to = DEVICES) \
    X(a_stopwatch_adds_spans_up, .to = DEVICES)                \
    X(clocks_do_not_go_back, .to = DEVICES)

UNIT_MAIN("device")
