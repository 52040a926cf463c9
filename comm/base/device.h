/* A device: where the tensors of a rank lie and who works on them. The host is one; a GPU is
 * another table of the same rows.
 *
 * Each device has one stream of work, in order: copies, fills and whatever else the rows of a
 * backend (model/ops.h, comm/transport.h) post on it. On the host all of it is done when the call
 * returns. Only a device's own functions touch its memory; for the host everybody may.
 *
 * A table may be partial while it grows. A row that is NULL is the host's, with copies around it:
 * slow, right, and named in the log (base/missing.h). name, place, alloc, release, copy_in and
 * copy_out must be there. */
#ifndef DUET_COMM_BASE_DEVICE_H
#define DUET_COMM_BASE_DEVICE_H

#include <stddef.h>

/* A point in the work of a device's stream. The caller's, zeroed at first; used again as often as
 * one likes. */
struct device_mark {
    double seconds; /* when it was reached, by the clock of base/log.h, once that is known */
    void *own;      /* other devices': an event, made by the first mark, given back by mark_free */
};

struct device {
    const char *name;  /* "host" */
    const char *place; /* in messages: "16.0 MiB free on <place>" */

    /* On a boundary of 64 bytes at least, contents undefined; NULL: there is no room. */
    void *(*alloc)(size_t bytes);
    void (*release)(void *at); /* NULL: nothing */
    /* What alloc would give now; SIZE_MAX: not known. NULL: never known. */
    size_t (*room)(void);

    /* Ordered on the stream. copy_out returns when the host has the bytes; copy_in, when `from` may
     * be overwritten. */
    void (*copy_in)(void *to, const void *from_host, size_t bytes);
    void (*copy_out)(void *to_host, const void *from, size_t bytes);
    void (*copy)(void *to, const void *from, size_t bytes); /* within the device, no overlap */
    void (*fill)(void *to, int byte, size_t bytes);
    /* Zeros in a part of what alloc gave, before anything else touches it. NULL: by fill. */
    void (*clear)(void *fresh, size_t bytes);

    /* Memory of the host that copies go to and from without another one between. Both NULL: any
     * will do. */
    void *(*pinned_alloc)(size_t bytes); /* NULL: there is no room */
    void (*pinned_release)(void *at);    /* NULL: nothing */

    /* Returns when all that was posted on the stream is done. NULL: all calls are done when they
     * return. */
    void (*sync)(void);
    /* The mark is reached when what was posted before is done. `reached` waits for that and returns
     * when it was, on the clock of base/log.h. All three or none; NULL: the host's clock after
     * sync. */
    void (*mark)(struct device_mark *m);
    double (*reached)(struct device_mark *m);
    void (*mark_free)(struct device_mark *m);
};

/* The memory of this process; work is done by the caller. All rows are there. */
extern const struct device device_host;

/* The rows that may be missing, made up for. Local. */
size_t device_room(const struct device *d);
void *device_pinned(const struct device *d, size_t bytes, const char *what); /* zeros, or ends */
void device_pinned_free(const struct device *d, void *at);
void device_copy(const struct device *d, void *to, const void *from, size_t bytes);
void device_fill(const struct device *d, void *to, int byte, size_t bytes);
void device_clear(const struct device *d, void *fresh, size_t bytes);
void device_sync(const struct device *d);
void device_mark(const struct device *d, struct device_mark *m);
double device_reached(const struct device *d, struct device_mark *m);
void device_mark_free(const struct device *d, struct device_mark *m);

/* clock_now when all that was posted on the device is done: for what is timed as a whole. */
double device_clock(const struct device *d);

#endif
