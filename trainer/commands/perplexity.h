/* Perplexity of a text: e to the mean of -log p of its tokens. */
#ifndef DUET_TRAINER_COMMANDS_PERPLEXITY_H
#define DUET_TRAINER_COMMANDS_PERPLEXITY_H

#include "trainer/commands/model.h"

struct perplexity {
    double value;
    long tokens; /* that were predicted */
    int window;
};
enum { PERPLEXITY_WINDOW = 512 };

/* Opens `model` (as answer_open takes it) in a world that is up, and closes it again. The text is
 * cut into windows of `window` tokens, at most the model's context; each token of a window but the
 * first is predicted from those before it there. Special tokens are not recognised in it. Mistakes
 * exit 2. Collective. */
struct perplexity perplexity_of(struct world *w, const char *model, const struct option_list *sets,
                                const char *text, size_t n, int window);

#endif
