/* Loops over arrays larger than the caches ask for what they will read or write. The processors of
 * virtual machines look ahead by themselves too little: reading alone then takes twice as long. */
#ifndef DUET_COMM_BASE_AHEAD_H
#define DUET_COMM_BASE_AHEAD_H

#include <stdint.h>

/* Asks for the line of the cache that lies a page behind p. What is not there is not fetched: p may
 * be near the end. */
static inline void memory_ahead(const void *p)
{
    __builtin_prefetch((const void *)((uintptr_t)p + 4096));
}

#endif
