#include "comm/base/memory.h"

#include <stdlib.h>
#include <string.h>

#include "comm/base/die.h"

void *memory_take(size_t n, size_t size, const char *what)
{
    void *at = calloc(n ? n : 1, size);
    SYS_OK(at != NULL, "free memory on this host, or use more hosts",
           "no memory for %s: %zu x %zu bytes", what, n, size);
    return at;
}

void *memory_take_aligned(size_t bytes, const char *what)
{
    size_t whole = (bytes + 63) / 64 * 64 + 64;
    void *at = aligned_alloc(64, whole);
    SYS_OK(at != NULL, "free memory on this host, or use more hosts", "no memory for %s: %zu bytes",
           what, whole);
    memset(at, 0, whole);
    return at;
}

char *memory_copy_text(const char *text, const char *what)
{
    if (!text) return NULL;
    size_t n = strlen(text) + 1;
    return memcpy(memory_take(n, 1, what), text, n);
}
