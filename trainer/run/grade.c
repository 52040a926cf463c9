#include "trainer/run/grade.h"

#include "trainer/run/questions.h"

static struct grading grading_of(const struct run *r)
{
    return (struct grading){.tokenizer = r->tokenizer,
                            .ends = r->ends,
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

/* On the rank that sampled the answer, while others are still decoded. */
static void finished(void *run, int index, const struct answer *a)
{
    struct step_scratch *s = ((struct run *)run)->scratch;
    struct completion c = completion_of(questions_problem(run, index / s->samples), a);
    rewards_grade(&s->rewards, &s->grading, index, &c);
}

struct rollout_listener grade_listener(struct run *r, int questions, int samples, bool parts)
{
    struct step_scratch *s = r->scratch;
    s->grading = grading_of(r);
    s->grading.parts = parts;
    s->samples = samples;
    rewards_clear(&s->rewards, questions * samples);
    return (struct rollout_listener){finished, r};
}

void grade_gather(struct run *r, int questions, struct tally *t)
{
    struct step_scratch *s = r->scratch;
    int n = questions * s->samples;
    rewards_gather(&s->rewards, n, r->world->comm);
    if (t) rewards_gather_parts(&s->rewards, n, t->part_right, t->part_total, r->world->comm);
}
