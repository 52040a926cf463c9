#include "trainer/reward/rewards.h"
#include <string.h>
#include "comm/base/die.h"

void rewards_place(struct rewards *r, size_t answers, struct arena *a)
{
    r->n = GRADERS;
    for (int i = 0; i < r->n; i++) {
        r->name[i] = grader_at(i)->name;
        r->value[i] = arena_take_n(a, answers, sizeof(float));
    }
    r->total = arena_take_n(a, answers, sizeof(float));
    r->vote = arena_take_n(a, answers, sizeof(uint64_t));
    r->parts = arena_take_n(a, answers, sizeof *r->parts);
}

void rewards_clear(struct rewards *r, int n)
{
    for (int i = 0; i < r->n; i++) memset(r->value[i], 0, (size_t)n * sizeof(float));
    memset(r->vote, 0, (size_t)n * sizeof *r->vote);
    memset(r->parts, 0, (size_t)n * sizeof *r->parts);
}

void rewards_grade(struct rewards *r, const struct grading *g, int i, struct completion *c)
{
    grading_read(g, c, graders_need() | NEEDS_VERDICT);
    for (int k = 0; k < r->n; k++) r->value[k][i] = grader_at(k)->grade(c);
    r->vote[i] = c->verdict.vote;
    if (g->parts && g->task && g->task->parts)
        g->task->parts(c->problem, c->text, c->bytes, r->parts[i][0], r->parts[i][1]);
}

void rewards_gather(struct rewards *r, int n, MPI_Comm comm)
{
    for (int i = 0; i < r->n; i++)
        MPI_OK(MPI_Allreduce(MPI_IN_PLACE, r->value[i], n, MPI_FLOAT, MPI_SUM, comm));
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, r->vote, n, MPI_UINT64_T, MPI_BOR, comm));
}

/* Integers: the sum is the same in any order. */
void rewards_gather_parts(const struct rewards *r, int n, int right[TASK_PARTS],
                          int total[TASK_PARTS], MPI_Comm comm)
{
    int sum[2][TASK_PARTS] = {{0}};
    for (int i = 0; i < n; i++)
        for (int k = 0; k < TASK_PARTS; k++) {
            sum[0][k] += r->parts[i][0][k];
            sum[1][k] += r->parts[i][1][k];
        }
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, sum, 2 * TASK_PARTS, MPI_INT, MPI_SUM, comm));
    for (int k = 0; k < TASK_PARTS; k++) {
        right[k] += sum[0][k];
        total[k] += sum[1][k];
    }
}

void rewards_sum(struct rewards *r, int n, const struct phase_settings *k)
{
    memset(r->total, 0, (size_t)n * sizeof(float));
    for (int j = 0; j < r->n; j++) {
        float weight = (float)grader_at(j)->weight(k);
        for (int i = 0; i < n; i++) r->total[i] += weight * r->value[j][i];
    }
}

double rewards_mean(const float *value, int n)
{
    double mean = 0;
    for (int i = 0; i < n; i++) mean += (double)value[i] / n;
    return mean;
}
