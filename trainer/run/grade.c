#include "trainer/run/grade.h"

#include "model/flops.h"
#include "trainer/reward/server/server.h"
#include "trainer/run/questions.h"

static struct grading grading_of(const struct run *r)
{
    return (struct grading){.tokenizer = r->tokenizer,
                            .ends = r->ends,
                            .task = source_task(r->source),
                            .verifier = r->settings.data.verifier,
                            .server = grade_server(),
                            .thinks = r->settings.data.think,
                            .text = r->scratch->text,
                            .text_size = r->scratch->text_size};
}

static struct completion completion_of(const struct problem *p, const struct answer *a)
{
    return (struct completion){
        .problem = p, .token = a->token, .logp = a->logp, .n = a->n, .truncated = a->truncated};
}

/* Evaluations count what all phases have. */
static unsigned graders_now(const struct phase_settings *k, bool parts)
{
    return parts ? graders_always() : graders_of(k);
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
    const int question = index / s->samples;
    const struct dims *d = &((struct run *)run)->stage.dims;
    struct completion c = completion_of(questions_problem(run, question), a);
    c.n_prompt = s->question[question].n;
    c.flops_row = d->L * flops_layer(d) + flops_head(d);
    c.flops_key = d->L * flops_attention(d, 1);
    rewards_grade(&s->rewards, &s->grading, index, &c, s->phase);
}

struct rollout_listener grade_listener(struct run *r, const struct phase_settings *k, int questions,
                                       int samples, bool parts)
{
    struct step_scratch *s = r->scratch;
    s->grading = grading_of(r);
    s->grading.parts = parts;
    s->samples = samples;
    s->phase = k;
    rewards_clear(&s->rewards, graders_now(k, parts), questions * samples);
    rewards_call(&s->rewards, k);
    return (struct rollout_listener){finished, r};
}

void grade_gather(struct run *r, int questions, struct tally *t)
{
    struct step_scratch *s = r->scratch;
    int n = questions * s->samples;
    rewards_collect(&s->rewards, &s->grading, s->phase);
    rewards_gather(&s->rewards, n, r->world->comm);
    if (t) rewards_gather_parts(&s->rewards, n, t->part_right, t->part_total, r->world->comm);
}
