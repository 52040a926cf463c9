/* The table of a GPU (comm/cuda/device.h): on the emulated one, or, linked with the real runtime,
 * on the first of this machine. */
#include "tests/support/check_unit.h"

#include <string.h>

#include "comm/base/arena.h"
#include "comm/base/log.h"
#include "comm/base/missing.h"
#include "comm/base/stopwatch.h"
#include "comm/cuda/device.h"

static const struct device *d;

static void setup(void)
{
    struct problems p = {0};
    d = device_cuda(0, &p);
    problems_end_if_any(&p);
}

/* Around the size of what goes by way of pinned memory, and of its end. */
static const size_t sizes[] = {0, 1, 63, 100001, 262143, 262144, 262145, 300001};
enum { SIZES = sizeof sizes / sizeof *sizes, MOST = 300001, FILLED = 77 };

START_TEST(copies_and_fills)
{
    static unsigned char out[MOST + 1], in[MOST + 1];
    unsigned char *a = d->alloc(MOST), *b = d->alloc(MOST);
    ck_assert_ptr_nonnull(b);
    for (int k = 0; k < SIZES; k++) {
        size_t n = sizes[k];
        for (size_t i = 0; i < MOST; i++)
            out[i] = (unsigned char)(i < n ? i * 31 + i / 7 + n : FILLED);
        device_fill(d, b, FILLED, MOST);
        d->copy_in(a, out, n);
        device_copy(d, b, a, n);
        d->copy_out(in, b, MOST);
        ck_assert_mem_eq(in, out, MOST);
    }
    d->release(a);
    d->release(b);
    d->release(NULL);
    ck_assert_uint_eq(missing_uses("cuda", "fill") + missing_uses("cuda", "copy"), 0);
}
END_TEST

/* What was handed to copy_in may be overwritten at once, however much is on its way. */
START_TEST(copies_in_are_taken_when_they_return)
{
    enum { PIECES = 40, PIECE = 30000 };
    static unsigned char piece[PIECE], back[PIECE];
    unsigned char *at = d->alloc((size_t)PIECES * PIECE);
    for (int i = 0; i < PIECES; i++) {
        memset(piece, i + 1, PIECE);
        d->copy_in(at + (size_t)i * PIECE, piece, PIECE);
    }
    for (int i = 0; i < PIECES; i++) {
        memset(piece, i + 1, PIECE);
        d->copy_out(back, at + (size_t)i * PIECE, PIECE);
        ck_assert_mem_eq(back, piece, PIECE);
    }
    d->release(at);
}
END_TEST

START_TEST(arenas_and_room)
{
    struct arena a = {0};
    static unsigned char host[1000];
    size_t room = device_room(d);
    arena_take(&a, 1 << 20);
    arena_back(&a, d, a.used);
    ck_assert_uint_ge(room - device_room(d), 1 << 20);
    void *at = arena_take(&a, sizeof host);
    memset(host, 1, sizeof host);
    d->copy_out(host, at, sizeof host);
    for (size_t i = 0; i < sizeof host; i++) ck_assert_int_eq(host[i], 0);
    arena_free(&a);
    ck_assert_ptr_null(d->alloc((size_t)1 << 60));
    device_sync(d); /* and no error is left behind */
}
END_TEST

START_TEST(without_room_it_ends)
{
    struct arena a = {0};
    arena_back(&a, d, (size_t)1 << 60);
}
END_TEST

static void spend(double seconds)
{
    for (double end = clock_now() + seconds; clock_now() < end;) {
    }
}

/* Marks in the order of the stream, on the clock of the host. */
START_TEST(marks_are_on_the_clock)
{
    enum { MARKS = 5 };
    struct device_mark m[MARKS] = {{0}};
    void *at = d->alloc(1000);
    double before = device_clock(d), last = before;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MARKS; i++) {
            device_fill(d, at, i, 1000);
            device_mark(d, &m[i]);
            spend(1e-4);
        }
        for (int i = 0; i < MARKS; i++) {
            double seconds = device_reached(d, &m[i]);
            ck_assert_msg(seconds >= last - 1e-5, "%g after %g", seconds - before, last - before);
            last = seconds;
        }
        ck_assert(last <= device_clock(d) + 1e-5);
    }
    for (int i = 0; i < MARKS; i++) device_mark_free(d, &m[i]);
    device_mark_free(d, &m[0]);
    d->release(at);
}
END_TEST

START_TEST(a_stopwatch_adds_spans_up)
{
    struct stopwatch w = {.device = d};
    void *at = d->alloc(1000);
    for (int i = 0; i < 3 * STOPWATCH_OPEN / 2; i++) {
        stopwatch_begin(&w);
        device_fill(d, at, i, 1000);
        stopwatch_end(&w);
    }
    ck_assert(stopwatch_take(&w) > 0);
    ck_assert(stopwatch_take(&w) == 0);
    stopwatch_free(&w);
    d->release(at);
}
END_TEST

START_TEST(one_a_process)
{
    struct problems p = {0};
    ck_assert_ptr_eq(device_cuda(0, &p), d);
    device_cuda(1, &p);
}
END_TEST

#define TESTS(X)                            \
    X(copies_and_fills)                     \
    X(copies_in_are_taken_when_they_return) \
    X(arenas_and_room)                      \
    X(without_room_it_ends, .exit = 1)      \
    X(marks_are_on_the_clock)               \
    X(a_stopwatch_adds_spans_up)            \
    X(one_a_process, .exit = 3)

UNIT_MAIN("device", .setup = setup)
