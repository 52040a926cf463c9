/* model.never_tokens: tokens that are never sampled, and that training counts for nothing: rows of
 * the vocabulary without a token, padding. Written as ranges of ids, "7,49152-49279". */
#ifndef DUET_TRAINER_CONFIG_NEVER_H
#define DUET_TRAINER_CONFIG_NEVER_H

#include <stdbool.h>
#include "comm/base/problems.h"
#include "model/dims.h"

struct never_tokens {
    struct share *range; /* (n), upwards, none touches the next */
    int n;
};

/* The ranges of a text, in any order. false: a problem, where it is no list of ranges, or they hold
 * ids beyond the `rows` of the vocabulary, or all of them. never_free either way. Local. */
bool never_parse(struct never_tokens *t, const char *text, int rows, const char *file,
                 struct problems *p);
bool never_has(const struct never_tokens *t, int id);
/* The text of the ids whose `masked` is not 0, malloc'ed. */
char *never_text(const unsigned char *masked, int rows);
void never_free(struct never_tokens *t);

#endif
