/* The bytes of an answer as text that the lexer knows: LaTeX and ASCII. */
#ifndef DUET_TRAINER_REWARD_MATH_CLEAN_H
#define DUET_TRAINER_REWARD_MATH_CLEAN_H

#include "trainer/data/completion.h"
#include "trainer/data/text.h"

enum { MATH_ANSWER = 1024 }; /* bytes of an answer (E7) */

/* Unicode's spellings of what LaTeX has a command for become that command (2212, minus, is "-");
 * full-width forms become ASCII; invisible characters go; other letters stay. NULL, or why this is
 * no readable answer: not UTF-8, control characters, marks that turn the direction of writing (what
 * is seen would not be what is read), too long. Local. */
const char *math_clean(struct text *out, struct span s);

#endif
