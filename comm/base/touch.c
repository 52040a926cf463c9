#define _DEFAULT_SOURCE /* setpriority */
#include "comm/base/touch.h"

#include <sys/resource.h>

#include "comm/base/device.h"
#include "comm/base/thread.h"

static const size_t piece_bytes = (size_t)16 << 20;

/* Pieces are claimed one by one, by the thread and by who cannot wait for it any longer. */
static void touch_pieces(struct touch *t)
{
    for (;;) {
        const size_t at = atomic_fetch_add(&t->next, 1) * piece_bytes;
        if (at >= t->bytes) return;
        const size_t left = t->bytes - at;
        device_clear(&device_host, t->memory + at, left < piece_bytes ? left : piece_bytes);
    }
}

/* Linux takes the number 0 for the calling thread, not for the process. Without the lower priority
 * it touches, too. */
static void *body(void *arg)
{
    (void)setpriority(PRIO_PROCESS, 0, 19);
    touch_pieces(arg);
    return NULL;
}

/* One piece takes milliseconds: not worth a thread. */
void touch_begin(struct touch *t, void *memory, size_t bytes)
{
    if (bytes <= piece_bytes) {
        device_clear(&device_host, memory, bytes);
        return;
    }
    t->memory = memory;
    t->bytes = bytes;
    atomic_store(&t->next, 0);
    t->on = true;
    thread_start(&t->thread, body, t);
}

void touch_end(struct touch *t)
{
    if (!t->on) return;
    touch_pieces(t);
    pthread_join(t->thread, NULL);
    t->on = false;
}
