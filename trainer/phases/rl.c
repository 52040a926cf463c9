/* One step of reinforcement learning: questions -> answers -> rewards -> advantages -> updates.
 * What differs between algorithms is settings: learn/algorithm.h. */
#include "trainer/phases/rl.h"

#include "comm/base/log.h"
#include "trainer/learn/advantage.h"
#include "trainer/learn/grpo.h"
#include "trainer/learn/lr.h"
#include "trainer/phases/answers.h"
#include "trainer/phases/model_reward.h"
#include "trainer/phases/rl_metrics.h"
#include "trainer/run/episodes.h"
#include "trainer/run/grade.h"
#include "trainer/run/questions.h"
#include "trainer/run/sites.h"

struct phase_size rl_size(const struct phase_settings *k)
{
    return (struct phase_size){.sequences = k->prompts * k->samples,
                               .parts = k->mini_batches,
                               .updates = (long)k->mini_batches * k->epochs,
                               .questions = k->prompts,
                               .samples = k->samples,
                               .reference = k->kl > 0,
                               .reward = k->reward_model != 0,
                               .rewards = graders_of(k),
                               .tests_for = graders_for(k, NEEDS_TESTS),
                               .language_for = graders_for(k, NEEDS_LANGUAGE)};
}

/* With sites each has other problems of the same step (sites_part). */
static struct rollout_job rl_job(struct run *r, const struct phase_settings *k)
{
    struct rollout_job j = {.question = r->scratch->question,
                            .prompt = questions_prompt,
                            .prompt_context = r,
                            .questions = k->prompts,
                            .samples = k->samples,
                            .max_new = k->max_new,
                            .ends = r->ends,
                            .sampleable = tokenizer_size(r->tokenizer),
                            .seed = (uint64_t)r->settings.run.seed,
                            .purpose = RNG_SAMPLE,
                            .step = (uint32_t)sites_part(r, r->step)};
    j.sampling = (struct sampling){(float)k->temperature, k->top_k, (float)k->top_p};
    r->cut_at = r->step;
    j.stop = sites_cut;
    j.stop_context = r;
    j.environment = episodes_begin(r, k);
    return j;
}

/* --- what is learned from --- */

/* Answer i as the denominators see it. */
static struct counted_answer counted(const struct run *r, const struct phase_settings *k,
                                     const struct answer *a, int i)
{
    return (struct counted_answer){.length = answer_sampled(&a[i]),
                                   .spread = !r->scratch->equal[i / k->samples],
                                   .masked = k->mask_truncated && a[i].truncated};
}

/* Its answer is where it was sampled, and its prompt is made where it is wanted: what is learned is
 * what was sampled, token by token. */
static void build_sequence(struct run *r, const struct phase_settings *k, const struct answer *a,
                           int i, struct sequence *out)
{
    const struct question *q = &r->scratch->question[i / k->samples];
    *out = (struct sequence){.prompt = i / k->samples,
                             .sample = i % k->samples,
                             .n_prompt = q->n,
                             .n = q->n + a[i].n,
                             .elsewhere = true,
                             .advantage = r->scratch->advantage[i],
                             .truncated = a[i].truncated};
}

/* Those of question q in what the update's loss is divided by. */
static void count_group(const struct run *r, const struct phase_settings *k, const struct answer *a,
                        int q, struct denominator *all)
{
    const struct counting rule = counting_of(k);
    const long before = all->tokens;
    for (int i = q * k->samples; i < (q + 1) * k->samples; i++)
        denominator_add(all, &rule, counted(r, k, a, i));
    all->questions += all->tokens > before;
}

/* Adds its answers to what is run, n sequences so far; returns how many there are then. */
static int build_group(struct run *r, const struct phase_settings *k, const struct answer *a, int q,
                       const struct denominator *all, int n)
{
    struct step_scratch *x = r->scratch;
    const struct counting rule = counting_of(k);
    struct denominator own = {0};
    count_group(r, k, a, q, &own);
    for (int i = q * k->samples; i < (q + 1) * k->samples; i++) {
        struct counted_answer c = counted(r, k, a, i);
        c.group_tokens = own.tokens;
        double weight = grpo_weight(all, &rule, c);
        if (weight == 0) continue;
        x->weight[n] = (float)weight;
        build_sequence(r, k, a, i, &x->sequence[n++]);
    }
    return n;
}

/* What is run of mini-batch `part` into scratch->sequence, with weights that divide by all of it
 * that counts (P6); returns the number of sequences. */
static int build_mini_batch(struct run *r, const struct phase_settings *k, const struct rl_step *s,
                            int part)
{
    struct denominator all = {0};
    const int from = answers_first(k, part), to = answers_first(k, part + 1);
    int n = 0;
    for (int q = from; q < to; q++) count_group(r, k, s->answer, q, &all);
    for (int q = from; q < to; q++) n = build_group(r, k, s->answer, q, &all, n);
    return n;
}

/* Update number `update` of the step, from 0: epochs go over the mini-batches in order. */
static void learn_mini_batch(struct run *r, const struct phase_settings *k, struct rl_step *s,
                             long update)
{
    const long updates = rl_size(k).updates;
    struct step_stats found;
    struct answers answers = {.run = r, .samples = k->samples};
    struct step_job job = {.sequence = r->scratch->sequence,
                           .weight = r->scratch->weight,
                           .n = build_mini_batch(r, k, s, (int)(update % k->mini_batches)),
                           .loss = policy_shape(k),
                           .objective = objective_of(k),
                           .inv_temperature = 1 / (float)k->temperature,
                           .use_reference = k->kl > 0,
                           .adamw = lr_adamw(k, updates, r->phase_step * updates + update),
                           .grad_clip = k->grad_clip,
                           .fetch = answers_fetch,
                           .fetch_context = &answers,
                           .bring = answers_bring,
                           .bring_context = &answers};
    if (job.n == 0) return;
    learner_step(&r->learner, &job, &found);
    learned_add(&s->learned, &found);
    skips_count_update(r, k, &found);
}

/* --- the step --- */

/* false: stopped. Then it is drawn again, bit for bit, when the run is resumed. */
static bool sample(struct run *r, const struct phase_settings *k, struct rl_step *s)
{
    struct rollout_job job = rl_job(r, k);
    questions_ask(r, SPLIT_TRAIN, (uint32_t)(sites_part(r, r->phase_step) * k->prompts),
                  k->prompts);
    job.listener = grade_listener(r, k, k->prompts, k->samples, false);
    s->answer = rollout_run(r->rollout, &job, &s->rollout);
    return rollout_whole(r->rollout) == k->prompts && !sites_stop_within(r);
}

/* Every answer was graded when it was finished, on the rank that sampled it. */
static void grade(struct run *r, const struct phase_settings *k, const struct answer *a)
{
    grade_gather(r, k->prompts, NULL);
    model_reward(r, k, a);
    rewards_sum(&r->scratch->rewards, k->prompts, k->samples, k);
}

/* Groups are compared first: advantages read `equal`, and one of them changes it, which must not
 * change the number of groups that is told. */
static void advantage(struct run *r, const struct phase_settings *k, struct rl_step *s)
{
    const float *term[GRADERS];
    double weight[GRADERS];
    const bool apart = k->advantage == ADVANTAGE_GDPO;
    const struct groups g = {.n = k->prompts,
                             .samples = k->samples,
                             .reward = r->scratch->rewards.total,
                             .terms =
                                 apart ? rewards_terms(&r->scratch->rewards, k, term, weight) : 0,
                             .term = term,
                             .term_weight = weight,
                             .equal = r->scratch->equal,
                             .advantage = r->scratch->advantage};
    groups_compare(&g);
    advantage_take(&g, k);
    for (int q = 0; q < g.n; q++) s->equal += g.equal[q]; /* as the advantage sees them */
}

/* All updates. The first is on-policy: its deviation is what promise P2 is about. */
static void learn(struct run *r, const struct phase_settings *k, struct rl_step *s)
{
    const long updates = rl_size(k).updates;
    s->learned = learned_nothing();
    for (long u = 0; u < updates; u++) {
        learn_mini_batch(r, k, s, u);
        sites_update(r, r->phase_step * updates + u + 1, k->steps * updates);
    }
    r->tokens += s->learned.tokens;
    skips_count_step(&r->skips, &s->learned);
}

static void renew_reference(struct run *r, const struct phase_settings *k)
{
    if (k->kl > 0 && k->ref_every > 0 && (r->phase_step + 1) % k->ref_every == 0)
        optimizer_snapshot(&r->optimizer);
}

/* The inner loop of Algorithm 1 of DeepSeekMath (arXiv 2402.03300); its outer one, over reference
 * models, is ref_every. Its last line, a reward model that keeps learning, is
 * another phase of kind reward_model between two of these. */
bool rl_step(struct run *r, const struct phase_settings *k)
{
    double start = clock_now();
    struct rl_step s = {0};
    if (!sample(r, k, &s)) return false;
    double sampled = clock_now();
    grade(r, k, s.answer);
    advantage(r, k, &s);
    s.reward_seconds = clock_now() - sampled;
    learn(r, k, &s);
    renew_reference(r, k);
    s.seconds = clock_now() - start;
    rl_tell(r, k, &s);
    return true;
}
