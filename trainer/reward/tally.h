/* What an evaluation has counted so far: whole numbers, so that one that was stopped on request
 * ends with the figures, to the last bit, of one that was not. */
#ifndef DUET_TRAINER_REWARD_TALLY_H
#define DUET_TRAINER_REWARD_TALLY_H

#include <jansson.h>
#include "trainer/config/settings.h"
#include "trainer/data/task.h"

struct tally {
    long step;          /* whose weights are evaluated: the draws are keyed by it */
    uint64_t of;        /* hash of the sampling settings */
    int asked, prompts; /* problems: the number asked for, and the number there are */
    int samples;        /* answers to each; 0: no evaluation is under way */
    int done;           /* problems that are counted: the first ones */
    long right, form, truncated, tokens; /* over their answers */
    long solved, voted;                  /* problems with a right answer; whose majority is right */
    int part_right[TASK_PARTS],
        part_total[TASK_PARTS]; /* parts of completions (task.h): arithmetic, verdict, copy, ... */
};

/* What an evaluation found. NaN: it was not measured. */
struct score {
    int prompts, asked; /* distinct problems: the number evaluated, and the number asked for */
    int samples;
    double pass1, pass_k, maj_k; /* k = samples; pass_k, maj_k: NaN with one sample */
    double length, truncated, format;
    double part[TASK_PARTS];
};

struct tally tally_begin(const struct phase_settings *k, long step, int asked, int prompts,
                         int samples);
/* Is it the beginning of what `other` begins? */
bool tally_goes_on(const struct tally *t, const struct tally *other);
struct score tally_score(const struct tally *t);

/* As it stands in a checkpoint. The caller's. */
json_t *tally_json(const struct tally *t);
/* false: it is none. */
bool tally_read(struct tally *t, const json_t *o);

#endif
