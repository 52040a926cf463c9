/* A shared object as a grader that speaks JSON Lines: what a worker of it runs (duet grader). */
#ifndef DUET_TRAINER_REWARD_PLUGIN_LIBRARY_H
#define DUET_TRAINER_REWARD_PLUGIN_LIBRARY_H

#include <stdbool.h>
#include <stdio.h>
#include "trainer/reward/plugin/duet_grader.h"

enum { LIBRARY_WHY = 256 };

/* Loads it and asks it to open. NULL: `why` names the file and what is wrong with it: it cannot be
 * loaded, has no symbol duet_grader, is of another version. It stays loaded. Local. */
const struct duet_grader *library_load(const char *path, char why[LIBRARY_WHY]);
/* Grades requests of `in`, a line each, and writes replies to `out`, until `in` ends. What is no
 * request is an error in its reply, whose id is null where it has none. Local. */
void library_serve(const struct duet_grader *g, FILE *in, FILE *out);

#endif
