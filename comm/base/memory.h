/* Memory of the heap, for what is made once; what a step needs lies in arenas (P7). */
#ifndef DUET_COMM_BASE_MEMORY_H
#define DUET_COMM_BASE_MEMORY_H

#include <stddef.h>

/* Zeroed room for n things (also for none) of `size` bytes, given back with free. Where there is
 * none the job ends and says what it was for ("a plan"). Local. */
void *memory_take(size_t n, size_t size, const char *what);
/* The same for some bytes, on a boundary of 64 and with at least 64 bytes behind them. */
void *memory_take_aligned(size_t bytes, const char *what);
/* A copy of a text; NULL of NULL. */
char *memory_copy_text(const char *text, const char *what);

#endif
