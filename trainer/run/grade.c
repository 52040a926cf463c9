/* Grading: answers are shared over ranks, graded by rule, and the results added up (every slot is filled by one rank, so the
 * sum is exact). */
#include "trainer/run/grade.h"

static struct grading grading_of(const struct run *r)
{
    return (struct grading){.tokenizer = r->tokenizer,
                            .eos = r->eos,
                            .task = source_task(r->source),
                            .text = r->scratch->text,
                            .text_size = r->scratch->text_size};
}

static struct completion completion_of(const struct problem *p, const struct answer *a)
{
    return (struct completion){
        .problem = p, .token = a->token, .n = a->n, .truncated = a->truncated};
}

struct verdict grade_one(struct run *r, const struct problem *p, const struct answer *a)
{
    const struct grading g = grading_of(r);
    struct completion c = completion_of(p, a);
    grading_read(&g, &c, NEEDS_VERDICT);
    return c.verdict;
}

/* Parts of completions: right, then total. */
enum { COUNTS = 2 * TASK_PARTS };

static void add_counts(struct tally *t, int counts[COUNTS], MPI_Comm comm)
{
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, counts, COUNTS, MPI_INT, MPI_SUM, comm));
    for (int i = 0; i < TASK_PARTS; i++) {
        t->part_right[i] += counts[i];
        t->part_total[i] += counts[TASK_PARTS + i];
    }
}

void grade_answers(struct run *r, const struct answer *answer, int questions, int samples,
                   struct tally *t)
{
    struct step_scratch *s = r->scratch;
    const struct grading g = grading_of(r);
    int n = questions * samples, counts[COUNTS] = {0};
    rewards_clear(&s->rewards, n);
    for (int i = r->world->rank; i < n; i += r->world->size) {
        struct completion c = completion_of(&s->problem[i / samples], &answer[i]);
        rewards_grade(&s->rewards, &g, i, &c);
        if (g.task && g.task->parts)
            g.task->parts(c.problem, c.text, c.bytes, counts, counts + TASK_PARTS);
    }
    rewards_gather(&s->rewards, n, r->world->comm);
    if (t) add_counts(t, counts, r->world->comm);
}
