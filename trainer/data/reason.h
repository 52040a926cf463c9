/* Why an answer is right or not. */
#ifndef DUET_TRAINER_DATA_REASON_H
#define DUET_TRAINER_DATA_REASON_H

#include <stdbool.h>

/* What a grader says of a completion: right, or the first thing that is wrong with it. */
enum reason {
    REASON_RIGHT,
    REASON_TRUNCATED, /* cut at the limit before there was an answer */
    REASON_NO_END_OF_THOUGHT,
    REASON_NO_ANSWER,
    REASON_NOT_CLOSED,
    REASON_EMPTY,
    REASON_GIVEN_UP,
    REASON_NOT_A_NUMBER,
    REASON_NOT_AN_EXPRESSION,
    REASON_OTHER_NUMBER,
    REASON_NUMBER_LEFT,
    REASON_WRONG_VALUE,
    REASON_OTHER_FORM,
    REASON_OTHER_TEXT,
    REASON_BY_TESTS,  /* a program: its tests say, elsewhere */
    REASON_UNDECIDED, /* by value: nothing can be compared */
    REASONS
};
/* "right", "no </think>", "wrong value", ...: for samples.jsonl and people. */
const char *reason_text(enum reason why);
/* Was there an answer that may vote? Nothing, an empty one and giving up do not. */
bool reason_votes(enum reason why);

#endif
