/* Finding the answer of a completion, by the strict rules E1-E3 and E7: only what says that it is
 * the answer counts, so that naming several numbers earns nothing. */
#ifndef DUET_TRAINER_REWARD_MATH_EXTRACT_H
#define DUET_TRAINER_REWARD_MATH_EXTRACT_H

#include "trainer/data/completion.h"
#include "trainer/data/text.h"

struct extracted {
    struct text text;     /* in the caller's buffer */
    bool percent_follows; /* "%" or "percent" stands right behind the box */
};
enum { MATH_SEARCHED = 4096 }; /* bytes, from the end of the answer part */

/* After the last </think>: inside the last <answer> where there is one, which must be closed. There
 * the last \boxed or \fbox, boxes side by side as one list; without a box what stands behind the
 * last "####", to the end of its line; without that the whole <answer>. NULL: found, not empty;
 * else what is missing. Local. */
const char *math_extract(struct extracted *out, struct span completion);

/* The same for the answer of a problem's file: a box, "####", or the whole text. */
const char *math_expected(struct extracted *out, struct span expected);

#endif
