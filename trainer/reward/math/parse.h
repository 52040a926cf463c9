/* Tokens as a tree, by recursive descent. Nothing is worked out here but numbers themselves. */
#ifndef DUET_TRAINER_REWARD_MATH_PARSE_H
#define DUET_TRAINER_REWARD_MATH_PARSE_H

#include "trainer/reward/math/lex.h"
#include "trainer/reward/math/tree.h"

/* The tree of an answer: one item, or NODE_LIST of several. 0: it cannot be read; *trouble says
 * why. *ambiguous: it can, in two ways (2\frac12x). `expected`: the tree of the expected answer,
 * whose letters decide whether "5 m" is a length; 0: this is the expected answer. Local. */
int math_parse(struct math_work *w, const struct tokens *t, int expected, const char **trouble,
               bool *ambiguous);

#endif
