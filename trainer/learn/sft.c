/* Supervised fine-tuning, one step: demonstrations in, the loss on what follows the prompt only. */
#include <math.h>
#include "comm/base/log.h"
#include "trainer/run.h"
#include "trainer/sites.h"

/* Demonstration number `index` as sequence i of the step; false when it does not fit max_context or there is none. */
static bool demonstrate(struct run *r, uint32_t index, int i)
{
    struct step_scratch *s = r->scratch;
    int *token = s->token + (size_t)i * (size_t)r->actor.dims.max_context, n_prompt = 0;
    struct problem problem;
    struct text text = {.at = s->text, .size = s->text_size};
    source_problem(r->source, SPLIT_TRAIN, index, &problem);
    if (!source_demonstrate(r->source, &problem, index, &text) || text.cut) return false;
    int n = run_encode(r, problem.prompt, text.at, text.n, token, &n_prompt);
    if (n < 0) return false;
    s->sequence[i] = (struct sequence){.prompt = i, .n_prompt = n_prompt, .n = n, .token = token};
    return true;
}

bool sft_step(struct run *r, const struct phase_knobs *k)
{
    double start = clock_now();
    struct step_scratch *s = r->scratch;
    uint32_t from = (uint32_t)(sites_part(r, r->phase_step) * k->batch);
    int n = 0;
    long tokens = 0;
    for (int i = 0; i < k->batch; i++) {
        if (!demonstrate(r, from + (uint32_t)i, n)) continue;
        tokens += s->sequence[n].n - s->sequence[n].n_prompt;
        n++;
    }
    for (int i = 0; i < n; i++) s->weight[i] = 1 / (float)tokens;
    struct step_job job = {.sequence = s->sequence,
                           .weight = s->weight,
                           .n = n,
                           .kind = LOSS_SFT,
                           .inv_temperature = 1,
                           .adamw = run_adamw(k, r->phase_step),
                           .grad_clip = k->grad_clip};
    struct step_stats stats;
    struct learned learned = learned_nothing();
    learner_step(&r->learner, &job, &stats);
    learned_add(&learned, &stats);
    sites_update(r, r->phase_step + 1, k->steps);
    r->tokens += learned.tokens;
    double seconds = clock_now() - start;
    metrics_begin(r->metrics, r->step, k->name);
    run_put_step(r, &learned, seconds);
    sites_put(r);
    if (n < k->batch) metrics_put(r->metrics, "data/too_long", k->batch - n);
    run_end_line(r, k);
    run_progress(r, k,
                 (struct progress){.loss = learned.loss,
                                   .reward = NAN,
                                   .length = (double)tokens / n,
                                   .tokens_per_second = (double)learned.tokens / seconds});
    return true;
}
