#include "trainer/reward/rewards.h"
#include <math.h>
#include <string.h>
#include "comm/base/die.h"
#include "comm/base/log.h"
#include "comm/world.h"

static bool needs_signatures(unsigned graders)
{
    return (graders_need(graders) & NEEDS_SIGNATURE) == NEEDS_SIGNATURE;
}

void rewards_place(struct rewards *r, unsigned graders, size_t answers, struct arena *a)
{
    r->n = GRADERS;
    for (int i = 0; i < r->n; i++) {
        r->name[i] = grader_at(i)->name;
        if (graders_have(graders, i)) r->value[i] = arena_take_n(a, answers, sizeof(float));
    }
    r->total = arena_take_n(a, answers, sizeof(float));
    r->vote = arena_take_n(a, answers, sizeof(uint64_t));
    r->parts = arena_take_n(a, answers, sizeof *r->parts);
    if (needs_signatures(graders)) r->signature = arena_take_n(a, answers, sizeof *r->signature);
}

void rewards_clear(struct rewards *r, unsigned graders, int n)
{
    r->on = graders;
    r->turn = (r->turn + 1) & 0x3fffffff;
    for (int i = 0; i < r->n; i++) {
        INVARIANT(r->value[i] || !graders_have(graders, i), "no room for %s", r->name[i]);
        if (r->value[i]) memset(r->value[i], 0, (size_t)n * sizeof(float));
        r->seconds[i] = 0;
        r->lost[i] = 0;
    }
    memset(r->counts, 0, sizeof r->counts);
    memset(r->vote, 0, (size_t)n * sizeof *r->vote);
    memset(r->parts, 0, (size_t)n * sizeof *r->parts);
    if (r->signature) memset(r->signature, 0, (size_t)n * sizeof *r->signature);
}

void rewards_call(struct rewards *r, const struct phase_settings *k)
{
    for (int i = 0; i < r->n; i++) r->name[i] = grader_called(i, k);
}

/* The first row's time has that of reading the answer in it. */
void rewards_grade(struct rewards *r, const struct grading *g, int i, struct completion *c,
                   const struct phase_settings *k)
{
    double start = clock_now();
    grading_read(g, c, graders_need(r->on) | NEEDS_VERDICT);
    for (int j = 0; j < r->n; j++) {
        const struct grader *grader = grader_at(j);
        if (!graders_have(r->on, j)) continue;
        if (grader->grade) r->value[j][i] = grader->grade(c, k);
        if (grader->start) grader->start(r, g, i, c, k);
        double now = clock_now();
        r->seconds[j] += now - start;
        start = now;
    }
    r->vote[i] = c->verdict.vote;
    if (needs_signatures(r->on)) signature_make(r->signature[i], (struct span){c->text, c->bytes});
    if (g->parts && g->task && g->task->parts)
        g->task->parts(c->problem, c->text, c->bytes, r->parts[i][0], r->parts[i][1]);
}

void rewards_collect(struct rewards *r, const struct grading *g, const struct phase_settings *k)
{
    for (int j = 0; j < r->n; j++) {
        double start = clock_now();
        if (!graders_have(r->on, j) || !grader_at(j)->collect) continue;
        grader_at(j)->collect(r, g, k);
        r->seconds[j] += clock_now() - start;
    }
}

/* Sums under way: of each row, votes, signatures, seconds, what was lost, counts. */
struct sums {
    MPI_Request sum[GRADERS + 5];
    int n;
};

static void start_sum(struct sums *s, void *of, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    INVARIANT(s->n < (int)(sizeof s->sum / sizeof *s->sum), "%d sums of rewards", s->n);
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, of, n, type, op, comm, &s->sum[s->n++]));
}

void rewards_gather(struct rewards *r, int n, MPI_Comm comm)
{
    struct sums s = {.n = 0};
    for (int i = 0; i < r->n; i++)
        if (graders_have(r->on, i)) start_sum(&s, r->value[i], n, MPI_FLOAT, MPI_SUM, comm);
    start_sum(&s, r->vote, n, MPI_UINT64_T, MPI_BOR, comm);
    if (needs_signatures(r->on))
        start_sum(&s, r->signature, n * (int)(SIGNATURE / sizeof(uint64_t)), MPI_UINT64_T, MPI_BOR,
                  comm);
    start_sum(&s, r->seconds, GRADERS, MPI_DOUBLE, MPI_MAX, comm);
    start_sum(&s, r->lost, GRADERS, MPI_LONG, MPI_SUM, comm);
    start_sum(&s, r->counts, GRADERS * REWARD_COUNTS, MPI_LONG, MPI_SUM, comm);
    die_place("rewards of the step's answers");
    world_wait(s.sum, s.n);
    die_place(NULL);
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
    MPI_Request request;
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, sum, 2 * TASK_PARTS, MPI_INT, MPI_SUM, comm, &request));
    die_place("parts of the answers");
    world_wait(&request, 1);
    die_place(NULL);
    for (int k = 0; k < TASK_PARTS; k++) {
        right[k] += sum[0][k];
        total[k] += sum[1][k];
    }
}

static void grade_groups(struct rewards *r, int row, int questions, int samples,
                         const struct phase_settings *k)
{
    double start = clock_now();
    for (int q = 0; q < questions; q++) {
        const struct reward_group g = {r, k, q * samples, samples};
        grader_at(row)->group(&g, r->value[row] + g.from);
    }
    r->seconds[row] += clock_now() - start;
}

void rewards_sum(struct rewards *r, int questions, int samples, const struct phase_settings *k)
{
    const int n = questions * samples;
    memset(r->total, 0, (size_t)n * sizeof(float));
    for (int j = 0; j < r->n; j++) {
        float weight = (float)grader_at(j)->weight(k);
        if (!graders_have(r->on, j)) continue;
        if (grader_at(j)->group) grade_groups(r, j, questions, samples, k);
        for (int i = 0; i < n; i++) r->total[i] += weight * r->value[j][i];
    }
}

int rewards_terms(const struct rewards *r, const struct phase_settings *k,
                  const float *term[GRADERS], double weight[GRADERS])
{
    int n = 0;
    for (int j = 0; j < r->n; j++) {
        if (grader_at(j)->weight(k) == 0) continue;
        term[n] = r->value[j];
        weight[n++] = grader_at(j)->weight(k);
    }
    return n;
}

double rewards_mean(const float *value, int n)
{
    double mean = 0;
    for (int i = 0; i < n; i++) mean += (double)value[i] / n;
    return mean;
}

double rewards_std(const float *value, int n)
{
    double mean = rewards_mean(value, n), square = 0;
    for (int i = 0; i < n; i++) square += pow((double)value[i] - mean, 2) / n;
    return sqrt(square);
}

int rewards_equal(const float *value, int questions, int samples)
{
    int equal = 0;
    for (int q = 0; q < questions; q++) {
        const float *of = value + q * samples;
        bool same = true;
        for (int i = 1; i < samples; i++) same = same && of[i] == of[0];
        equal += same;
    }
    return equal;
}
