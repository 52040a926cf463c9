#define _GNU_SOURCE /* memfd_create */
#include "comm/base/floor.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000, SAME_MS = 3000 };

/* 0: free; else the milliseconds when it was taken, times two, and 1 when the message is written.
 */
typedef _Atomic uint64_t floor_word;

static struct {
    floor_word *shared; /* NULL: all speak */
    uint64_t mine;      /* what we wrote there */
    int fd;             /* until settled */
} place = {.fd = -1};

static void map(int fd)
{
    void *memory = mmap(NULL, sizeof(floor_word), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    place.shared = memory == MAP_FAILED ? NULL : memory;
}

void floor_open(char path[FLOOR_PATH])
{
    path[0] = 0;
    place.fd = memfd_create("duet-floor", MFD_CLOEXEC);
    if (place.fd < 0 || ftruncate(place.fd, sizeof(floor_word)) != 0) return;
    map(place.fd);
    snprintf(path, FLOOR_PATH, "/proc/%ld/fd/%d", (long)getpid(), place.fd);
}

void floor_join(const char *path)
{
    int fd = path[0] ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (place.shared) munmap((void *)place.shared, sizeof(floor_word));
    place.shared = NULL;
    floor_settle();
    if (fd < 0) return;
    map(fd);
    close(fd);
}

void floor_settle(void)
{
    if (place.fd >= 0) close(place.fd);
    place.fd = -1;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The shared word is 2 x milliseconds, + 1 once the message is written: a compare-and-swap decides
 * among ranks that fail in the same moment. A taker that dies before it writes loses the floor
 * after PATIENCE_MS. */
bool floor_take(void)
{
    const struct timespec nap = {.tv_nsec = 10000000};
    if (!place.shared || place.mine) return true;
    for (;; nanosleep(&nap, NULL)) {
        uint64_t seen = atomic_load(place.shared), now = now_ms();
        uint64_t age = now > seen / 2 ? now - seen / 2 : 0;
        bool written = seen % 2 == 1;
        if (written && age < SAME_MS) return false;
        if (seen && !written && age < PATIENCE_MS) continue;
        if (!atomic_compare_exchange_strong(place.shared, &seen, 2 * now)) continue;
        place.mine = 2 * now;
        return true;
    }
}

void floor_spoken(void)
{
    uint64_t mine = place.mine;
    if (mine) atomic_compare_exchange_strong(place.shared, &mine, mine + 1);
}
