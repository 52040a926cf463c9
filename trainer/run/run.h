/* A run: everything a rank owns while it trains or answers, put together once. */
#ifndef DUET_TRAINER_RUN_RUN_H
#define DUET_TRAINER_RUN_RUN_H

#include "model/tokenizer.h"
#include "trainer/config/never.h"
#include "trainer/data/chat.h"
#include "trainer/checkpoint/attachments.h"
#include "trainer/data/source.h"
#include "trainer/learn/outer.h"
#include "trainer/learn/step.h"
#include "trainer/observe/metrics.h"
#include "trainer/reward/tally.h"
#include "trainer/rollout/scratch.h"
#include "trainer/run/skips.h"

/* One row of the closing summary: an evaluation, and when it was made. */
struct milestone {
    char phase[64];
    long step;
    struct score score;
};
enum { MILESTONES = 64 };

struct episodes;
struct run {
    struct settings settings;
    struct world *world;
    struct mesh mesh;
    const struct ops *ops;
    const struct transport *transport; /* and with it the device */
    struct tokenizer *tokenizer;
    char *tokenizer_json, *recipe;
    const char *folder;         /* of a training run: settings.run.out, or this site's in it */
    struct ends ends;           /* chat_ends */
    struct never_tokens never;  /* model.never_tokens; none where all tokens count */
    struct attachments files;   /* of an imported model; rank 0 saves them with every checkpoint */
    struct chat *chat;          /* how prompts and demonstrations become tokens */
    struct source *source;      /* NULL when no problems are asked for */
    struct source *preferences; /* data.preferences; NULL: they are of `source` */
    uint64_t data_sum[2];       /* source_sum of either split, for checkpoints */
    uint64_t preferences_sum;
    struct stage stage;
    struct optimizer optimizer;
    uint64_t layout; /* optimizer_layout */
    struct learner learner;
    struct rollout *rollout;   /* NULL when no phase samples */
    struct episodes *episodes; /* NULL when no phase has an environment (episodes.h) */
    struct checkpoint_writer *writer;
    struct metrics *metrics;

    /* of several sites (trainer/run/sites.h) */
    struct outer outer;
    struct halt *halt; /* NULL with one site */
    long stop_at;      /* the step at which all stop; -1: not requested */
    long cut_at;       /* a rollout that is cut short now leaves the run at this step */

    /* where the run stands; saved in every checkpoint */
    int phase;
    long phase_step, step; /* step counts over all phases */
    long long tokens;      /* learned from, over all phases */
    struct skips skips;
    long without_spread; /* steps in a row in which no group had spread */
    struct milestone milestone[MILESTONES];
    int milestones;
    struct tally evaluation; /* under way, or stopped on request; samples 0: none */
    int trained_tp;          /* of a model opened for answering: mesh.tp of the run that saved it */
    char *line; /* of a resumed run: the line of metrics that waits for it; NULL: none */

    char *text; /* scratch->text: its size is known with the tokenizer */
    size_t text_size;
    struct arena arena; /* scratch of a step (rollout/scratch.h) */
    struct step_scratch *scratch;
    long empty_steps;     /* of sft, with nothing to learn from, since the start */
    bool save_due;        /* checkpoint.every has come round, but nothing new is to be saved */
    double phase_started; /* clock: for the time left */
    long phase_started_at;
};

/* Collective over w. settings (resolved, checked) are taken over; extent says what room to make.
 * tokenizer_json: NULL takes the settings'. Exits 2 on mistakes, all named. */
void run_open(struct run *r, struct world *w, struct settings settings, const char *tokenizer_json,
              struct extent extent);
void run_close(struct run *r);
/* Weights, and with everything also moments and position, from an open checkpoint. Collective.
 * false: problems. */
struct checkpoint;
struct hf_folder;
bool run_load(struct run *r, struct checkpoint *c, bool everything, struct problems *p);
/* To another position than the checkpoint's, as when a phase that was over gets more steps: what
 * learns there goes on learning. Collective. */
void run_move(struct run *r, int phase, long step);
/* The weights of a Hugging Face folder that was checked against the settings, and the files that it
 * has beside them. Collective. false: problems. */
bool run_load_folder(struct run *r, const struct hf_folder *f, struct problems *p);
/* Saves now. Collective. Returns seconds of stall. */
double run_save(struct run *r, bool end_of_phase);

/* prompt + <think> (+ completion + <eos> when text is given) as tokens into out (max_context);
 * returns the count, or -1 when it does not fit. *n_prompt receives the prompt's part. */
int run_encode(const struct run *r, const char *prompt, const char *completion, size_t n, int *out,
               int *n_prompt);

#endif
