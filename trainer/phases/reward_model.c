/* A reward model, one step: preferences in, the scores of their answers, and the gradient of
 *
 *   -log sigmoid(r_chosen - r_rejected)                          of a pair (Bradley-Terry)
 *   -(s log sigmoid(r) + (1 - s) log sigmoid(-r))                of an answer worth s
 *
 * divided by the number of both (P6). r is the scalar head's output where an answer's end is
 * predicted (InstructGPT, arXiv 2203.02155 eq. 1; verifiers, arXiv 2110.14168).
 *
 * The two sides of a pair may lie in micro-batches of different pipelines. So their scores are
 * computed first, forward only, and every rank is told all of them; then each answer's gradient is
 * known, and it learns by itself, dealt like any other sequence. A pass more, and nothing about
 * pairs in any schedule. The second pass has the first one's bits (P1).
 *
 * The model is the policy as it stands when the phase begins, whole, with masters of its own
 * (learn/optimizer_reward.c): trunk and scalar head both learn, the policy's masters rest. */
#include "trainer/phases/reward_model.h"

#include <math.h>
#include <stdio.h>
#include "comm/base/log.h"
#include "trainer/learn/lr.h"
#include "trainer/phases/tell.h"
#include "trainer/run/preferences.h"
#include "trainer/run/scores.h"

struct phase_size reward_model_size(const struct phase_settings *k)
{
    return (struct phase_size){
        .sequences = 2 * k->batch, .parts = 1, .updates = 1, .reward = true, .preferences = true};
}

void reward_model_begin(struct run *r)
{
    optimizer_reward_begin(&r->optimizer, (uint64_t)r->settings.run.seed);
}

void reward_model_end(struct run *r)
{
    optimizer_reward_end(&r->optimizer);
}

/* --- what the scores say --- */

/* Sums over preferences; every rank has them all, so all are the same numbers. */
struct ordered {
    int pairs, labels;
    int right;            /* pairs in the right order */
    int agreed;           /* labels on the score's side of one half */
    double margin;        /* of pairs: r_chosen - r_rejected */
    double loss;          /* not yet divided */
    double score, square; /* of all answers */
};

/* log(1 + e^-x), for any x */
static double softplus_minus(double x)
{
    return x > 0 ? log1p(exp(-x)) : -x + log1p(exp(x));
}

static double sigmoid(double x)
{
    return x > 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* slope: of the loss, by the score of each sequence; NULL: not wanted. */
static void add_preferences(struct ordered *o, const struct preferences *b, const float *score,
                            float *slope)
{
    for (int i = 0; i < 2 * b->pairs; i += 2) {
        double d = (double)score[i] - (double)score[i + 1];
        o->right += d > 0;
        o->margin += d;
        o->loss += softplus_minus(d);
        if (slope) slope[i + 1] = (float)sigmoid(-d);
        if (slope) slope[i] = -slope[i + 1];
    }
    for (int i = 2 * b->pairs; i < b->n; i++) {
        double r = (double)score[i], s = (double)preferences_label(b, i);
        o->agreed += (r > 0) == (s > 0.5);
        o->loss += s * softplus_minus(r) + (1 - s) * softplus_minus(-r);
        if (slope) slope[i] = (float)(sigmoid(r) - s);
    }
    for (int i = 0; i < b->n; i++) {
        o->score += (double)score[i];
        o->square += (double)score[i] * (double)score[i];
    }
    o->pairs += b->pairs;
    o->labels += b->labels;
}

static void score(struct run *r, struct preferences *b)
{
    const struct step_job job = {.sequence = r->scratch->sequence,
                                 .weight = r->scratch->weight,
                                 .n = b->n,
                                 .inv_temperature = 1,
                                 .scalar = true,
                                 .fetch = preferences_fetch,
                                 .fetch_context = b};
    scores_of(r, &job, r->scratch->score);
}

/* --- held-out preferences --- */

static void put_figure(struct run *r, const char *what, double value)
{
    char name[METRIC_NAME];
    snprintf(name, sizeof name, "eval/%s/%s", source_name(preferences_source(r)), what);
    metrics_put(r->metrics, name, value);
}

static void put_heldout(struct run *r, const struct ordered *o)
{
    const char *source = source_name(preferences_source(r));
    put_figure(r, "pairs", o->pairs);
    if (o->pairs > 0) put_figure(r, "pair_accuracy", (double)o->right / o->pairs);
    if (o->labels > 0) put_figure(r, "label_accuracy", (double)o->agreed / o->labels);
    if (o->pairs > 0)
        log_info("step %ld: %.1f %% of %d held-out pairs of %s in the right order", r->step,
                 100.0 * o->right / o->pairs, o->pairs, source);
}

/* As many at a time as a step has. */
static void evaluate(struct run *r, const struct phase_settings *k)
{
    struct ordered o = {0};
    const int n = source_heldout(preferences_source(r), k->eval_prompts);
    for (int from = 0; from < n; from += k->batch) {
        int some = n - from < k->batch ? n - from : k->batch;
        struct preferences b = preferences_look(r, SPLIT_HELDOUT, (uint32_t)from, some);
        if (b.n > 0) score(r, &b);
        add_preferences(&o, &b, r->scratch->score, NULL);
    }
    put_heldout(r, &o);
}

/* --- the step --- */

static void put_step(struct run *r, const struct preferences *b, const struct ordered *o)
{
    const double n = b->n, mean = o->score / n, square = o->square / n;
    if (b->too_long > 0) metrics_put(r->metrics, "data/too_long", b->too_long);
    if (b->missing > 0) metrics_put(r->metrics, "data/no_preference", b->missing);
    if (b->n == 0) metrics_put(r->metrics, "data/empty", 1);
    if (o->pairs > 0) metrics_put(r->metrics, "reward_model/accuracy", (double)o->right / o->pairs);
    if (o->pairs > 0) metrics_put(r->metrics, "reward_model/margin", o->margin / o->pairs);
    if (b->n == 0) return;
    metrics_put(r->metrics, "reward_model/mean", mean);
    metrics_put(r->metrics, "reward_model/std", sqrt(fmax(square - mean * mean, 0)));
}

/* The loss is what the scores say; what the head adds up is its slope times them. */
static struct learned learn(struct run *r, const struct phase_settings *k, struct preferences *b,
                            struct ordered *o)
{
    struct learned learned = learned_nothing();
    struct step_stats stats;
    float *slope = r->scratch->weight;
    if (b->n == 0) return learned;
    score(r, b);
    add_preferences(o, b, r->scratch->score, slope);
    const int all = o->pairs + o->labels;
    for (int i = 0; i < b->n; i++) slope[i] /= (float)all;
    const struct step_job job = {.sequence = r->scratch->sequence,
                                 .weight = slope,
                                 .n = b->n,
                                 .loss = &loss_score,
                                 .inv_temperature = 1,
                                 .adamw = lr_adamw(k, 1, r->phase_step),
                                 .grad_clip = k->grad_clip,
                                 .fetch = preferences_fetch,
                                 .fetch_context = b};
    learner_step(&r->learner, &job, &stats);
    stats.loss = o->loss / all;
    stats.entropy = NAN; /* the head has no distribution */
    learned_add(&learned, &stats);
    skips_count_update(r, k, &stats);
    return learned;
}

/* Without anything preferred the step has no update but counts: positions stay the recipe's. */
bool reward_model_step(struct run *r, const struct phase_settings *k)
{
    double start = clock_now();
    struct ordered o = {0};
    struct preferences b =
        preferences_look(r, SPLIT_TRAIN, (uint32_t)(r->phase_step * k->batch), k->batch);
    const struct learned learned = learn(r, k, &b, &o);
    r->tokens += learned.tokens;
    skips_count_step(&r->skips, &learned);
    double seconds = clock_now() - start;
    metrics_begin(r->metrics, r->step, k->name);
    step_tell(r, &learned, seconds);
    put_step(r, &b, &o);
    if (k->eval_every > 0 && (r->phase_step + 1) % k->eval_every == 0) evaluate(r, k);
    metrics_end(r->metrics);
    step_progress(r, k,
                  (struct progress){.loss = learned.loss,
                                    .reward = o.pairs > 0 ? (double)o.right / o.pairs : NAN,
                                    .length = NAN,
                                    .tokens_per_second = (double)learned.tokens / seconds});
    return true;
}
