#include "comm/base/stopwatch.h"

static void settle(struct stopwatch *w)
{
    for (int i = 0; i < w->n; i++)
        w->seconds +=
            device_reached(w->device, &w->end[i]) - device_reached(w->device, &w->begin[i]);
    w->n = 0;
}

void stopwatch_begin(struct stopwatch *w)
{
    if (w->n == STOPWATCH_OPEN) settle(w);
    device_mark(w->device, &w->begin[w->n]);
}

void stopwatch_end(struct stopwatch *w)
{
    device_mark(w->device, &w->end[w->n++]);
}

double stopwatch_take(struct stopwatch *w)
{
    settle(w);
    double seconds = w->seconds;
    w->seconds = 0;
    return seconds;
}

void stopwatch_free(struct stopwatch *w)
{
    for (int i = 0; i < STOPWATCH_OPEN; i++) {
        device_mark_free(w->device, &w->begin[i]);
        device_mark_free(w->device, &w->end[i]);
    }
}
