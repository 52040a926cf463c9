/* What answers an answer's turns: an environment reads the text of a turn and says what the model
 * observes next. One environment a file, one row each in the table. docs/REWARDS.md says what each
 * does. */
#ifndef DUET_TRAINER_REWARD_ENVIRONMENT_ENVIRONMENT_H
#define DUET_TRAINER_REWARD_ENVIRONMENT_ENVIRONMENT_H

#include "trainer/data/completion.h"
#include "trainer/data/text.h"

struct environment {
    const char *name; /* phases.environment */
    /* A turn ends behind this text; a recipe may say another (environment_stop). */
    const char *stop;
    /* Appends what is observed behind a turn (any bytes, its stop text included). Pure, bounded by
     * what `out` holds, allocates nothing. */
    void (*observe)(struct text *out, struct span turn);
};
extern const struct environment environment_calculator;
/* By its name; NULL: "" or no row of the table. */
const struct environment *environment_named(const char *name);

/* How an observation's text is put among the tokens: `wrap` (environment_wrap) has
 * "{observation}" once, which is replaced. true: it is in form; before and after are what stands
 * around it. */
#define ENVIRONMENT_OBSERVATION "{observation}"
bool environment_wrap(const char *wrap, struct span *before, struct span *after);

#endif
