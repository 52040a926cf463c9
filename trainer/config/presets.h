/* Algorithms of reinforcement learning by name: what the setting `algorithm` puts in place of the
 * defaults. A preset is values of other settings and nothing else, so each piece can be given
 * another value beside it, and a resolved recipe says all of them. */
#ifndef DUET_TRAINER_CONFIG_PRESETS_H
#define DUET_TRAINER_CONFIG_PRESETS_H

#include "trainer/config/table.h"

struct preset {
    const char *source; /* paper */
    const char *sets;   /* "name=value name=value": values without spaces */
};
/* The row of ALGORITHM_...; never NULL. */
const struct preset *preset_of(int algorithm);
/* Gives a phase the values of its algorithm, except where a line of the recipe gives one. Local. */
void preset_apply(const struct place *phase);
/* All of them to stdout: `duet help algorithms`. */
void presets_help(void);

#endif
