/* A kind of phase, as the floors that do not run it see it: how much its steps are of what, by the
 * recipe's settings. The rows are in trainer/phases/phases.c; callers that know them pass them down
 * to the planner and to what resumes a run. */
#ifndef DUET_TRAINER_PHASE_H
#define DUET_TRAINER_PHASE_H

#include "trainer/data/source.h"

/* What a step is made of. */
struct phase_size {
    int sequences;          /* learned from; 0: nothing is learned */
    int parts;              /* mini-batches that they are cut into, an update each */
    long updates;           /* those included that find nothing to learn from */
    bool demonstrations;    /* the sequences are the data's; else they are sampled in the step */
    int questions, samples; /* problems that are answered, answers to each; 0: none */
    bool reference;         /* updates also run the reference's weights */
    unsigned rewards;       /* bits of the graders that are used (reward/grader.h) */
    const char *tests_for, *language_for; /* as in struct screen */
    bool reward;                          /* a reward model learns, or is asked */
    bool preferences;                     /* the sequences are two each of the data's preferences */
};

struct run;
struct phase_kind {
    const char *name; /* as recipes say it */
    bool learns;
    const char *lower; /* the settings that make its steps smaller: for messages */
    struct phase_size (*size)(const struct phase_settings *k);
    /* One step. Collective over the world. false: a stop came before it was done; nothing of it
     * counts but what the run's evaluation holds, and it comes again when the run is resumed. */
    bool (*step)(struct run *r, const struct phase_settings *k);
    /* Before its first step, and behind its last one; NULL: nothing is done. Collective over the
     * world. */
    void (*begin)(struct run *r);
    void (*end)(struct run *r);
};

/* The row of a table of kinds for a phase. */
const struct phase_kind *phase_kind_of(const struct phase_kind *kinds,
                                       const struct phase_settings *k);
/* Steps of a phase: 1 for a kind that does not use `steps`. */
long phase_steps(const struct phase_settings *k);
/* Updates that a step of such a phase can have at most, whatever the settings were. */
long phase_most_updates(const struct phase_settings *k);
/* Does its kind use the setting? */
bool phase_takes(const struct phase_settings *k, const char *setting);

/* What a run keeps of the model. */
enum keep {
    KEEP_TRAINING, /* what learning needs: weights, gradients, masters and moments */
    KEEP_WEIGHTS,  /* of a model opened to answer or to score */
    KEEP_MASTERS   /* in fp32, to be saved: nothing is computed */
};

/* Largest step, or update, over all phases: what a run makes room for, and the memory plan counts.
 */
struct extent {
    enum keep keep;
    int sequences; /* learned from, or scored, in one update; 0 (not with KEEP_TRAINING): none */
    int answers;   /* sampled in one rollout */
    int samples;   /* of them to one question, at most */
    int max_new;
    int questions;
    int heldout; /* held-out problems of an evaluation */
    /* Answers to each held-out problem of a file, as many problems as there are: sets questions and
     * answers; 0: no. */
    int every;
    bool reference, reward, sampling;
    unsigned rewards;                     /* bits of the graders that any phase uses */
    const char *tests_for, *language_for; /* as in struct screen */
    bool profile;                         /* operations are timed (model/ops_timed.h) */
    bool all_tokens;          /* tokens never to be sampled have their probability, too */
    struct source_needs data; /* nothing to be read: no source is opened */
    const char *index;        /* of struct together */
    bool demonstrations;      /* are learned from */
    int preferences;          /* learned from in a step; 0: none are */
    int longest[2];           /* max_new of answers to problems of a split, 0: none are sampled */
    /* Whose step has most sequences, and what makes it smaller; NULL: no phase of a recipe. */
    const char *phase, *lower;
};
/* The extent of a recipe's phases. The phase's name is the settings'. Local. */
struct extent extent_of(const struct phase_kind *kinds, const struct settings *s);

#endif
