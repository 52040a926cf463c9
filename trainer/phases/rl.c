/* One GRPO step: questions -> answers -> rewards -> advantages -> updates. */
#include "trainer/phases/rl.h"

#include <string.h>
#include "comm/base/log.h"
#include "trainer/learn/lr.h"
#include "trainer/phases/rl_metrics.h"
#include "trainer/run/grade.h"
#include "trainer/run/sites.h"

static struct rollout_job job_of(struct run *r, const struct phase_settings *k)
{
    struct rollout_job j = {.question = r->scratch->question,
                            .questions = k->prompts,
                            .samples = k->samples,
                            .max_new = k->max_new,
                            .eos = r->eos,
                            .sampleable = tokenizer_size(r->tokenizer),
                            .seed = (uint64_t)r->settings.run.seed,
                            .purpose = RNG_SAMPLE,
                            .step = (uint32_t)sites_part(r, r->step)};
    j.sampling = (struct sampling){(float)k->temperature, k->top_k, (float)k->top_p};
    if (r->world->sites == 1) j.stop = world_stop_requested; /* sites stop at one step */
    return j;
}

/* Rewards and advantages of all answers; returns how many groups have equal rewards. */
static int reward_groups(struct run *r, const struct phase_settings *k)
{
    struct step_scratch *s = r->scratch;
    const float *total = s->rewards.total;
    int equal = 0;
    rewards_sum(&s->rewards, k->prompts * k->samples, k);
    for (int q = 0; q < k->prompts; q++)
        equal += grpo_advantage(s->advantage + q * k->samples, total + q * k->samples, k->samples,
                                k->advantage == ADVANTAGE_STD);
    return equal;
}

/* --- what is learned from --- */

static struct grpo_rule rule_of(const struct phase_settings *k)
{
    return (struct grpo_rule){.aggregate = k->aggregate,
                              .keep = k->zero_spread == ZERO_SPREAD_KEEP,
                              .kl = k->kl > 0,
                              .longest = k->max_new};
}

/* Answer i as the denominators see it. */
static struct grpo_answer counted(const struct run *r, const struct phase_settings *k,
                                  const struct answer *a, int i)
{
    const float *group = r->scratch->rewards.total + i / k->samples * k->samples;
    bool spread = false;
    for (int j = 1; j < k->samples; j++) spread = spread || group[j] != group[0];
    return (struct grpo_answer){
        .length = a[i].n, .spread = spread, .masked = k->mask_truncated && a[i].truncated};
}

static void build_sequence(struct run *r, const struct phase_settings *k, const struct answer *a,
                           int i, struct sequence *out)
{
    struct step_scratch *s = r->scratch;
    const struct question *q = &s->question[i / k->samples];
    int n = q->n + a[i].n;
    /* the questions' own prompts stand in the first rows of scratch->token: answers follow behind them */
    int *token = s->token + (size_t)(k->prompts + i) * (size_t)r->actor.dims.max_context;
    memcpy(token, q->token, (size_t)q->n * sizeof(int));
    memcpy(token + q->n, a[i].token, (size_t)a[i].n * sizeof(int));
    *out = (struct sequence){.prompt = i / k->samples,
                             .sample = i % k->samples,
                             .n_prompt = q->n,
                             .n = n,
                             .token = token,
                             .logp = a[i].logp,
                             .advantage = s->advantage[i],
                             .truncated = a[i].truncated};
}

/* What is run of mini-batch `part` into scratch->sequence, with weights that divide by all of it that counts (P6); returns
 * the number of sequences. */
static int build_mini_batch(struct run *r, const struct phase_settings *k, const struct answer *a,
                            int part)
{
    struct step_scratch *s = r->scratch;
    struct grpo_rule rule = rule_of(k);
    struct grpo_count all = {0};
    long questions = k->prompts; /* times parts: beyond an int */
    int from = (int)(part * questions / k->mini_batches) * k->samples;
    int to = (int)((part + 1) * questions / k->mini_batches) * k->samples, n = 0;
    for (int i = from; i < to; i++) grpo_count(&all, &rule, counted(r, k, a, i));
    for (int i = from; i < to; i++) {
        double weight = grpo_weight(&all, &rule, counted(r, k, a, i));
        if (weight == 0) continue;
        s->weight[n] = (float)weight;
        build_sequence(r, k, a, i, &s->sequence[n++]);
    }
    return n;
}

static bool learn_mini_batch(struct run *r, const struct phase_settings *k, const struct answer *a,
                             int part, int update, struct step_stats *stats)
{
    struct step_scratch *s = r->scratch;
    int n = build_mini_batch(r, k, a, part);
    if (n == 0) return false;
    struct step_job job = {
        .sequence = s->sequence,
        .weight = s->weight,
        .n = n,
        .kind = LOSS_GRPO,
        .grpo = {(float)k->clip_low, (float)k->clip_high, (float)k->dual_clip, (float)k->kl},
        .inv_temperature = 1 / (float)k->temperature,
        .use_reference = k->kl > 0,
        .adamw = lr_adamw(k, rl_size(k).updates, r->phase_step * rl_size(k).updates + update),
        .grad_clip = k->grad_clip};
    learner_step(&r->learner, &job, stats);
    return true;
}

/* All updates of the step. The first is on-policy: its deviation is what promise P2 is about. */
static struct learned learn(struct run *r, const struct phase_settings *k, const struct answer *a)
{
    struct learned all = learned_nothing();
    struct step_stats one;
    long updates = rl_size(k).updates;
    for (int u = 0; u < updates; u++) {
        if (learn_mini_batch(r, k, a, u % k->mini_batches, u, &one)) {
            learned_add(&all, &one);
            skips_count_update(r, k, &one);
        }
        sites_update(r, r->phase_step * updates + u + 1, k->steps * updates);
    }
    r->tokens += all.tokens;
    return all;
}

static void renew_reference(struct run *r, const struct phase_settings *k)
{
    if (k->kl > 0 && k->ref_every > 0 && (r->phase_step + 1) % k->ref_every == 0)
        optimizer_snapshot(&r->optimizer);
}

struct phase_size rl_size(const struct phase_settings *k)
{
    return (struct phase_size){.sequences = k->prompts * k->samples,
                               .parts = k->mini_batches,
                               .updates = (long)k->mini_batches * k->epochs,
                               .questions = k->prompts,
                               .samples = k->samples,
                               .reference = k->kl > 0};
}

bool rl_step(struct run *r, const struct phase_settings *k)
{
    double start = clock_now();
    struct rollout_job job = job_of(r, k);
    struct rl_step told = {0};
    run_questions(r, SPLIT_TRAIN, (uint32_t)(sites_part(r, r->phase_step) * k->prompts),
                  k->prompts);
    job.listener = grade_listener(r, k->prompts, k->samples, false);
    told.answer = rollout_run(r->rollout, &job, &told.rollout);
    if (rollout_whole(r->rollout) < k->prompts)
        return false; /* drawn again, bit for bit, when resumed */
    double graded = clock_now();
    grade_gather(r, k->prompts, NULL);
    told.equal = reward_groups(r, k);
    told.reward_seconds = clock_now() - graded;
    told.learned = learn(r, k, told.answer);
    skips_count_step(&r->skips, &told.learned);
    renew_reference(r, k);
    told.seconds = clock_now() - start;
    rl_tell(r, k, &told);
    return true;
}
