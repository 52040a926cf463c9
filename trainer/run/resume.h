/* Going on with a run, or taking weights from one: what its checkpoint was saved with is held
 * against today's recipe, data, tokenizer and model. Every difference is said, in one table; what
 * makes the position or the weights meaningless is refused (exit 2) before anything in the run
 * folder is touched. */
#ifndef DUET_TRAINER_RUN_RESUME_H
#define DUET_TRAINER_RUN_RESUME_H

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/run/run.h"

/* What is left to do once the run folder may be written to. */
struct resumed {
    long step, metrics_bytes, samples_bytes;
    char *former; /* recipe of the steps made so far, when another holds from here on; else NULL */
};

/* Opens the newest undamaged checkpoint of a run folder (of this site) and restores weights,
 * moments and position. Finished phases stay in r->settings as they ran; one that ended
 * last and has more steps now goes on. Collective over the job. */
struct resumed resume_run(struct run *r, const char *folder, const struct phase_kind *kinds);
/* The weights of a checkpoint, a run folder or a Hugging Face folder. Collective. */
void resume_weights(struct run *r, const char *from);
/* Keeps resumed->former as recipe-until-step-N.yaml beside recipe.yaml, removes those of later
 * steps, and frees it. true: recipe.yaml is to be written. Rank 0 of a site. */
bool resume_keep_recipe(const struct run *r, const char *folder, struct resumed *resumed);

/* For answers: what `now`, the checkpoint's recipe with --set over it, makes of the weights. With
 * `json` not NULL the tokenizers are compared, too. Differences that matter are problems. Local. */
void resume_check_model(const struct checkpoint *c, const struct settings *now, const char *json,
                        struct problems *p);

#endif
