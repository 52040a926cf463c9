/* The rewards of a step: a matrix, a row for each grader, a column for each answer. */
#ifndef DUET_TRAINER_REWARD_REWARDS_H
#define DUET_TRAINER_REWARD_REWARDS_H

#include <mpi.h>
#include "comm/base/arena.h"
#include "trainer/reward/grader.h"

struct rewards {
    int n; /* rows */
    const char *name[GRADERS];
    float *value[GRADERS];       /* (answers) each */
    float *total;                /* (answers) weighed sums: rewards_sum */
    uint64_t *vote;              /* (answers) as verdict.vote */
    int (*parts)[2][TASK_PARTS]; /* (answers) of those graded here: right, total (task.parts) */
};

/* Room for this many answers. */
void rewards_place(struct rewards *r, size_t answers, struct arena *a);
/* Nothing is graded: zeros for n answers. */
void rewards_clear(struct rewards *r, int n);
/* Grades answer i; c is filled as far as a grader needs it, and with its verdict. Local,
 * allocates nothing. */
void rewards_grade(struct rewards *r, const struct grading *g, int i, struct completion *c);
/* All ranks get all rewards of n answers, votes included. Each was graded on one rank and is 0
 * on the others, so that the sums are exact. Collective over comm. */
void rewards_gather(struct rewards *r, int n, MPI_Comm comm);
/* Adds the parts of n answers, over all ranks. Collective over comm. */
void rewards_gather_parts(const struct rewards *r, int n, int right[TASK_PARTS],
                          int total[TASK_PARTS], MPI_Comm comm);
/* total of n answers: their rewards times the phase's weights, added up in the order of the
 * rows. Local. */
void rewards_sum(struct rewards *r, int n, const struct phase_settings *k);
/* Mean over n answers. */
double rewards_mean(const float *value, int n);

#endif
