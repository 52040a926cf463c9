/* Before a run begins: can the model read what a source holds, and could it ever be right? Every
 * prompt and demonstration of a file is encoded, of a generator a sample of them. */
#ifndef DUET_TRAINER_DATA_SCREEN_H
#define DUET_TRAINER_DATA_SCREEN_H

#include "trainer/data/chat.h"
#include "trainer/data/source.h"

struct screen {
    const struct tokenizer *tokenizer;
    struct chat *chat; /* how prompts become tokens; NULL: bare */
    int max_context;
    double leave_out;    /* data.leave_out */
    unsigned splits;     /* whose problems are looked at */
    bool demonstrations; /* those of the training split are learned from */
    int heldout;         /* held-out problems that will be asked for, of a generator */
    int max_new[2]; /* tokens that answers to a split's problems may have, 0: none are sampled */
    /* The reward that wants a field of the training problems; NULL: none does. */
    const char *tests_for, *language_for;
    /* Why a problem's answer cannot be graded, or NULL; such problems are left out. NULL: all can.
     */
    const char *(*ungradable)(const struct problem *p);
    bool speaks;               /* warns; all ranks find the same, one says it */
    const struct world *world; /* ranks that look at the same source, each at its part; NULL: this
                                  one alone */
};

/* Leaves out the problems whose prompts do not fit or whose answers cannot be graded, warning once,
 * where they are at most leave_out of a split; more is a problem, so are answers that the tokenizer
 * cannot write, and demonstrations of which none can be used. A pure function of files and
 * settings. Collective over how->world. */
void source_screen(struct source *s, const struct screen *how, struct problems *p);

#endif
