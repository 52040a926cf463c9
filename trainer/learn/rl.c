/* One GRPO step: questions -> answers -> rewards -> advantages -> updates. */
#include <math.h>
#include <string.h>
#include "comm/base/log.h"
#include "trainer/run.h"
#include "trainer/sites.h"

static struct rollout_job job_of(struct run *r, const struct phase_knobs *k)
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
    return j;
}

/* Rewards and advantages of all answers; returns how many groups have equal rewards. */
static int reward_groups(struct run *r, const struct phase_knobs *k)
{
    struct step_scratch *s = r->scratch;
    int equal = 0, n = k->prompts * k->samples;
    for (int i = 0; i < n; i++)
        s->reward[i] = s->accuracy[i] + (float)k->reward_format * s->format[i];
    for (int q = 0; q < k->prompts; q++)
        equal += grpo_advantage(s->advantage + q * k->samples, s->reward + q * k->samples,
                                k->samples, k->advantage == ADVANTAGE_STD);
    return equal;
}

/* --- what is learned from --- */

static struct grpo_rule rule_of(const struct phase_knobs *k)
{
    return (struct grpo_rule){.aggregate = k->aggregate,
                              .keep = k->zero_spread == ZERO_SPREAD_KEEP,
                              .kl = k->kl > 0,
                              .longest = k->max_new};
}

/* Answer i as the denominators see it. */
static struct grpo_answer counted(const struct run *r, const struct phase_knobs *k,
                                  const struct answer *a, int i)
{
    const float *group = r->scratch->reward + i / k->samples * k->samples;
    bool spread = false;
    for (int j = 1; j < k->samples; j++) spread = spread || group[j] != group[0];
    return (struct grpo_answer){
        .length = a[i].n, .spread = spread, .masked = k->mask_truncated && a[i].truncated};
}

static void build_sequence(struct run *r, const struct phase_knobs *k, const struct answer *a,
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
static int build_mini_batch(struct run *r, const struct phase_knobs *k, const struct answer *a,
                            int part)
{
    struct step_scratch *s = r->scratch;
    struct grpo_rule rule = rule_of(k);
    struct grpo_count all = {0};
    int from = part * k->prompts / k->mini_batches * k->samples;
    int to = (part + 1) * k->prompts / k->mini_batches * k->samples, n = 0;
    for (int i = from; i < to; i++) grpo_count(&all, &rule, counted(r, k, a, i));
    for (int i = from; i < to; i++) {
        double weight = grpo_weight(&all, &rule, counted(r, k, a, i));
        if (weight == 0) continue;
        s->weight[n] = (float)weight;
        build_sequence(r, k, a, i, &s->sequence[n++]);
    }
    return n;
}

static bool learn_mini_batch(struct run *r, const struct phase_knobs *k, const struct answer *a,
                             int part, int update, struct step_stats *stats)
{
    struct step_scratch *s = r->scratch;
    long per_step = (long)k->mini_batches * k->epochs;
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
        .adamw = run_adamw(k, r->phase_step * per_step + update, k->steps * per_step),
        .grad_clip = k->grad_clip};
    learner_step(&r->learner, &job, stats);
    return true;
}

/* All updates of the step. The first is on-policy: its deviation is what promise P2 is about. */
static struct step_stats learn(struct run *r, const struct phase_knobs *k, const struct answer *a)
{
    struct step_stats sum = {0}, one;
    int done = 0, updates = k->mini_batches * k->epochs;
    for (int u = 0; u < updates; u++) {
        bool learned = learn_mini_batch(r, k, a, u % k->mini_batches, u, &one);
        sites_update(r, r->phase_step * updates + u + 1, k->steps * (long)updates);
        if (!learned) continue;
        one.seconds += sum.seconds;
        one.reduce_seconds += sum.reduce_seconds;
        one.tokens += sum.tokens;
        one.rows += sum.rows;
        one.max_deviation = done > 0 ? sum.max_deviation : one.max_deviation;
        sum = one;
        done++;
    }
    r->tokens += sum.tokens;
    return sum;
}

/* --- telling --- */

struct mean {
    double reward, std, accuracy, format, length, longest, truncated;
};

static struct mean mean_of(const struct run *r, const struct phase_knobs *k, const struct answer *a)
{
    const struct step_scratch *s = r->scratch;
    struct mean m = {0};
    int n = k->prompts * k->samples;
    for (int i = 0; i < n; i++) {
        m.reward += (double)s->reward[i] / n;
        m.accuracy += (double)s->accuracy[i] / n;
        m.format += (double)s->format[i] / n;
        m.length += (double)a[i].n / n;
        m.truncated += (double)a[i].truncated / n;
        if (a[i].n > m.longest) m.longest = a[i].n;
    }
    for (int i = 0; i < n; i++) m.std += pow((double)s->reward[i] - m.reward, 2) / n;
    m.std = sqrt(m.std);
    return m;
}

static void put_answers(struct run *r, const struct phase_knobs *k, const struct mean *m, int equal)
{
    struct metrics *o = r->metrics;
    metrics_put(o, "reward/mean", m->reward);
    metrics_put(o, "reward/std", m->std);
    metrics_put(o, "reward/accuracy/mean", m->accuracy);
    metrics_put(o, "reward/format/mean", m->format);
    metrics_put(o, "reward/zero_std_fraction", (double)equal / k->prompts);
    metrics_put(o, "response_length/mean", m->length);
    metrics_put(o, "response_length/max", m->longest);
    metrics_put(o, "response/truncated_fraction", m->truncated);
}

static json_t *numbers(const void *v, int n, bool real)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(a, real ? json_real((double)((const float *)v)[i])
                                      : json_integer(((const int *)v)[i]));
    return a;
}

static void put_sample(struct run *r, const struct phase_knobs *k, const struct answer *a, int i)
{
    struct step_scratch *s = r->scratch;
    const struct question *q = &s->question[i / k->samples];
    tokenizer_decode(r->tokenizer, a->token, (size_t)a->n, s->text, s->text_size);
    json_t *o = json_pack("{s:I, s:s, s:i, s:i, s:s, s:s, s:f, s:f, s:f, s:f, s:b}", "step",
                          (json_int_t)r->step, "phase", k->name, "question", i / k->samples,
                          "sample", i % k->samples, "prompt", s->problem[i / k->samples].prompt,
                          "answer", s->text, "reward", (double)s->reward[i], "accuracy",
                          (double)s->accuracy[i], "format", (double)s->format[i], "advantage",
                          (double)s->advantage[i], "truncated", a->truncated);
    INVARIANT(o, "a sample of step %ld is not JSON", r->step);
    if (k->save_tokens) {
        json_object_set_new(o, "temperature", json_real(k->temperature));
        json_object_set_new(o, "prompt_ids", numbers(q->token, q->n, false));
        json_object_set_new(o, "answer_ids", numbers(a->token, a->n, false));
        json_object_set_new(o, "logp", numbers(a->logp, a->n, true));
    }
    metrics_sample(r->metrics, o);
}

static void put_samples(struct run *r, const struct phase_knobs *k, const struct answer *a)
{
    int n = k->prompts * k->samples, shown = k->save_samples < n ? k->save_samples : n;
    for (int i = 0; r->world->rank == 0 && i < shown; i++) {
        int which = (int)((long)i * n / shown);
        put_sample(r, k, &a[which], which);
    }
}

static void renew_reference(struct run *r, const struct phase_knobs *k)
{
    if (k->kl > 0 && k->ref_every > 0 && (r->phase_step + 1) % k->ref_every == 0)
        optimizer_snapshot(&r->optimizer);
}

void grpo_step(struct run *r, const struct phase_knobs *k)
{
    double start = clock_now();
    struct rollout_job job = job_of(r, k);
    struct rollout_times times;
    run_questions(r, SPLIT_TRAIN, (uint32_t)(sites_part(r, r->phase_step) * k->prompts),
                  k->prompts);
    const struct answer *a = rollout_run(r->rollout, &job, &times);
    double graded = clock_now();
    run_grade(r, a, k->prompts, k->samples, NULL);
    int equal = reward_groups(r, k);
    double rewarded = clock_now();
    struct step_stats stats = learn(r, k, a);
    renew_reference(r, k);
    double seconds = clock_now() - start;
    struct mean m = mean_of(r, k, a);
    metrics_begin(r->metrics, r->step, k->name);
    put_answers(r, k, &m, equal);
    metrics_put(r->metrics, "clip_fraction", stats.clip_fraction);
    metrics_put(r->metrics, "ratio/max_deviation", stats.max_deviation);
    if (k->kl > 0) metrics_put(r->metrics, "kl_ref", stats.k3);
    run_put_step(r, &stats, seconds);
    sites_put(r);
    metrics_put_clock(r->metrics, "time/rollout", times.seconds);
    metrics_put_clock(r->metrics, "time/reward", rewarded - graded);
    metrics_put_clock(r->metrics, "time/rollout_tokens_per_second",
                      (double)times.tokens / times.seconds);
    put_samples(r, k, a);
    run_evaluate_now_and_then(r, k);
    metrics_end(r->metrics);
    run_progress(r, k,
                 (struct progress){.reward = m.reward,
                                   .loss = NAN,
                                   .length = m.length,
                                   .tokens_per_second = (double)times.tokens / seconds});
}
