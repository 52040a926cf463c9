/* The mathematics grader: is the answer of a completion the value that the problem's file gives?
 *
 * Text becomes tokens (clean, lex), tokens a tree (parse), and two trees are compared: rationals
 * exactly, constants in balls of growing precision, expressions with variables at fixed points,
 * tuples, sets, intervals, matrices, relations and units by their parts (compare). Nothing is
 * evaluated by an interpreter. The rules E1-E7, N1-N18 and C1-C17 that comments name are set out in
 * docs/REWARDS.md.
 *
 * A verdict is a pure function of the two texts: work is bounded by counted steps, never by a
 * clock. Memory: about 400 KiB of the caller's stack, and FLINT's numbers, of at most
 * MATH_BITS bits each. */
#ifndef DUET_TRAINER_REWARD_MATH_MATH_H
#define DUET_TRAINER_REWARD_MATH_MATH_H

#include <stddef.h>
#include <stdint.h>
#include "trainer/data/completion.h"

enum math_verdict {
    MATH_CORRECT,
    MATH_WRONG,
    MATH_NO_ANSWER, /* nothing was found that says it is the answer */
    MATH_UNDECIDED, /* the expected answer cannot be read, or the comparison took too many steps */
    MATH_VERDICTS
};
enum { MATH_WHY = 128 }; /* bytes that a reason needs */
/* "correct", "wrong", "no answer", "undecided". */
const char *math_verdict_text(enum math_verdict v);

/* Grades a completion (what follows the prompt's "<think>", any bytes) against the expected answer:
 * the strict rules, which a policy may be trained on (math_extract). `why` (n bytes, n > 0) gets
 * one line that says what was compared. Local. */
enum math_verdict math_grade(struct span completion, struct span expected, char *why, size_t n);

/* The same for an answer that was extracted already. */
enum math_verdict math_compare(struct span answer, struct span expected, char *why, size_t n);

/* Can an expected answer be compared by value? NULL, or why not: every answer would be undecided.
 */
const char *math_unreadable(struct span expected);

/* Equal for answers of equal value (1/2, 0.5, \frac12), whatever was expected: what a majority
 * votes by. Never 0; for what cannot be read, of its text. Local. */
uint64_t math_vote(struct span answer);

/* Gives back what FLINT keeps for later calls of this thread. */
void math_forget(void);

#endif
