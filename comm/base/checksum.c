#define XXH_STATIC_LINKING_ONLY /* the size of its state */
#include "comm/base/checksum.h"

#include <stdlib.h>
#include <xxhash.h>

#include "comm/base/memory.h"

struct checksum {
    XXH64_state_t state;
};

uint64_t checksum(const void *bytes, size_t n, uint64_t seed)
{
    return XXH64(bytes, n, seed);
}

struct checksum *checksum_new(void)
{
    struct checksum *c = memory_take(1, sizeof *c, "a checksum");
    checksum_restart(c);
    return c;
}

void checksum_add(struct checksum *c, const void *bytes, size_t n)
{
    XXH64_update(&c->state, bytes, n);
}

uint64_t checksum_value(const struct checksum *c)
{
    return XXH64_digest(&c->state);
}

void checksum_restart(struct checksum *c)
{
    XXH64_reset(&c->state, 0);
}

void checksum_free(struct checksum *c)
{
    free(c);
}
