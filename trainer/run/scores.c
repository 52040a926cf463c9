#include "trainer/run/scores.h"

#include <string.h>

/* On the ranks that hold the head; the last row has read all of the answer but its end. */
static void found(void *score, int sequence, const float *rows, int n)
{
    ((float *)score)[sequence] = rows[n - 1];
}

/* One rank knows a score, the others add 0: the sum is exact. */
void scores_of(struct run *r, const struct step_job *job, float *score)
{
    memset(score, 0, (size_t)job->n * sizeof *score);
    learner_score(&r->learner, job, found, score);
    die_place("scores of all answers");
    MPI_Request sum;
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, score, job->n, MPI_FLOAT, MPI_SUM, r->world->comm, &sum));
    world_wait(&sum, 1);
    die_place(NULL);
}
