/* Denominators: what an update's loss is divided by, and which answers count in it. */
#ifndef DUET_TRAINER_LEARN_DENOMINATOR_H
#define DUET_TRAINER_LEARN_DENOMINATOR_H

#include <stdbool.h>
#include "trainer/config/settings.h"

/* What a recipe says of them: phases.aggregate, zero_spread, max_new, kl. */
struct counting {
    int aggregate;  /* AGGREGATE_... */
    bool keep;      /* answers of groups without spread count too */
    bool kl;        /* a KL is taken, or the ratio is penalized: what counts has a gradient even
                       without an advantage */
    double longest; /* max_new */
};
struct counting counting_of(const struct phase_settings *k);
struct counted_answer {
    int length;  /* tokens */
    bool spread; /* the rewards of its group differ: some of its answers have an advantage */
    bool masked; /* out of everything but its group's mean and std (mask_truncated) */
    /* of those to the same question that count, of all of them together; read by prompt_mean */
    long group_tokens;
};
bool counting_has(const struct counting *rule, struct counted_answer a);
struct denominator {
    long answers, tokens;
    long questions; /* with tokens that count: the caller's, read by prompt_mean */
};
/* Adds an answer of the update to what the denominator counts. All of the update's answers, over
 * all ranks, are added before the first is weighed (P6). Local. */
void denominator_add(struct denominator *d, const struct counting *rule, struct counted_answer a);
#endif
