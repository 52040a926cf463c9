/* Supervised fine-tuning, one step: demonstrations in, the loss on what follows the prompt only. */
#include "trainer/phases/sft.h"

#include <math.h>
#include "comm/base/log.h"
#include "trainer/learn/lr.h"
#include "trainer/phases/demonstrations.h"
#include "trainer/phases/evaluate.h"
#include "trainer/phases/tell.h"
#include "trainer/run/sites.h"

/* Said at the first such step, the second, the fourth, ...: there may be many. */
static void say_nothing_learned(struct run *r, const struct phase_settings *k,
                                const struct demonstrations *b)
{
    long times = ++r->empty_steps;
    if ((times & (times - 1)) != 0) return;
    log_info("step %ld: nothing to learn from, no update: of %d demonstrations %d are missing and "
             "%d do not fit model.max_context %d (%ld such step%s so far)",
             r->step, k->batch, b->missing, b->too_long, r->stage.dims.max_context, times,
             times > 1 ? "s" : "");
}

static void put_batch(struct run *r, const struct demonstrations *b)
{
    if (b->too_long > 0) metrics_put(r->metrics, "data/too_long", b->too_long);
    if (b->missing > 0) metrics_put(r->metrics, "data/no_demonstration", b->missing);
    if (b->n == 0) metrics_put(r->metrics, "data/empty", 1);
}

struct phase_size sft_size(const struct phase_settings *k)
{
    return (struct phase_size){
        .sequences = k->batch, .parts = 1, .updates = 1, .demonstrations = true};
}

/* Without a usable demonstration the step has no update but counts: positions stay those of the
 * recipe. */
bool sft_step(struct run *r, const struct phase_settings *k)
{
    double start = clock_now();
    uint32_t from = (uint32_t)(sites_part(r, r->phase_step) * k->batch);
    struct demonstrations b = demonstrations_look(r, from, k->batch);
    struct step_job job = {.sequence = r->scratch->sequence,
                           .weight = r->scratch->weight,
                           .n = b.n,
                           .loss = &loss_sft,
                           .inv_temperature = 1,
                           .adamw = lr_adamw(k, 1, r->phase_step),
                           .grad_clip = k->grad_clip,
                           .fetch = demonstrations_fetch,
                           .fetch_context = &b};
    struct step_stats stats;
    struct learned learned = learned_nothing();
    if (b.n > 0) {
        learner_step(&r->learner, &job, &stats);
        learned_add(&learned, &stats);
        skips_count_update(r, k, &stats);
    } else {
        say_nothing_learned(r, k, &b);
    }
    sites_update(r, r->phase_step + 1, k->steps);
    r->tokens += learned.tokens;
    skips_count_step(&r->skips, &learned);
    double seconds = clock_now() - start;
    metrics_begin(r->metrics, r->step, k->name);
    step_tell(r, &learned, seconds);
    sites_put(r);
    put_batch(r, &b);
    evaluate_end_line(r, k);
    step_progress(r, k,
                  (struct progress){.loss = learned.loss,
                                    .reward = NAN,
                                    .length = b.n > 0 ? (double)b.tokens / b.n : NAN,
                                    .tokens_per_second = (double)learned.tokens / seconds});
    return true;
}
