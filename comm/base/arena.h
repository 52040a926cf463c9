/* Memory of a device in one piece: the code that places is the code that measures.
 *
 *   struct arena a = {0};
 *   thing_place(&t, &a);                      measures: takes return NULL, a.used grows
 *   arena_back(&a, &device_host, a.used);     one allocation, zeroed; a.used starts again at 0
 *   thing_place(&t, &a);                      places
 *
 * Whatever the host itself reads or writes lies in an arena of the host; another device's is
 * touched by that device's rows alone. A thing that is placed in both is given the device's, which
 * knows the other (arena_beside): it takes tensors from the arena, structures from arena_host. */
#ifndef DUET_COMM_BASE_ARENA_H
#define DUET_COMM_BASE_ARENA_H

#include <stddef.h>
#include "comm/base/device.h"

/* What memory is for, so that a plan of it can say where it goes. */
enum arena_kind {
    ARENA_BUFFERS, /* what is not one of the others */
    ARENA_PARAMETERS,
    ARENA_GRADIENTS,
    ARENA_OPTIMIZER,
    ARENA_ACTIVATIONS,
    ARENA_CACHES,
    ARENA_KINDS
};

struct arena {
    const struct device *device; /* whose memory it is; NULL while measuring */
    unsigned char *base;         /* NULL while measuring */
    size_t used, size;
    struct arena *host;     /* for what the host reads and writes; NULL: this one is the host's */
    enum arena_kind kind;   /* of what is taken next */
    size_t of[ARENA_KINDS]; /* taken since the start or arena_back, by kind (arena_release gives
                               nothing back here) */
};

/* What is taken from here on is of this kind. Returns the kind before, for the caller to put back.
 */
enum arena_kind arena_kind(struct arena *a, enum arena_kind kind);
const char *arena_kind_name(enum arena_kind kind); /* "parameters" */

/* Before measuring: a will be of this device, and `host` stands beside it where that is not the
 * host. Measured, backed and freed are both by way of a. */
void arena_beside(struct arena *a, const struct device *device, struct arena *host);
static inline struct arena *arena_host(struct arena *a)
{
    return a->host ? a->host : a;
}

/* 64-byte aligned; NULL while measuring. Running out of a backed arena is our bug. Local. */
void *arena_take(struct arena *a, size_t bytes);
/* n items of `size` bytes, overflow-checked. */
void *arena_take_n(struct arena *a, size_t n, size_t size);
/* Allocates `bytes` of the device, zeroed, and resets `used`; of the host what its arena beside has
 * used. Dies (EXIT_WORLD) when there is less. */
void arena_back(struct arena *a, const struct device *device, size_t bytes);
/* The same without the zeros, for an arena with none beside it: the caller touches the memory
 * before training depends on it (comm/base/touch.h). */
void arena_reserve(struct arena *a, const struct device *device, size_t bytes);
size_t arena_mark(const struct arena *a);
void arena_release(struct arena *a, size_t mark);
void arena_free(struct arena *a);

/* Bytes held by all arenas now, and the number of arena_back calls so far: the step test reads
 * both. */
size_t arena_live_bytes(void);
long arena_allocations(void);

#endif
