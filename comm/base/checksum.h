/* Checksums: XXH64, as it stands in manifests and states. */
#ifndef DUET_COMM_BASE_CHECKSUM_H
#define DUET_COMM_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Checksum of some bytes. seed: 0, or another sum, which makes it the sum of a chain. Local. */
uint64_t checksum(const void *bytes, size_t n, uint64_t seed);

/* Checksum of bytes that come piece by piece: equal to checksum(all of them, 0). */
struct checksum;
struct checksum *checksum_new(void);
void checksum_add(struct checksum *c, const void *bytes, size_t n);
/* Checksum of what was added so far. */
uint64_t checksum_value(const struct checksum *c);
/* Nothing was added. */
void checksum_restart(struct checksum *c);
void checksum_free(struct checksum *c);

#endif
