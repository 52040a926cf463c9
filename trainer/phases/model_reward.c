#include "trainer/phases/model_reward.h"

#include "comm/base/log.h"
#include "trainer/phases/answers.h"
#include "trainer/run/scores.h"

/* Answers to questions [from, to) as sequences; returns how many. */
static int build(struct run *r, const struct phase_settings *k, const struct answer *a, int from,
                 int to)
{
    int n = 0;
    for (int i = from * k->samples; i < to * k->samples; i++, n++) {
        const struct question *q = &r->scratch->question[i / k->samples];
        r->scratch->weight[n] = 0;
        r->scratch->sequence[n] = (struct sequence){.prompt = i / k->samples,
                                                    .sample = i % k->samples,
                                                    .n_prompt = q->n,
                                                    .n = q->n + a[i].n,
                                                    .elsewhere = true};
    }
    return n;
}

/* As many at a time as an update has: there is room for those. Forward only, by the reward model's
 * weights; the same packing as in its own phase, hence the same scores (P1). */
static void ask(struct run *r, const struct phase_settings *k, const struct answer *a, float *value)
{
    struct answers answers = {.run = r, .samples = k->samples};
    for (int part = 0; part < k->mini_batches; part++) {
        const int from = answers_first(k, part), to = answers_first(k, part + 1);
        const struct step_job job = {.sequence = r->scratch->sequence,
                                     .weight = r->scratch->weight,
                                     .n = build(r, k, a, from, to),
                                     .inv_temperature = 1,
                                     .scalar = true,
                                     .by_reward = true,
                                     .fetch = answers_fetch,
                                     .fetch_context = &answers,
                                     .bring = answers_bring,
                                     .bring_context = &answers};
        scores_of(r, &job, value + (size_t)from * (size_t)k->samples);
    }
}

void model_reward(struct run *r, const struct phase_settings *k, const struct answer *a)
{
    struct rewards *w = &r->scratch->rewards;
    if (!graders_have(w->on, GRADER_MODEL)) return;
    double start = clock_now();
    ask(r, k, a, w->value[GRADER_MODEL]);
    w->seconds[GRADER_MODEL] = clock_now() - start;
}
