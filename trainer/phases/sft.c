/* Supervised fine-tuning, one step: demonstrations in, the loss on what follows the prompt only. */
#include "trainer/phases/sft.h"

#include <math.h>
#include "comm/base/log.h"
#include "trainer/learn/lr.h"
#include "trainer/phases/evaluate.h"
#include "trainer/phases/tell.h"
#include "trainer/run/sites.h"

/* Demonstrations of a step: those learned from, and why the others are not. */
struct batch {
    int n, too_long, missing;
    long tokens; /* learned from */
};

/* A conversation: which of its tokens are learned goes to `learn`. Returns how many tokens there
 * are, -1: they do not fit. */
static int converse(struct run *r, const struct problem *problem, int *token, unsigned char *learn,
                    int *n_prompt, int *learned)
{
    struct chat_tokens out = {token, learn, (size_t)r->stage.dims.max_context, 0};
    chat_conversation(r->chat, source_turns(r->source, problem), problem->turns, &out);
    *n_prompt = chat_first(&out);
    *learned = chat_learned(&out);
    return out.n <= out.room && *learned > 0 ? (int)out.n : -1;
}

/* Demonstration number `index` as the next sequence of the step, if there is one and it fits
 * max_context. */
static void demonstrate(struct run *r, uint32_t index, struct batch *b)
{
    struct step_scratch *s = r->scratch;
    size_t at = (size_t)b->n * (size_t)r->stage.dims.max_context;
    int *token = s->token + at, n_prompt = 0, learned = 0, n = -1;
    struct problem problem;
    struct text text = {.at = s->text, .size = s->text_size};
    source_problem(r->source, SPLIT_TRAIN, index, &problem);
    bool turns = problem.turns > 0;
    bool some = turns || source_demonstrate(r->source, &problem, index, &text);
    if (turns)
        n = converse(r, &problem, token, s->learn + at, &n_prompt, &learned);
    else if (some && !text.cut)
        n = run_encode(r, problem.prompt, text.at, text.n, token, &n_prompt);
    b->missing += !some;
    b->too_long += some && n < 0;
    if (n < 0) return;
    s->sequence[b->n] = (struct sequence){.prompt = b->n,
                                          .n_prompt = n_prompt,
                                          .n = n,
                                          .token = token,
                                          .learn = turns ? s->learn + at : NULL};
    b->tokens += turns ? learned : n - n_prompt;
    b->n++;
}

static struct batch gather(struct run *r, const struct phase_settings *k)
{
    struct batch b = {0};
    uint32_t from = (uint32_t)(sites_part(r, r->phase_step) * k->batch);
    for (int i = 0; i < k->batch; i++) demonstrate(r, from + (uint32_t)i, &b);
    for (int i = 0; i < b.n; i++) r->scratch->weight[i] = 1 / (float)b.tokens;
    return b;
}

/* Said at the first such step, the second, the fourth, ...: there may be many. */
static void say_nothing_learned(struct run *r, const struct phase_settings *k,
                                const struct batch *b)
{
    long times = ++r->empty_steps;
    if ((times & (times - 1)) != 0) return;
    log_info("step %ld: nothing to learn from, no update: of %d demonstrations %d are missing and "
             "%d do not fit model.max_context %d (%ld such step%s so far)",
             r->step, k->batch, b->missing, b->too_long, r->stage.dims.max_context, times,
             times > 1 ? "s" : "");
}

static void put_batch(struct run *r, const struct batch *b)
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
    struct batch b = gather(r, k);
    struct step_job job = {.sequence = r->scratch->sequence,
                           .weight = r->scratch->weight,
                           .n = b.n,
                           .loss = &loss_sft,
                           .inv_temperature = 1,
                           .adamw = lr_adamw(k, 1, r->phase_step),
                           .grad_clip = k->grad_clip};
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
