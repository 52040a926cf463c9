/* Why an answer is right or not. */
#ifndef DUET_TRAINER_DATA_WHY_H
#define DUET_TRAINER_DATA_WHY_H

#include <stdbool.h>

/* What a grader says of a completion: right, or the first thing that is wrong with it. */
enum why {
    WHY_RIGHT,
    WHY_TRUNCATED, /* cut at the limit before there was an answer */
    WHY_NO_END_OF_THOUGHT,
    WHY_NO_ANSWER,
    WHY_NOT_CLOSED,
    WHY_EMPTY,
    WHY_GIVEN_UP,
    WHY_NOT_A_NUMBER,
    WHY_NOT_AN_EXPRESSION,
    WHY_OTHER_NUMBER,
    WHY_NUMBER_LEFT,
    WHY_WRONG_VALUE,
    WHY_OTHER_FORM,
    WHY_OTHER_TEXT,
    WHYS
};
/* "right", "no </think>", "wrong value", ...: for samples.jsonl and people. */
const char *why_text(enum why why);
/* Was there an answer that may vote? Nothing, an empty one and giving up do not. */
bool why_votes(enum why why);

#endif
