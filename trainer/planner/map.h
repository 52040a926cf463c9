/* Which rank is on which host, what crosses between hosts in a step, and what other ways to sum
 * gradients would take: the part of `duet plan RECIPE` that knows hosts. */
#ifndef DUET_TRAINER_PLANNER_MAP_H
#define DUET_TRAINER_PLANNER_MAP_H

#include "trainer/planner/recipe.h"

/* Prints the map of the recipe's mesh with that plan; first: layers of the chunks. To stdout. */
void map_print(const struct recipe *r, const struct layout *l);
void map_print_json(const struct recipe *r, const struct layout *l);

#endif
