/* Buffers of a step: its questions, the rewards of its answers, the sequences that are learned
 * from. */
#ifndef DUET_TRAINER_ROLLOUT_SCRATCH_H
#define DUET_TRAINER_ROLLOUT_SCRATCH_H

#include "trainer/phase.h"
#include "trainer/reward/rewards.h"
#include "trainer/rollout/rollout.h"

/* A demonstration as all ranks know it. */
struct shown {
    int n, n_prompt, learned; /* tokens; n 0: there is none, -1: it does not fit */
};

/* A preference as all ranks know it. */
struct preferred {
    int n_prompt, n[2]; /* tokens, of either side with its prompt; n 0: there is none, -1: it does
                           not fit */
    int label;          /* the bits of a float */
};

/* A question as all ranks know it. */
struct asked {
    int n;    /* tokens of its prompt; -1: none of its draws fits */
    int draw; /* of its problem (trainer/run/questions.c) */
};

/* What is asked in a step, and what of it was looked at last (trainer/run/questions.h). */
struct questions {
    enum split split;
    uint32_t from;            /* number of the first */
    const char *const *given; /* prompts in their place; NULL: none */
    struct asked *asked;      /* (questions) */
    struct problem problem;   /* of question problem_at; -1: none */
    int *prompt;              /* (max_context) tokens of question prompt_at */
    int problem_at, prompt_at;
    long encoded; /* texts of which this rank has made tokens */
};

struct step_scratch {
    struct questions questions;
    struct question *question; /* (questions) of each how long its prompt is */
    struct sequence *sequence; /* (max(answers, sequences)) */
    /* of demonstrations, all NULL where none are learned from: lengths of all (sequences); of the
     * one at hand the tokens, and which are learned (max_context) */
    struct shown *shown;
    int *shown_token;
    unsigned char *learn;
    struct preferred *preferred; /* of preferences (preferences); NULL without any */
    float *score;                /* of the reward model (sequences); NULL as well */
    float *weight, *advantage;
    bool *equal;            /* (questions) the rewards of its answers are all equal */
    struct rewards rewards; /* of the answers */
    /* of the rollout under way (grade.h), with its phase and its answers to a question */
    struct grading grading;
    const struct phase_settings *phase;
    int samples;
    /* Text of one completion: any max_context tokens. Not in the arena: its owner sets it. */
    char *text; /* (text_size) */
    size_t text_size;
};

/* All but the text, for such an extent; NULL while the arena measures. Local. */
struct step_scratch *scratch_place(struct arena *a, const struct extent *e, int max_context);
/* What that takes. */
size_t scratch_bytes(const struct extent *e, int max_context);

#endif
