/* Sizes as people write them. */
#ifndef DUET_TRAINER_CONFIG_SIZE_H
#define DUET_TRAINER_CONFIG_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* "5GB", "500MB", "1GiB": from one byte to 2^62. false: none. Pure. */
bool size_parse(const char *text, uint64_t *bytes);

#endif
