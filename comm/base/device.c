#define _DEFAULT_SOURCE /* madvise */
/* The host as a device, and what stands in for rows that another device does not have. */
#include "comm/base/device.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "comm/base/die.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/missing.h"

enum { LINE_BYTES = 64, BOUNCE = 16384 };
static const size_t huge_page_bytes = (size_t)2 << 20;

/* ---- the host ---- */

/* Large pages where the kernel has them: a model of gigabytes is walked through again and again,
 * and its first touch takes a fraction of the faults. Without them all is as well, only slower. */
static void *host_alloc(size_t bytes)
{
    void *memory = NULL;
    bool large = bytes >= 2 * huge_page_bytes;
    size_t align = large ? huge_page_bytes : (size_t)LINE_BYTES;
    if (posix_memalign(&memory, align, bytes) != 0) return NULL;
    if (large) madvise(memory, bytes / huge_page_bytes * huge_page_bytes, MADV_HUGEPAGE);
    return memory;
}

/* What the kernel would give without swapping; SIZE_MAX where it does not say. */
static size_t host_room(void)
{
    FILE *f = fopen("/proc/meminfo", "r");
    char line[128];
    size_t kib = 0;
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f))
        found = sscanf(line, "MemAvailable: %zu", &kib) == 1;
    if (f) fclose(f);
    return found ? kib * 1024 : SIZE_MAX;
}

static void host_copy(void *to, const void *from, size_t bytes)
{
    if (bytes > 0) memcpy(to, from, bytes);
}

#if defined(__SSE2__)
/* Past the caches, which would first read what is overwritten, and keep nothing of it that is
 * wanted soon: gradients of hundreds of MiB are set to 0 in every step. From a multiple of 16 on.
 */
static void fill_past_caches(unsigned char *to, int byte, size_t bytes)
{
    const __m128i sixteen = _mm_set1_epi8((char)byte);
    for (size_t at = 0; at < bytes; at += sizeof sixteen)
        _mm_stream_si128((__m128i *)(void *)(to + at), sixteen);
    _mm_sfence();
}
#else
static void fill_past_caches(unsigned char *to, int byte, size_t bytes)
{
    memset(to, byte, bytes);
}
#endif

static void host_fill(void *to, int byte, size_t bytes)
{
    enum { FEW = 4 << 20 }; /* stay in a cache */
    size_t lines = bytes / LINE_BYTES * LINE_BYTES;
    if (bytes >= FEW && (uintptr_t)to % LINE_BYTES == 0) {
        fill_past_caches(to, byte, lines);
        to = (unsigned char *)to + lines;
        bytes -= lines;
    }
    if (bytes > 0) memset(to, byte, bytes);
}

/* The kernel gives zeroed pages: writing zeros over them would walk through all of it again. Old
 * kernels (before 5.14) cannot be asked for pages without a touch. In pieces, so that signals are
 * heard in between. */
static void pages_renew(unsigned char *at, size_t bytes)
{
    const size_t most = 32 * huge_page_bytes;
    for (size_t i = 0, n; i < bytes; i += n) {
        n = bytes - i < most ? bytes - i : most;
        if (madvise(at + i, n, MADV_DONTNEED) != 0 || madvise(at + i, n, MADV_POPULATE_WRITE) != 0)
            memset(at + i, 0, n);
    }
}

/* Whole large pages by the kernel, what is beside them by hand. */
static void host_clear(void *fresh, size_t bytes)
{
    const size_t off = (uintptr_t)fresh % huge_page_bytes, head = off ? huge_page_bytes - off : 0;
    unsigned char *at = fresh;
    if (bytes < 2 * huge_page_bytes) {
        memset(at, 0, bytes);
        return;
    }
    const size_t whole = (bytes - head) / huge_page_bytes * huge_page_bytes;
    memset(at, 0, head);
    pages_renew(at + head, whole);
    memset(at + head + whole, 0, bytes - head - whole);
}

static void host_sync(void) {}

static void host_mark(struct device_mark *m)
{
    m->seconds = clock_now();
}

static double host_reached(struct device_mark *m)
{
    return m->seconds;
}

static void host_mark_free(struct device_mark *m)
{
    (void)m;
}

const struct device device_host = {.name = "host",
                                   .place = "this machine",
                                   .alloc = host_alloc,
                                   .release = free,
                                   .room = host_room,
                                   .copy_in = host_copy,
                                   .copy_out = host_copy,
                                   .copy = host_copy,
                                   .fill = host_fill,
                                   .clear = host_clear,
                                   .sync = host_sync,
                                   .mark = host_mark,
                                   .reached = host_reached,
                                   .mark_free = host_mark_free};

/* ---- rows that may be missing ---- */

size_t device_room(const struct device *d)
{
    return d->room ? d->room() : SIZE_MAX;
}

void *device_pinned(const struct device *d, size_t bytes, const char *what)
{
    if (!d->pinned_alloc) return memory_take(bytes, 1, what);
    void *at = d->pinned_alloc(bytes);
    SYS_OK(at, "use more ranks or hosts, or a smaller batch",
           "no pinned memory of %zu bytes for %s", bytes, what);
    memset(at, 0, bytes);
    return at;
}

void device_pinned_free(const struct device *d, void *at)
{
    if (d->pinned_release)
        d->pinned_release(at);
    else
        free(at);
}

/* Without a row of its own a device copies through a small buffer on the stack: no allocation, so
 * also allowed inside a step. */
void device_copy(const struct device *d, void *to, const void *from, size_t bytes)
{
    unsigned char bounce[BOUNCE];
    if (d->copy) {
        d->copy(to, from, bytes);
        return;
    }
    missing_row(d->name, "copy");
    for (size_t at = 0; at < bytes; at += BOUNCE) {
        size_t n = bytes - at < BOUNCE ? bytes - at : BOUNCE;
        d->copy_out(bounce, (const unsigned char *)from + at, n);
        d->copy_in((unsigned char *)to + at, bounce, n);
    }
}

/* The same small buffer, filled once and copied in as often as needed. */
void device_fill(const struct device *d, void *to, int byte, size_t bytes)
{
    unsigned char bounce[BOUNCE];
    if (d->fill) {
        d->fill(to, byte, bytes);
        return;
    }
    missing_row(d->name, "fill");
    host_fill(bounce, byte, sizeof bounce);
    for (size_t at = 0; at < bytes; at += BOUNCE)
        d->copy_in((unsigned char *)to + at, bounce, bytes - at < BOUNCE ? bytes - at : BOUNCE);
}

void device_clear(const struct device *d, void *fresh, size_t bytes)
{
    if (d->clear)
        d->clear(fresh, bytes);
    else
        device_fill(d, fresh, 0, bytes);
}

void device_sync(const struct device *d)
{
    if (d->sync) d->sync();
}

void device_mark(const struct device *d, struct device_mark *m)
{
    if (d->mark) {
        d->mark(m);
        return;
    }
    missing_row(d->name, "mark");
    m->seconds = device_clock(d);
}

double device_reached(const struct device *d, struct device_mark *m)
{
    return d->reached ? d->reached(m) : m->seconds;
}

void device_mark_free(const struct device *d, struct device_mark *m)
{
    if (d->mark_free) d->mark_free(m);
}

double device_clock(const struct device *d)
{
    device_sync(d);
    return clock_now();
}
