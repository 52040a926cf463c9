/* A run: everything a rank owns while it trains or answers, put together once. */
#ifndef DUET_TRAINER_RUN_H
#define DUET_TRAINER_RUN_H

#include "model/tokenizer.h"
#include "trainer/data/source.h"
#include "trainer/learn/outer.h"
#include "trainer/learn/learned.h"
#include "trainer/observe/metrics.h"
#include "trainer/reward/rewards.h"
#include "trainer/reward/tally.h"
#include "trainer/rollout/rollout.h"

/* One row of the closing summary: an evaluation, and when it was made. */
struct milestone {
    char phase[64];
    long step;
    struct score score;
};
enum { MILESTONES = 64 };

/* Updates skipped in a row, because their gradient was not finite (skips.c). */
struct skips {
    int in_row;
    long since;   /* the step of the first of them */
    bool idle;    /* and the last step made no other: its weights are those from before */
    bool guarded; /* so many of them end the run (phases.max_skips) */
    bool
        any_saved; /* there is a checkpoint that was not taken behind an idle step: the last one of */
    long saved;    /* this step */
};

struct run {
    struct settings settings;
    struct world *world;
    struct mesh mesh;
    const struct ops *ops;
    struct tokenizer *tokenizer;
    char *tokenizer_json, *recipe;
    const char *folder;    /* of a training run: settings.run.out, or this site's in it */
    int think, eos;        /* token ids */
    struct source *source; /* NULL when no problems are asked for */
    uint64_t data_sum[2];  /* source_sum of either split, for checkpoints */
    struct actor actor;
    struct optimizer optimizer;
    uint64_t layout; /* optimizer_layout */
    struct learner learner;
    struct rollout *rollout; /* NULL when no phase samples */
    struct checkpoint_writer *writer;
    struct metrics *metrics;

    /* of several sites (trainer/run/sites.h) */
    struct outer outer;
    struct halt *halt; /* on the first rank of each */
    long stop_at;      /* the step at which all stop; -1: nobody asked */

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
    struct arena arena; /* scratch of a step (see step_scratch) */
    struct step_scratch *scratch;
    long empty_steps;     /* of sft, with nothing to learn from, since the start */
    bool save_due;        /* checkpoint.every has come round, but nothing new is to be saved */
    double phase_started; /* clock: for the time left */
    long phase_started_at;
};

/* Largest step over all phases, for the memory plan. */
struct extent {
    int sequences; /* learned from in one optimizer step */
    int answers;   /* sampled in one rollout */
    int max_new;
    int questions;
    int heldout; /* held-out problems of an evaluation */
    int every; /* answers to each held-out problem of a file, as many as there are: sets questions and answers; 0: no */
    bool reference, sampling;
    struct source_needs data; /* nothing to be read: no source is opened */
    bool demonstrations;      /* are learned from */
    int longest[2];           /* max_new of answers to problems of a split, 0: none are sampled */
};
struct extent run_extent(const struct settings *s);
/* Bytes of the step's scratch for such an extent. */
size_t run_scratch_bytes(const struct settings *s, struct extent e);

/* Buffers of a step: token sequences, their questions, rewards. Sized by the extent. */
struct step_scratch {
    struct problem *problem; /* (questions) */
    struct question *question;
    struct sequence *sequence; /* (max(answers, sequences)) */
    int *token; /* (questions + max(answers, sequences), max_context): prompts first */
    float *weight, *advantage;
    struct rewards rewards; /* of the answers */
    char *text;             /* (text_size) of one completion: any max_context tokens */
    size_t text_size;
};

/* Collective over w. settings (resolved, checked) are taken over; extent says what room to make. tokenizer_json: NULL takes the
 * settings'. Exits 2 on mistakes, all named. */
void run_open(struct run *r, struct world *w, struct settings settings, const char *tokenizer_json,
              struct extent extent);
void run_close(struct run *r);
/* The first step of run_open: tokenizer, tokenizer_json, think and eos, from r->settings. Local. */
void run_open_tokenizer(struct run *r, const char *given, struct problems *p);

/* Weights, and with everything also moments and position, from an open checkpoint. Collective. false: problems. */
struct checkpoint;
bool run_load(struct run *r, const struct checkpoint *c, bool everything, struct problems *p);
/* Saves now. Collective. Returns seconds of stall. */
double run_save(struct run *r, bool end_of_phase);

/* prompt + <think> (+ completion + <eos> when text is given) as tokens into out (max_context); returns the count, or -1 when it does
 * not fit. *n_prompt receives the prompt's part. */
int run_encode(const struct run *r, const char *prompt, const char *completion, size_t n, int *out,
               int *n_prompt);
/* Fills scratch->problem and ->question with `n` problems of a split, from number `from`. What does not fit was left out when the
 * source was opened; of a generator's training problems another one takes its place. */
void run_questions(struct run *r, enum split split, uint32_t from, int n);

/* --- phases; each is one step, collective over the world. false: a stop came before it was done; nothing of it counts but what
 * r->evaluation holds, and it comes again when the run is resumed --- */
bool sft_step(struct run *r, const struct phase_settings *k);
bool grpo_step(struct run *r, const struct phase_settings *k);
bool eval_step(struct run *r, const struct phase_settings *k);

/* The verdict on one answer. Local. */
struct verdict run_grade_one(struct run *r, const struct problem *p, const struct answer *a);
/* Grades answers to the questions in scratch into ->rewards, the work shared over ranks; adds the parts to t when it is not NULL.
 * Collective. */
void run_grade(struct run *r, const struct answer *answer, int questions, int samples,
               struct tally *t);
/* An evaluation of the weights of a step, not begun yet: `samples` answers to each of the first `asked` held-out problems, or of all
 * when there are fewer. Local. */
struct tally run_evaluation(struct run *r, const struct phase_settings *k, long step, int asked,
                            int samples);
/* Goes on with it until all problems are done, or (false) a stop is asked for. Collective. */
bool run_evaluate(struct run *r, const struct phase_settings *k, struct tally *t);
/* "pass@1  26.9 %  length 58.1  (128 problems, answers to each: 1)" */
enum { SCORE_TEXT = 256 };
void score_text(char out[SCORE_TEXT], const struct score *s);
/* The end of a step of an sft or grpo phase: when an evaluation is due (eval_every), that, into the open line of metrics; then the line
 * ends. A stop meanwhile leaves both waiting (run_line_waits); the checkpoint keeps them. Collective. */
void run_end_line(struct run *r, const struct phase_settings *k);
/* Does the line of the step before this one wait for its evaluation? Then run_end_waiting_line goes on with both. */
bool run_line_waits(const struct run *r);
void run_end_waiting_line(struct run *r, const struct phase_settings *k);
/* Updates of a step, those included that find nothing to learn from. */
long run_updates_per_step(const struct phase_settings *k);
/* The optimizer's settings for update number `update` (from 0) of a phase. */
struct adamw run_adamw(const struct phase_settings *k, long update);
void run_put_step(struct run *r, const struct learned *l, double seconds);
/* After every update: counts those skipped in a row; phases.max_skips of them end the job (exit 1). Collective. */
void run_count_update(struct run *r, const struct phase_settings *k, const struct step_stats *s);
/* After the updates of a step. Local. */
void run_count_step(struct run *r, const struct learned *l);
/* At the end of a phase. */
void run_warn_of_skips(const struct run *r, const struct phase_settings *k);
/* A checkpoint is taken. */
void skips_saved(struct skips *s, long step);
/* Into the state of a checkpoint, and back from it. */
void skips_put(const struct skips *s, json_t *state);
struct position;
struct skips skips_of(const struct position *q, const struct settings *s);
void run_progress(struct run *r, const struct phase_settings *k, struct progress p);

/* Runs all phases from where the run stands. Exit code: EXIT_DONE or EXIT_STOPPED. */
int run_phases(struct run *r);

#endif
