/* The line of a step of reinforcement learning in metrics.jsonl, its answers in samples.jsonl, its
 * progress. docs/METRICS.md says what each name means. */
#include "trainer/phases/rl_metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "comm/base/log.h"
#include "trainer/phases/evaluate.h"
#include "trainer/phases/tell.h"
#include "trainer/run/grade.h"
#include "trainer/run/questions.h"
#include "trainer/run/sites.h"

struct mean {
    double reward, std, accuracy, format, length, longest, truncated;
    double turns, most_turns, observed; /* of an environment; length is without observations */
};

/* Standard deviation over all answers of the step, not within groups. */
static struct mean mean_of(const struct run *r, const struct phase_settings *k,
                           const struct answer *a)
{
    const struct rewards *w = &r->scratch->rewards;
    int n = k->prompts * k->samples;
    struct mean m = {.reward = rewards_mean(w->total, n)};
    m.accuracy = rewards_mean(w->value[GRADER_ACCURACY], n);
    m.format = rewards_mean(w->value[GRADER_FORMAT], n);
    for (int i = 0; i < n; i++) {
        int length = answer_sampled(&a[i]);
        m.length += (double)length / n;
        m.truncated += (double)a[i].truncated / n;
        if (length > m.longest) m.longest = length;
        m.turns += (double)a[i].turns / n;
        m.observed += (double)a[i].observed / n;
        if (a[i].turns > m.most_turns) m.most_turns = a[i].turns;
    }
    m.std = rewards_std(w->total, n);
    return m;
}

static void put_of(struct metrics *o, const char *fmt, const char *reward, double value)
{
    char name[METRIC_NAME];
    snprintf(name, sizeof name, fmt, reward);
    if (metrics_is_clock(name))
        metrics_put_clock(o, name, value);
    else
        metrics_put(o, name, value);
}

/* How the answers of a served reward ended. */
static void put_counts(struct metrics *o, const struct rewards *w, int j)
{
    char name[METRIC_NAME];
    for (int i = 0; grader_at(j)->counts && grader_at(j)->counts[i]; i++) {
        snprintf(name, sizeof name, "reward/%s/%s", w->name[j], grader_at(j)->counts[i]);
        metrics_put(o, name, (double)w->counts[j][i]);
    }
}

/* Only of what is graded in the phase; verdicts can only be lost of what others give. */
static void put_rewards(struct run *r, const struct phase_settings *k)
{
    const struct rewards *w = &r->scratch->rewards;
    const int n = k->prompts * k->samples;
    for (int j = 0; j < w->n; j++) {
        if (!graders_have(w->on, j)) continue;
        double equal = rewards_equal(w->value[j], k->prompts, k->samples);
        put_of(r->metrics, "reward/%s/mean", w->name[j], rewards_mean(w->value[j], n));
        put_of(r->metrics, "reward/%s/std", w->name[j], rewards_std(w->value[j], n));
        put_of(r->metrics, "reward/%s/zero_std_fraction", w->name[j], equal / k->prompts);
        if (grader_at(j)->start && (!grader_at(j)->always || w->lost[j] > 0))
            put_of(r->metrics, "reward/%s/lost", w->name[j], (double)w->lost[j]);
        put_counts(r->metrics, w, j);
        put_of(r->metrics, "time/reward/%s", w->name[j], w->seconds[j]);
    }
}

/* zero_std_fraction: groups without spread, which have no gradient. */
static void put_answers(struct run *r, const struct phase_settings *k, const struct mean *m,
                        int equal)
{
    struct metrics *o = r->metrics;
    metrics_put(o, "reward/mean", m->reward);
    metrics_put(o, "reward/std", m->std);
    put_rewards(r, k);
    metrics_put(o, "reward/zero_std_fraction", (double)equal / k->prompts);
    metrics_put(o, "response_length/mean", m->length);
    metrics_put(o, "response_length/max", m->longest);
    metrics_put(o, "response/truncated_fraction", m->truncated);
    if (!phase_has_turns(k)) return;
    metrics_put(o, "turns/mean", m->turns);
    metrics_put(o, "turns/max", m->most_turns);
    metrics_put(o, "observation_length/mean", m->observed);
}

static void put_learned(struct metrics *o, const struct phase_settings *k, const struct rl_step *s)
{
    for (const struct algorithm_metric *m = algorithm_metrics; m->name; m++) {
        double value;
        memcpy(&value, (const char *)&s->learned + m->at, sizeof value);
        if (!m->told || m->told(k)) metrics_put(o, m->name, value);
    }
}

static json_t *numbers(const void *v, int n, bool real)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(a, real ? json_real((double)((const float *)v)[i])
                                      : json_integer(((const int *)v)[i]));
    return a;
}

/* null: the token was not sampled. */
static json_t *log_probabilities(const struct answer *a)
{
    json_t *all = numbers(a->logp, a->n, true);
    for (int i = 0; i < a->n; i++)
        if (a->logp[i] == LOGP_OBSERVED) json_array_set_new(all, (size_t)i, json_null());
    return all;
}

/* An answer in pieces: {"turn": text} the model's, {"observation": text} the environment's. */
static json_t *turns_of(const struct run *r, const struct answer *a)
{
    struct step_scratch *s = r->scratch;
    json_t *all = json_array();
    for (int from = 0, to; from < a->n; from = to) {
        bool observed = a->logp[from] == LOGP_OBSERVED;
        for (to = from; to < a->n && (a->logp[to] == LOGP_OBSERVED) == observed;) to++;
        tokenizer_decode(r->tokenizer, a->token + from, (size_t)(to - from), s->text, s->text_size);
        json_array_append_new(all, json_pack("{s:s}", observed ? "observation" : "turn", s->text));
    }
    return all;
}

static void sample_rewards(json_t *sample, const struct rewards *w, int i)
{
    json_object_set_new(sample, "reward", json_real((double)w->total[i]));
    for (int j = 0; j < w->n; j++)
        if (graders_have(w->on, j))
            json_object_set_new(sample, w->name[j], json_real((double)w->value[j][i]));
}

/* The verdict is formed again here: only a few answers are written, and verdicts are not kept. */
static void put_sample(struct run *r, const struct phase_settings *k, const struct answer *a, int i)
{
    struct step_scratch *s = r->scratch;
    const int question = i / k->samples;
    const struct problem *problem = questions_problem(r, question);
    struct verdict graded = grade_one(r, problem, a);
    tokenizer_decode(r->tokenizer, a->token, (size_t)a->n, s->text, s->text_size);
    json_t *o =
        json_pack("{s:I, s:s, s:i, s:i, s:s, s:s, s:s, s:s?, s:s}", "step", (json_int_t)r->step,
                  "phase", k->name, "question", question, "sample", i % k->samples, "prompt",
                  problem->prompt, "completion", s->text, "expected", problem->answer, "parsed",
                  graded.has_read ? graded.read : NULL, "why", reason_text(graded.why));
    INVARIANT(o, "a sample of step %ld is not JSON", r->step);
    sample_rewards(o, &s->rewards, i);
    json_object_set_new(o, "advantage", json_real((double)s->advantage[i]));
    json_object_set_new(o, "truncated", json_boolean(a->truncated));
    if (phase_has_turns(k)) json_object_set_new(o, "turns", turns_of(r, a));
    if (k->save_tokens) {
        json_object_set_new(o, "temperature", json_real(k->temperature));
        json_object_set_new(o, "prompt_ids",
                            numbers(questions_prompt(r, question), s->question[question].n, false));
        json_object_set_new(o, "answer_ids", numbers(a->token, a->n, false));
        json_object_set_new(o, "logp", log_probabilities(a));
    }
    metrics_sample(r->metrics, o);
}

/* Rank 0 writes them; their tokens come from the ranks that sampled them. Collective. */
static void put_samples(struct run *r, const struct phase_settings *k)
{
    int n = k->prompts * k->samples, shown = k->save_samples < n ? k->save_samples : n;
    for (int i = 0; i < shown; i++) {
        int which = (int)((long)i * n / shown);
        const struct answer *a = rollout_fetch(r->rollout, which);
        if (a) put_sample(r, k, a, which);
    }
}

enum { STEPS_WITHOUT_SPREAD = 10 };

/* What to look at, by what the answers got. */
static const char *advice(const struct mean *m)
{
    if (m->accuracy == 0)
        return "no answer is right. Look at \"parsed\" and \"why\" in samples.jsonl: does the "
               "grader read the intended answer? If it does, use easier problems "
               "(data.difficulty), more supervised steps first, more samples, or a weight for the "
               "format (reward_format)";
    if (m->accuracy == 1) return "all answers are right: use harder problems (data.difficulty)";
    return "the answers to each problem all earn the same reward: raise temperature or samples, or "
           "use problems of another difficulty";
}

/* Once, until spread returns: in such steps nothing is learned. */
static void mind_spread(struct run *r, const struct phase_settings *k, const struct mean *m,
                        int equal)
{
    if (equal < k->prompts) r->without_spread = 0;
    if (equal < k->prompts || ++r->without_spread != STEPS_WITHOUT_SPREAD) return;
    if (r->world->rank == 0)
        log_warn("%s: for %d steps in a row the rewards within every group were equal: nothing was "
                 "learned%s. accuracy is %g, format %g, reward %g: %s",
                 k->name, STEPS_WITHOUT_SPREAD,
                 k->kl > 0 ? " except to stay near the reference" : "", m->accuracy, m->format,
                 m->reward, advice(m));
}

/* Only where the cache has not room for all: without waits there is nothing to measure. */
static void put_waits(struct run *r, const struct rollout_times *t)
{
    struct rollout_cache c = rollout_cache(&r->stage);
    if (c.blocks == c.full) return;
    metrics_put_clock(r->metrics, "rollout/waits", (double)t->waits);
    metrics_put_clock(r->metrics, "rollout/read_again", (double)t->read_again);
}

/* One line for the step, in a fixed order of members; clock readings go through metrics_put_clock,
 * since comparisons of runs leave them out. */
void rl_tell(struct run *r, const struct phase_settings *k, const struct rl_step *s)
{
    struct mean m = mean_of(r, k, s->answer);
    mind_spread(r, k, &m, s->equal);
    metrics_begin(r->metrics, r->step, k->name);
    put_answers(r, k, &m, s->equal);
    put_learned(r->metrics, k, s);
    step_tell(r, &s->learned, s->seconds);
    sites_put(r);
    metrics_put_clock(r->metrics, "time/rollout", s->rollout.seconds);
    metrics_put_clock(r->metrics, "time/reward", s->reward_seconds);
    metrics_put_clock(r->metrics, "time/rollout_tokens_per_second",
                      (double)s->rollout.tokens / s->rollout.seconds);
    put_waits(r, &s->rollout);
    put_samples(r, k);
    evaluate_end_line(r, k);
    step_progress(r, k,
                  (struct progress){.reward = m.reward,
                                    .loss = NAN,
                                    .length = m.length,
                                    .tokens_per_second = (double)s->rollout.tokens / s->seconds});
}
