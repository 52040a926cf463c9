/* What sample, eval and score have in common: a checkpoint opened for answering, on any mesh. */
#ifndef DUET_TRAINER_COMMANDS_MODEL_H
#define DUET_TRAINER_COMMANDS_MODEL_H

#include "trainer/config/options.h"
#include "trainer/run/run.h"

/* Opens MPI, the checkpoint (a checkpoint or run folder; or a Hugging Face folder), its recipe with
 * `sets` over it, and the model's weights. The mesh is the ranks there are, one stage each, unless
 * the sets say otherwise. extent.max_new 0: as the recipe samples. Mistakes exit 2, damage exits 1.
 * Collective. */
void answer_open(struct run *r, struct world *w, int *argc, char ***argv, const char *path,
                 const struct option_list *sets, struct extent extent);
/* The same in a world that is up. */
void answer_enter(struct run *r, struct world *w, const char *path, const struct option_list *sets,
                  struct extent extent);
/* The same, with other phases than the recipe's. */
struct answer_job {
    const char *path;
    const struct option_list *sets;
    const char *phases; /* a list in YAML, which has no mistakes; NULL: the recipe's own */
    struct extent extent;
};
void answer_enter_as(struct run *r, struct world *w, const struct answer_job *job);
/* Mistakes between options of sample and eval. Local. */
void answer_check_options(int prompts, int samples, double temperature, struct problems *p);
void answer_close(struct run *r, struct world *w);

/* Sampling settings of the last grpo or eval phase of the recipe: the defaults of sample and eval.
 */
struct phase_settings answer_phase(const struct settings *s);

/* A whole file, or standard input for "-", as rank 0 reads it; NUL-terminated, malloc'ed, at most 1
 * GiB. Dies when it cannot. Collective. */
char *answer_read(const struct world *w, const char *path, size_t *n);

#endif
