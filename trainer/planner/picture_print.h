/* What `duet plan RECIPE --rank R` prints: the picture of one rank, in words and tables. */
#ifndef DUET_TRAINER_PLANNER_PICTURE_PRINT_H
#define DUET_TRAINER_PLANNER_PICTURE_PRINT_H

#include "trainer/planner/recipe.h"

/* For the recipe's mesh with that plan; first: layers of the chunks. The rank is one of all sites'.
 * To stdout. */
void picture_print(const struct recipe *r, const struct layout *l, int rank);

#endif
