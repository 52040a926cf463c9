/* Arenas: measuring equals placing, alignment, zeroes, marks, counts; a full one is our bug (exit
 * 3). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "comm/base/arena.h"
#include "comm/base/touch.h"
#include "tests/support/check_unit.h"

struct thing {
    float *a;
    char *b;
    double *c;
};

static void thing_place(struct thing *t, struct arena *a)
{
    t->a = arena_take_n(a, 100, sizeof *t->a);
    t->b = arena_take(a, 3);
    t->c = arena_take_n(a, 7, sizeof *t->c);
}

START_TEST(measures_then_places)
{
    struct arena a = {0};
    struct thing t;
    thing_place(&t, &a);
    ck_assert_ptr_null(t.a);
    ck_assert_uint_eq(a.used, 448 + 64 + 64);
    arena_back(&a, &device_host, a.used);
    ck_assert_uint_eq(a.used, 0);
    thing_place(&t, &a);
    ck_assert_uint_eq(a.used, a.size);
    ck_assert_uint_eq((uintptr_t)t.a % 64, 0);
    ck_assert_uint_eq((uintptr_t)t.b % 64, 0);
    ck_assert_uint_eq((uintptr_t)t.c % 64, 0);
    ck_assert_ptr_eq((char *)t.a + 448, t.b);
    for (size_t i = 0; i < a.size; i++) ck_assert_int_eq(a.base[i], 0);
    arena_free(&a);
    ck_assert_ptr_null(a.base);
}
END_TEST

START_TEST(marks_and_counts)
{
    size_t live = arena_live_bytes();
    long count = arena_allocations();
    struct arena a = {0}, empty = {0};
    arena_back(&a, &device_host, (size_t)5 << 20); /* large: on a huge page's border */
    arena_back(&empty, &device_host, 0);
    ck_assert_uint_eq(arena_live_bytes(), live + ((size_t)5 << 20) + 64);
    ck_assert_int_eq(arena_allocations(), count + 2);
    arena_take(&a, 100);
    size_t mark = arena_mark(&a);
    void *first = arena_take(&a, 1000);
    arena_release(&a, mark);
    ck_assert_ptr_eq(arena_take(&a, 10), first);
    arena_free(&a);
    arena_free(&empty);
    arena_free(&a);
    arena_free(NULL);
    ck_assert_uint_eq(arena_live_bytes(), live);
    ck_assert_int_eq(arena_allocations(), count + 2);
}
END_TEST

START_TEST(kinds_are_counted)
{
    struct arena a = {0};
    arena_take(&a, 64);
    ck_assert_int_eq(arena_kind(&a, ARENA_GRADIENTS), ARENA_BUFFERS);
    arena_take(&a, 65);
    ck_assert_int_eq(arena_kind(&a, ARENA_BUFFERS), ARENA_GRADIENTS);
    ck_assert_uint_eq(a.of[ARENA_GRADIENTS], 128);
    ck_assert_uint_eq(a.of[ARENA_BUFFERS], 64);
    ck_assert_uint_eq(a.used, 192);
    arena_back(&a, &device_host, a.used);
    ck_assert_uint_eq(a.of[ARENA_GRADIENTS], 0);
    ck_assert_str_eq(arena_kind_name(ARENA_CACHES), "caches");
    arena_free(&a);
}
END_TEST

START_TEST(full_is_a_bug)
{
    struct arena a = {0};
    arena_back(&a, &device_host, 128);
    arena_take(&a, 64);
    arena_take(&a, 65);
}
END_TEST

START_TEST(overflow_is_a_bug)
{
    struct arena a = {0};
    arena_take_n(&a, SIZE_MAX / 4, 8);
}
END_TEST

START_TEST(sum_overflow_is_a_bug)
{
    struct arena a = {0};
    arena_take(&a, SIZE_MAX - 200);
    arena_take(&a, 200);
}
END_TEST

START_TEST(too_much_is_the_worlds_failure)
{
    struct arena a = {0};
    arena_back(&a, &device_host, (size_t)1 << 60);
}
END_TEST

/* Memory that is not new, from an odd place to an odd place: zeros there, and nothing beside it. */
static void check_cleared(const unsigned char *at, size_t bytes, size_t lo, size_t hi)
{
    size_t wrong = 0;
    for (size_t i = 0; i < bytes; i++) wrong += at[i] != (i >= lo && i < hi ? 0 : 7);
    ck_assert_uint_eq(wrong, 0);
}

START_TEST(clears_what_it_is_asked_to)
{
    static const size_t at[][2] = {{0, 9000000},       {1, 8999999},       {4095, 4097},
                                   {2097151, 6291457}, {2097152, 6291456}, {5, 5}};
    const size_t bytes = 9000000;
    unsigned char *memory = device_host.alloc(bytes);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        memset(memory, 7, bytes);
        device_clear(&device_host, memory + at[i][0], at[i][1] - at[i][0]);
        check_cleared(memory, bytes, at[i][0], at[i][1]);
    }
    device_host.release(memory);
}
END_TEST

/* By the thread or by who waits for it, all of it once. */
START_TEST(touches_meanwhile)
{
    const size_t bytes = (size_t)40 << 20, lo = 4099, hi = bytes - 77;
    unsigned char *memory = device_host.alloc(bytes);
    struct touch t = {0};
    touch_end(&t);
    for (int i = 0; i < 3; i++) {
        memset(memory, 7, bytes);
        touch_begin(&t, memory + lo, hi - lo);
        if (i == 1) nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        touch_end(&t);
        check_cleared(memory, bytes, lo, hi);
        memset(memory, 7, bytes);
        touch_end(&t);
        ck_assert_uint_eq(memory[lo], 7);
    }
    device_host.release(memory);
}
END_TEST

#define TESTS(X)                        \
    X(clears_what_it_is_asked_to)       \
    X(touches_meanwhile)                \
    X(measures_then_places)             \
    X(marks_and_counts)                 \
    X(kinds_are_counted)                \
    X(full_is_a_bug, .exit = 3)         \
    X(overflow_is_a_bug, .exit = 3)     \
    X(sum_overflow_is_a_bug, .exit = 3) \
    X(too_much_is_the_worlds_failure, .exit = 1)

UNIT_MAIN("arena")
