/* Memory that is needed later is touched meanwhile, by a thread that runs when nobody else wants
 * to: pages of gigabytes cost seconds, and a lack of them should show soon, not at the first use.
 * For memory of the host; local. */
#ifndef DUET_COMM_BASE_TOUCH_H
#define DUET_COMM_BASE_TOUCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct touch {
    unsigned char *memory;
    size_t bytes;
    atomic_size_t next; /* piece to be touched */
    pthread_t thread;
    bool on;
};

/* Fresh memory of device_host becomes zeros, beginning now. Nobody else touches it until
 * touch_end. */
void touch_begin(struct touch *t, void *memory, size_t bytes);
/* Touches what is left itself; returns when all is. For a touch that was not begun, or has ended:
 * nothing. */
void touch_end(struct touch *t);

#endif
