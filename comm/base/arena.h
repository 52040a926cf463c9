/* Host memory in one piece: the code that places is the code that measures.
 *
 *   struct arena a = {0};
 *   thing_place(&t, &a);      measures: takes return NULL, a.used grows
 *   arena_back(&a, a.used);   one allocation, zeroed; a.used starts again at 0
 *   thing_place(&t, &a);      places
 */
#ifndef DUET_COMM_BASE_ARENA_H
#define DUET_COMM_BASE_ARENA_H

#include <stddef.h>

struct arena {
    unsigned char *base; /* NULL while measuring */
    size_t used, size;
};

/* 64-byte aligned; NULL while measuring. Running out of a backed arena is our bug. Local. */
void *arena_take(struct arena *a, size_t bytes);
/* n items of `size` bytes, overflow-checked. */
void *arena_take_n(struct arena *a, size_t n, size_t size);
/* Allocates `bytes`, zeroed, and resets `used`. Dies (EXIT_WORLD) when the machine has not so much. */
void arena_back(struct arena *a, size_t bytes);
size_t arena_mark(const struct arena *a);
void arena_release(struct arena *a, size_t mark);
void arena_free(struct arena *a);

/* Bytes held by all arenas now, and the number of arena_back calls so far: the step test reads both. */
size_t arena_live_bytes(void);
long arena_allocations(void);

#endif
