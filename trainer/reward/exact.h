/* The verifier of problems from a file: their answers are known, so an answer is compared with
 * the one that the file gives. */
#ifndef DUET_TRAINER_REWARD_EXACT_H
#define DUET_TRAINER_REWARD_EXACT_H

#include "trainer/data/task.h"

/* As task.verify: the text between <answer> and </answer>, any bytes; what answer_canonical
 * makes of it goes to `read`. It is a wrong value where the file's answer is a number. Local. */
enum reason exact_verify(const struct problem *p, struct span answer, struct text *read);

#endif
