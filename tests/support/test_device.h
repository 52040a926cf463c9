/* A device whose memory the host cannot touch: what alloc gives are addresses of a range without
 * access rights, so that whoever dereferences device memory is found by a fault on the spot. The
 * bytes lie in a second range of the same size, which only the rows below know.
 *
 * test_device has no row that may be missing; test_device_whole has all of them. */
#ifndef DUET_TESTS_SUPPORT_TEST_DEVICE_H
#define DUET_TESTS_SUPPORT_TEST_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "comm/base/device.h"
#include "comm/base/die.h"
#include "comm/base/log.h"

enum { TEST_DEVICE_LINE = 64 };
static const size_t test_device_bytes = (size_t)64 << 20;

static struct {
    unsigned char *shown, *bytes; /* the range without rights; the bytes behind it */
    size_t used;
    int live; /* pieces; with none, the pool begins again */
    pthread_mutex_t lock;
} test_pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline unsigned char *test_pool_map(int rights)
{
    /* /dev/zero rather than MAP_ANONYMOUS, which POSIX does not have */
    FILE *zero = fopen("/dev/zero", "r+");
    SYS_OK(zero, NULL, "no /dev/zero");
    void *at = mmap(NULL, test_device_bytes, rights, MAP_PRIVATE, fileno(zero), 0);
    SYS_OK(at != MAP_FAILED, NULL, "mmap");
    fclose(zero);
    return at;
}

static inline void *test_alloc(size_t bytes)
{
    pthread_mutex_lock(&test_pool.lock);
    if (!test_pool.shown) {
        test_pool.shown = test_pool_map(PROT_NONE);
        test_pool.bytes = test_pool_map(PROT_READ | PROT_WRITE);
    }
    if (test_pool.live == 0) test_pool.used = 0;
    size_t at = test_pool.used,
           need = (bytes + TEST_DEVICE_LINE) / TEST_DEVICE_LINE * TEST_DEVICE_LINE;
    bool room = need <= test_device_bytes - at;
    if (room) {
        test_pool.used += need;
        test_pool.live++;
        memset(test_pool.bytes + at, 0xa5, need);
    }
    pthread_mutex_unlock(&test_pool.lock);
    return room ? test_pool.shown + at : NULL;
}

static inline void test_release(void *at)
{
    pthread_mutex_lock(&test_pool.lock);
    if (at) test_pool.live--;
    pthread_mutex_unlock(&test_pool.lock);
}

static inline bool test_is_device(const void *at, size_t bytes)
{
    size_t from = (size_t)((const unsigned char *)at - test_pool.shown);
    return test_pool.shown && from < test_device_bytes && bytes <= test_device_bytes - from;
}

/* Where the bytes are: a kernel's view. */
static inline void *test_at(const void *at, size_t bytes)
{
    INVARIANT(test_is_device(at, bytes), "%p, %zu bytes: not the device's", at, bytes);
    return test_pool.bytes + ((const unsigned char *)at - test_pool.shown);
}

static inline void test_copy_in(void *to, const void *from, size_t bytes)
{
    if (bytes == 0) return;
    INVARIANT(!test_is_device(from, 1), "copy_in from the device");
    memcpy(test_at(to, bytes), from, bytes);
}

static inline void test_copy_out(void *to, const void *from, size_t bytes)
{
    if (bytes == 0) return;
    INVARIANT(!test_is_device(to, 1), "copy_out to the device");
    memcpy(to, test_at(from, bytes), bytes);
}

static inline void test_copy(void *to, const void *from, size_t bytes)
{
    if (bytes > 0) memcpy(test_at(to, bytes), test_at(from, bytes), bytes);
}

static inline void test_fill(void *to, int byte, size_t bytes)
{
    if (bytes > 0) memset(test_at(to, bytes), byte, bytes);
}

static inline size_t test_room(void)
{
    return test_device_bytes - test_pool.used;
}

/* Events as a GPU has them: a thing of the device's, made by the first mark, read after waiting. */
struct test_event {
    double at;
};

static inline void test_mark(struct device_mark *m)
{
    if (!m->own) m->own = calloc(1, sizeof(struct test_event));
    ((struct test_event *)m->own)->at = clock_now();
}

static inline double test_reached(struct device_mark *m)
{
    return m->seconds = ((struct test_event *)m->own)->at;
}

static inline void test_mark_free(struct device_mark *m)
{
    free(m->own);
    m->own = NULL;
}

static const struct device test_device = {.name = "test",
                                          .place = "the test device",
                                          .alloc = test_alloc,
                                          .release = test_release,
                                          .copy_in = test_copy_in,
                                          .copy_out = test_copy_out};

static inline void test_sync(void) {}

static const struct device test_device_whole = {.name = "whole test",
                                                .place = "the test device",
                                                .alloc = test_alloc,
                                                .release = test_release,
                                                .room = test_room,
                                                .copy_in = test_copy_in,
                                                .copy_out = test_copy_out,
                                                .copy = test_copy,
                                                .fill = test_fill,
                                                .sync = test_sync,
                                                .mark = test_mark,
                                                .reached = test_reached,
                                                .mark_free = test_mark_free};

#endif
