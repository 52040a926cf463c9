/* Finding the parts of a completion: what the model wrote after the prompt's "<think>". All
 * functions are local, allocate nothing and read any bytes. */
#ifndef DUET_TRAINER_DATA_COMPLETION_H
#define DUET_TRAINER_DATA_COMPLETION_H

#include <stdbool.h>
#include <stddef.h>
#include "trainer/data/reason.h"

/* A run of someone else's bytes. */
struct span {
    const char *at;
    size_t n;
};

/* Where `word` first stands in s, as an offset; s.n when it does not. */
size_t span_find(struct span s, const char *word);
bool span_is(struct span s, const char *word);
/* The part before the first `separator`; *rest becomes what follows it (empty when there is none).
 */
struct span span_take(struct span *rest, char separator);
/* s without white space (ASCII) at its ends. */
struct span span_trim(struct span s);

/* What stands before "</think>"; *closed says whether that was there. */
struct span completion_reasoning(struct span completion, bool *closed);
/* The text of the last <answer>, when that stands after a </think> and is closed; at = NULL when
 * there is none. */
struct span completion_answer(struct span completion);
/* The same; *why says what is missing when there is none. */
struct span completion_find_answer(struct span completion, enum reason *why);
/* </think>, <answer>, </answer> once each in this order, only white space between the first two,
 * nothing after the last (a final <eos> and white space aside), no second <think>. */
bool completion_in_form(struct span completion);

/* What stands in the last \boxed{...} or \fbox{...}, brackets matched, or behind "\boxed "; at
 * NULL: there is none. */
struct span completion_boxed(struct span text);

/* Equal after trimming; when both are decimal integers or fractions ("7", "-0.50", "+3.") they are
 * compared as numbers, exactly, of any length: "07" = "7.0". */
bool answer_equal(struct span a, struct span b);
/* What answer_equal compares, as text: two answers are equal exactly when these are. A decimal
 * without useless signs and zeros
 * ("-0.5", "7"), else the trimmed text. true: it is a decimal. */
struct text;
bool answer_canonical(struct text *out, struct span answer);

#endif
