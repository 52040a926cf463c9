/* A task makes problems, checks answers exactly, and shows how a problem is solved. One generator a file in
 * data/tasks/, one row each in the table. */
#ifndef DUET_TRAINER_DATA_TASK_H
#define DUET_TRAINER_DATA_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "comm/base/rng.h"
#include "trainer/data/why.h"

struct span; /* answer.h */

enum split { SPLIT_TRAIN, SPLIT_HELDOUT };

/* Text in a caller's fixed buffer; never overflows: `cut` says that it would have. */
struct text {
    char *at;
    size_t n, size;
    bool cut;
};
void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Any bytes; what does not fit is left out, whole characters of UTF-8 at a time. */
void text_add_bytes(struct text *t, const char *bytes, size_t n);

struct problem {
    const char *prompt; /* as the model sees it, without the opening <think> */
    const char *answer; /* one right answer: of the generator, or the data file's */
    long data[8];       /* the task's own numbers */
    long record;        /* task file: index of the record */
    char own_prompt[64],
        own_answer
            [64]; /* a generator's: where both point, so do not copy it; a file's are its record's */
};

struct task_options {
    int difficulty;
    double give_up;
    uint64_t seed;
};

struct task {
    const char *name, *help; /* help: one line on what difficulty means */
    int least_difficulty, most_difficulty;
    /* Problem number `index` of a split: a pure function of (options, split, index); the two splits never share a
     * problem (the split is the hash of the problem itself, a tenth held out). */
    void (*make)(struct problem *out, const struct task_options *o, enum split split,
                 uint32_t index);
    /* Grades the text between <answer> and </answer>, any bytes, not empty. What was read of it goes to `read`: its value
     * where it has one, else the text. Answers with the same verdict and the same `read` are the same answer: that is
     * what a majority votes by. */
    enum why (*verify)(const struct problem *p, struct span answer, struct text *read);
    /* Appends reasoning, "</think><answer>", answer, "</answer>": what follows the prompt's "<think>". */
    void (*demonstrate)(struct text *out, const struct problem *p, const struct task_options *o,
                        struct rng_stream *rng);
    /* Parts of a completion checked one by one, for metrics of the cold start (NULL: none): counts right/total of up to
     * TASK_PARTS kinds, e.g. arithmetic, verdict, copy. */
    const char *const *part_names; /* NULL-terminated */
    void (*parts)(const struct problem *p, const char *completion, size_t n, int right[],
                  int total[]);
};
enum { TASK_PARTS = 4 };

/* Does the answer (n bytes, any) solve the problem? */
bool task_right(const struct task *t, const struct problem *p, const char *answer, size_t n);

extern const struct task task_countdown, task_arithmetic, task_equations;
/* By TASK_ number of settings.h; NULL for TASK_FILE. */
const struct task *task_find(int number);
/* All of them with what difficulty means, to stdout: `duet help tasks`. */
void tasks_help(void);
uint64_t problem_hash(const char *prompt); /* XXH64, seed 0 */
/* The split that a problem belongs to: held out when its hash divides by 10. */
enum split problem_split(const char *prompt);
/* The draws of problem number `index`: a generator redraws from it until the problem is of the split. */
struct rng_stream problem_draws(const struct task_options *o, enum split split, uint32_t index);

#endif
