/* The rewards of a step: a matrix, a row for each grader, a column for each answer. */
#ifndef DUET_TRAINER_REWARD_REWARDS_H
#define DUET_TRAINER_REWARD_REWARDS_H

#include <mpi.h>
#include "comm/base/arena.h"
#include "trainer/reward/grader.h"
#include "trainer/reward/signature.h"

enum { REWARD_COUNTS = 8 };

struct rewards {
    int n;         /* rows */
    uint32_t turn; /* counts rewards_clear: replies to what was asked before are old */
    unsigned on;   /* of them those that are graded now, as bits; the others are 0 */
    const char *name[GRADERS];
    float *value[GRADERS];                 /* (answers) each; NULL: no phase uses the row */
    float *total;                          /* (answers) weighed sums: rewards_sum */
    uint64_t *vote;                        /* (answers) as verdict.vote */
    unsigned char (*signature)[SIGNATURE]; /* (answers) NULL: no row needs them */
    int (*parts)[2][TASK_PARTS]; /* (answers) of those graded here: right, total (task.parts) */
    double seconds[GRADERS];     /* spent grading: here, behind rewards_gather by who spent most */
    long counts[GRADERS][REWARD_COUNTS]; /* of graders.counts: here, then on all ranks */
    long lost[GRADERS];                  /* verdicts that never came: here, then on all ranks */
};

/* Room for this many answers, in the rows of a set of graders. */
void rewards_place(struct rewards *r, unsigned graders, size_t answers, struct arena *a);
/* Nothing is graded: zeros for n answers. From here on these graders count, all of which have
 * their rows. */
void rewards_clear(struct rewards *r, unsigned graders, int n);
/* The rows are called as they are in this phase. */
void rewards_call(struct rewards *r, const struct phase_settings *k);
/* Grades answer i; c is filled as far as a grader needs it, and with its verdict. Local,
 * allocates nothing. */
void rewards_grade(struct rewards *r, const struct grading *g, int i, struct completion *c,
                   const struct phase_settings *k);
/* What graders of r->on started is there or lost. Local. */
void rewards_collect(struct rewards *r, const struct grading *g, const struct phase_settings *k);
/* A verdict that did not come earns 0 and is counted. */
void rewards_lose(struct rewards *r, int row, int i);
/* All ranks get all rewards of n answers, votes included. Each was graded on one rank and is 0
 * on the others, so that the sums are exact. Collective over comm. */
void rewards_gather(struct rewards *r, int n, MPI_Comm comm);
/* Adds the parts of n answers, over all ranks. Collective over comm. */
void rewards_gather_parts(const struct rewards *r, int n, int right[TASK_PARTS],
                          int total[TASK_PARTS], MPI_Comm comm);
/* Graders of groups fill their rows; total of all answers: their rewards times the phase's weights,
 * added up in the order of the rows. Local. */
void rewards_sum(struct rewards *r, int questions, int samples, const struct phase_settings *k);

/* The rows that make up total, with their weights; returns how many. Local. */
int rewards_terms(const struct rewards *r, const struct phase_settings *k,
                  const float *term[GRADERS], double weight[GRADERS]);

/* Mean over n answers, and √ of the mean squared distance from it. */
double rewards_mean(const float *value, int n);
double rewards_std(const float *value, int n);
/* Groups within which they are all equal. */
int rewards_equal(const float *value, int questions, int samples);

#endif
