#ifndef DUET_TRAINER_REWARD_MATH_LEX_NUMBER_H
#define DUET_TRAINER_REWARD_MATH_LEX_NUMBER_H

#include "trainer/data/completion.h"

/* The length of the number at the beginning of s, separators of thousands included; 0: there is
 * none. `within`: it stands directly between brackets; `loose`: of whose items one at least is
 * separated by ", " or ";", so that "1,234" between them is one number. Local. */
size_t math_number_length(struct span s, bool within, bool loose);

#endif
