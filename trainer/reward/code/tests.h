/* The tests of a problem. */
#ifndef DUET_TRAINER_REWARD_CODE_TESTS_H
#define DUET_TRAINER_REWARD_CODE_TESTS_H

#include <jansson.h>
#include "trainer/reward/code/program.h"

/* The array, or NULL: why says what is wrong. The caller's. */
json_t *tests_read(const char *json, size_t n, const struct program *p, char *why, size_t size);
/* Those with a function, a new array. */
json_t *tests_calls(const json_t *tests);
/* Is this line, of value.h, what the call must return? */
bool tests_returned(const json_t *call, struct span line);

#endif
