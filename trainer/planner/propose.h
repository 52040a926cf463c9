/* Which mesh? All of them, best first; those that cannot be, with the reason. */
#ifndef DUET_TRAINER_PLANNER_PROPOSE_H
#define DUET_TRAINER_PLANNER_PROPOSE_H

#include "trainer/planner/recipe.h"

/* Every way to put the recipe on this many ranks, as a table to stdout. */
void propose(const struct recipe *r, int ranks);

#endif
