/* What spans of work take on a device, added up: begin and end mark its stream and do not wait,
 * so that a loop that posts work is not held up by being timed. On the host that is two looks at
 * the clock. */
#ifndef DUET_COMM_BASE_STOPWATCH_H
#define DUET_COMM_BASE_STOPWATCH_H

#include "comm/base/device.h"

enum { STOPWATCH_OPEN = 32 }; /* spans whose marks are kept before it must wait for them */

struct stopwatch {
    const struct device *device;
    double seconds; /* of the spans settled */
    int n;          /* not settled yet */
    struct device_mark begin[STOPWATCH_OPEN], end[STOPWATCH_OPEN];
};

/* A span begins and ends; one at a time. Local. */
void stopwatch_begin(struct stopwatch *w);
void stopwatch_end(struct stopwatch *w);
/* Seconds of all spans since the last call, when the device is through with them. */
double stopwatch_take(struct stopwatch *w);
void stopwatch_free(struct stopwatch *w);

#endif
