/* What answers are rewarded for: one grader a file, one row each in the table. */
#ifndef DUET_TRAINER_REWARD_GRADER_H
#define DUET_TRAINER_REWARD_GRADER_H

#include "model/tokenizer.h"
#include "trainer/data/ends.h"
#include "trainer/config/settings.h"
#include "trainer/reward/verdict.h"

/* One answer to be graded. */
struct completion {
    const struct problem *problem;
    const int *token; /* (n) a final <eos> included */
    int n;
    bool truncated; /* cut at the limit */

    /* filled by grading_read, where a grader needs it */
    const char *text; /* (bytes) without the <eos>; in the grading's buffer */
    size_t bytes;
    struct verdict verdict;
};
enum { NEEDS_TOKENS = 0, NEEDS_TEXT = 1, NEEDS_VERDICT = 2 | NEEDS_TEXT };

struct grader {
    const char *name; /* NAME in samples.jsonl, reward/NAME/mean in metrics.jsonl */
    unsigned needs;   /* of a completion: NEEDS_... */
    /* The reward of a completion, a pure function of it. Local. */
    float (*grade)(const struct completion *c);
    /* Its weight in the total reward of a phase. */
    double (*weight)(const struct phase_settings *k);
};

/* In the order in which rewards are told and added up. */
enum { GRADER_ACCURACY, GRADER_FORMAT, GRADERS };
extern const struct grader grader_accuracy, grader_format;
const struct grader *grader_at(int number);
/* What the graders need, all together. */
unsigned graders_need(void);

/* What a rank reads answers with. Everything stays the caller's. */
struct grading {
    const struct tokenizer *tokenizer;
    struct ends ends;        /* that may stand at the end of an answer */
    const struct task *task; /* NULL: the problems are a file's */
    bool parts;              /* rewards_grade counts the task's parts of a completion, too */
    char *text;              /* (text_size) any completion, until the next is read */
    size_t text_size;
};
/* Fills what is needed of c. Local, allocates nothing. */
void grading_read(const struct grading *g, struct completion *c, unsigned needs);

#endif
