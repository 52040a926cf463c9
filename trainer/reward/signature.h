/* What two answers have in common, from a fixed number of bytes each, whatever their length:
 * MinHash (Broder, "On the resemblance and containment of documents", 1997) of their 3-grams of
 * words, of each minimum its last byte (Li and Koenig, b-bit minwise hashing, arXiv 0910.3349). */
#ifndef DUET_TRAINER_REWARD_SIGNATURE_H
#define DUET_TRAINER_REWARD_SIGNATURE_H

#include "trainer/data/completion.h"

enum { SIGNATURE = 128 };

/* Any bytes; zeros of a text with less than three words. Local, allocates nothing. */
void signature_make(unsigned char out[SIGNATURE], struct span text);
/* The share of their 3-grams that both have (Jaccard), as estimated: 0 to 1, the standard error at
 * most 0.045. */
double signature_likeness(const unsigned char *a, const unsigned char *b);

#endif
