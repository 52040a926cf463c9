/* What answers are rewarded for: one grader a file, one row each in the table. docs/REWARDS.md says
 * what each gives. */
#ifndef DUET_TRAINER_REWARD_GRADER_H
#define DUET_TRAINER_REWARD_GRADER_H

#include "model/tokenizer.h"
#include "trainer/data/ends.h"
#include "trainer/config/graders.h"
#include "trainer/config/settings.h"
#include "trainer/reward/verdict.h"

/* One answer to be graded. */
struct completion {
    const struct problem *problem;
    const int *token; /* (n) a final <eos> included; NULL: only its text is known (duet grade) */
    int n;
    /* (n) LOGP_OBSERVED (data/pack.h) marks tokens of an environment, which are not the answer's
     * own and not graded; NULL: there are none */
    const float *logp;
    int n_prompt; /* tokens of the question */
    /* FLOPs of a token's row, and for each position that it looks back to */
    double flops_row, flops_key;
    bool truncated; /* cut at the limit */

    /* filled by grading_read, where a grader needs it */
    const char *text; /* (bytes) its own tokens, without a turn's <eos>; in the grading's buffer */
    size_t bytes;
    struct verdict verdict;
};
/* What is made ready of a completion; tests, language: fields that its problem must have. */
enum {
    NEEDS_TOKENS = 0,
    NEEDS_TEXT = 1,
    NEEDS_VERDICT = 2 | NEEDS_TEXT,
    NEEDS_TESTS = 4,
    NEEDS_LANGUAGE = 8,
    NEEDS_COUNT = 16, /* how many tokens it has: duet grade must be told */
    NEEDS_SIGNATURE = 32 | NEEDS_TEXT
};

struct rewards;
struct grading;
/* The answers to one question, on every rank alike. */
struct reward_group {
    const struct rewards *all;
    const struct phase_settings *k;
    int from, n; /* they are columns from .. from + n - 1 of all */
};

/* A row has one of grade, start with collect, group, by_model. */
struct grader {
    const char *name; /* NAME in samples.jsonl, reward/NAME/mean in metrics.jsonl, reward_NAME */
    const char *help; /* what it gives, one line */
    unsigned needs;   /* NEEDS_... */
    bool always;      /* evaluations count it: graded and told whatever its weight */
    /* Its name in a phase, where phases name it (plug-ins); NULL: name. */
    const char *(*called)(const struct phase_settings *k);
    /* Its weight in the total reward of a phase; 0: it is not run there. */
    double (*weight)(const struct phase_settings *k);
    /* More needs, by the phase's settings; NULL: none. */
    unsigned (*also_needs)(const struct phase_settings *k);

    /* The reward of a completion, a pure function of it and the settings. Local. */
    float (*grade)(const struct completion *c, const struct phase_settings *k);

    /* Answer i is handed to a server and decoding goes on; must not wait for long. Local. */
    void (*start)(struct rewards *r, const struct grading *g, int i, const struct completion *c,
                  const struct phase_settings *k);
    /* Behind the rollout, once: what was started is in r->value of its row, or lost (rewards_lose).
     * Local, waits at most as long as its limits say. */
    void (*collect)(struct rewards *r, const struct grading *g, const struct phase_settings *k);

    /* Names of what those count beside the reward (rewards.counts), reward/NAME/COUNT in
     * metrics.jsonl; NULL behind the last. NULL: nothing. */
    const char *const *counts;

    /* value (g->n) of a whole group, from what all ranks know: rewards of rows before it (all
     * weighed and added up so far: total), votes, signatures. Pure. */
    void (*group)(const struct reward_group *g, float *value);

    /* The model's own: its phase fills the row, the same on every rank, before rewards_sum. */
    bool by_model;
};

/* In the order in which rewards are told and added up; those of groups stand behind what they look
 * at. */
enum {
    GRADER_ACCURACY,
    GRADER_FORMAT,
    GRADER_MATH,
    GRADER_CODE,
    GRADER_MODEL,
    GRADER_LANGUAGE,
    GRADER_LENGTH,
    GRADER_REPETITION,
    GRADER_EFFICIENCY,
    GRADER_CONSISTENCY,
    GRADER_PLUGIN, /* the first of a phase's own graders */
    GRADER_NOVELTY = GRADER_PLUGIN + PLUGINS_MOST,
    GRADER_DIVERSITY,
    GRADER_RANK,
    GRADERS
};
extern const struct grader grader_accuracy, grader_format, grader_math, grader_code, grader_model,
    grader_language, grader_length, grader_repetition, grader_efficiency, grader_consistency,
    grader_novelty, grader_diversity, grader_rank;
const struct grader *grader_at(int number);
/* What it is called in a phase. */
const char *grader_called(int number, const struct phase_settings *k);
/* The number of a name; GRADERS: there is none of it. */
int grader_named(const char *name);

/* Sets of graders, as bits: those that a phase uses, those of evaluations. */
unsigned graders_of(const struct phase_settings *k);
unsigned graders_always(void);
static inline bool graders_have(unsigned set, int number)
{
    return (set >> number & 1u) != 0;
}
/* What they need, all together; the first of a phase's that needs `need`, by name, or NULL. */
unsigned graders_need(unsigned set);
const char *graders_for(const struct phase_settings *k, unsigned need);

struct grade_server;
/* What a rank reads answers with. Everything stays the caller's. */
struct grading {
    const struct tokenizer *tokenizer;
    struct ends ends;        /* that may stand at the end of an answer */
    const struct task *task; /* NULL: the problems are a file's */
    int verifier;            /* of a file: enum VERIFIER_... */
    bool parts;              /* rewards_grade counts the task's parts of a completion, too */
    char *text;              /* (text_size) any completion, until the next is read */
    size_t text_size;
    struct grade_server *server; /* NULL: no reward of the recipe has one */
    bool thinks;                 /* prompts end in <think>: an answer stands behind </think> */
};
/* Fills what is needed of c. Local, allocates nothing. */
void grading_read(const struct grading *g, struct completion *c, unsigned needs);

#endif
