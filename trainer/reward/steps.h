/* The arithmetic that a text states: "3 * (4 + 1) = 15", worked out exactly. All functions are
 * local, allocate nothing and read any bytes. */
#ifndef DUET_TRAINER_REWARD_STEPS_H
#define DUET_TRAINER_REWARD_STEPS_H

#include "trainer/data/completion.h"

struct step {
    struct span left, right; /* of the sign of equality */
    bool holds;
};

/* Where it stands in a text; begin with {.rest = text}. */
struct steps {
    struct span rest, left, chain; /* the last: sides that are still to come */
    const char *line;              /* where the line of rest begins */
    bool cut;                      /* a letter follows the chain's last side */
};

/* Takes the next statement; false: there is none. Of a chain (2 + 3 = 5 = 10 / 2) each sign is a
 * statement. Read are whole and decimal numbers (1,234.5), + - * / ^ with their signs in Unicode
 * and TeX, brackets, percent signs; at least one side must have an operation. What has a variable
 * in it, or would leave 128-bit rationals, is no statement. A decimal on the right holds where it
 * is the left side rounded to as many places: 10 / 3 = 3.33. */
bool step_next(struct steps *s, struct step *out);

#endif
