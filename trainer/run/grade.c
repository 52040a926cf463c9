/* Grading: answers are shared over ranks, graded by rule, and the results added up (every slot is filled by one rank, so the
 * sum is exact). */
#include <string.h>
#include "trainer/data/answer.h"
#include "trainer/run/run.h"

/* Without its <eos>, into scratch->text. */
static size_t text_of(struct run *r, const struct answer *a)
{
    struct step_scratch *s = r->scratch;
    int n = a->n > 0 && a->token[a->n - 1] == r->eos ? a->n - 1 : a->n;
    size_t length = tokenizer_decode(r->tokenizer, a->token, (size_t)n, s->text, s->text_size);
    return length < s->text_size ? length : s->text_size - 1;
}

struct verdict run_grade_one(struct run *r, const struct problem *p, const struct answer *a)
{
    struct span text = {r->scratch->text, text_of(r, a)};
    return verdict_of(source_task(r->source), p, text, a->truncated);
}

/* Parts of completions: right, then total. */
enum { COUNTS = 2 * TASK_PARTS };

static void grade_one(struct run *r, const struct answer *a, int i, int question, int counts[])
{
    struct step_scratch *s = r->scratch;
    const struct problem *p = &s->problem[question];
    const struct task *task = source_task(r->source);
    struct span text = {s->text, text_of(r, a)};
    struct verdict v = verdict_of(task, p, text, a->truncated);
    s->accuracy[i] = v.why == WHY_RIGHT;
    s->format[i] = answer_in_form(text);
    s->vote[i] = v.vote;
    if (task && task->parts) task->parts(p, text.at, text.n, counts, counts + TASK_PARTS);
}

void run_grade(struct run *r, const struct answer *answer, int questions, int samples,
               struct tally *t)
{
    struct step_scratch *s = r->scratch;
    int n = questions * samples, counts[COUNTS] = {0};
    memset(s->accuracy, 0, (size_t)n * sizeof *s->accuracy);
    memset(s->format, 0, (size_t)n * sizeof *s->format);
    memset(s->vote, 0, (size_t)n * sizeof *s->vote);
    for (int i = r->world->rank; i < n; i += r->world->size)
        grade_one(r, &answer[i], i, i / samples, counts);
    MPI_Comm c = r->world->comm;
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, s->accuracy, n, MPI_FLOAT, MPI_SUM, c));
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, s->format, n, MPI_FLOAT, MPI_SUM, c));
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, s->vote, n, MPI_UINT64_T, MPI_BOR, c));
    if (!t) return;
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, counts, COUNTS, MPI_INT, MPI_SUM, c));
    for (int i = 0; i < TASK_PARTS; i++) {
        t->part_right[i] += counts[i];
        t->part_total[i] += counts[TASK_PARTS + i];
    }
}
