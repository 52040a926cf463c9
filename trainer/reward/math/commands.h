/* THE table of LaTeX's commands that an answer may have, and of words that mean the same. */
#ifndef DUET_TRAINER_REWARD_MATH_COMMANDS_H
#define DUET_TRAINER_REWARD_MATH_COMMANDS_H

#include "trainer/data/completion.h"

/* What the lexer does with a command, beside making a token of it. */
enum command_use {
    COMMAND_TOKEN,
    COMMAND_SPACE, /* nothing but white space */
    COMMAND_SIZE,  /* \left, \bigl: goes; a "." after it, too */
    COMMAND_TEXT,  /* a text, or a unit, in braces */
    COMMAND_FONT,  /* what stands in its braces */
    COMMAND_BEGIN,
    COMMAND_END
};
struct command {
    const char *name;
    int use, kind, id;
};
/* By name without the backslash; NULL: none (functions and Greek letters are not in it). */
const struct command *math_command(struct span name);
/* A word of plain text: pi, infinity, and, percent, ... NULL: none. */
const struct command *math_word(struct span name);
/* Is it a Greek letter that is a variable? */
bool math_greek(struct span name);

#endif
