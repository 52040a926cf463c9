#include "trainer/phases/evaluate.h"

#include <math.h>
#include <stdio.h>
#include "comm/base/log.h"
#include "trainer/reward/majority.h"
#include "trainer/phases/tell.h"
#include "trainer/run/episodes.h"
#include "trainer/run/grade.h"
#include "trainer/run/questions.h"
#include "trainer/run/sites.h"

/* Sums only, so that an evaluation can be interrupted and resumed at any problem. */
static void count_problem(struct tally *t, const struct run *r, const struct answer *a, int from)
{
    const struct rewards *w = &r->scratch->rewards;
    const float *right = w->value[GRADER_ACCURACY], *form = w->value[GRADER_FORMAT];
    bool any = false;
    for (int i = from; i < from + t->samples; i++) {
        t->right += right[i] > 0;
        t->form += form[i] > 0;
        t->tokens += answer_sampled(&a[i]);
        t->truncated += a[i].truncated;
        any = any || right[i] > 0;
    }
    t->solved += any;
    t->voted += majority_right(w->vote + from, right + from, t->samples);
    t->done++;
}

/* The first problem is the one after those already done. */
static struct rollout_job eval_job(struct run *r, const struct phase_settings *k,
                                   const struct tally *t)
{
    struct rollout_job job = {.question = r->scratch->question,
                              .prompt = questions_prompt,
                              .prompt_context = r,
                              .questions = t->prompts - t->done,
                              .samples = t->samples,
                              .max_new = k->max_new,
                              .ends = r->ends,
                              .sampleable = tokenizer_size(r->tokenizer),
                              .seed = (uint64_t)r->settings.run.seed,
                              .purpose = RNG_EVAL,
                              .step = (uint32_t)t->step,
                              .first = t->done};
    job.sampling = (struct sampling){(float)k->temperature, k->top_k, (float)k->top_p};
    job.stop = sites_cut;
    job.stop_context = r;
    job.environment = episodes_begin(r, k);
    return job;
}

struct tally evaluate_begin(struct run *r, const struct phase_settings *k, long step, int asked,
                            int samples)
{
    return tally_begin(k, step, asked, source_heldout(r->source, asked), samples);
}

/* Returns after whole problems: a stop loses at most what was being decoded. */
bool evaluate_go_on(struct run *r, const struct phase_settings *k, struct tally *t)
{
    struct rollout_job job = eval_job(r, k, t);
    if (job.questions == 0) return true;
    job.listener = grade_listener(r, k, job.questions, t->samples, true);
    questions_ask(r, SPLIT_HELDOUT, (uint32_t)t->done, job.questions);
    const struct answer *a = rollout_run(r->rollout, &job, NULL);
    int whole = rollout_whole(r->rollout);
    grade_gather(r, whole, t);
    for (int q = 0; q < whole; q++) count_problem(t, r, a, q * t->samples);
    return t->done == t->prompts;
}

/* The evaluation that a stop left in the checkpoint, when it is the one that is due; else a new
 * one. */
static void go_on_or_begin(struct run *r, const struct tally *due)
{
    if (tally_goes_on(&r->evaluation, due)) return;
    if (r->evaluation.samples > 0)
        log_info("the evaluation of step %ld, stopped after %d problems, starts over: its settings "
                 "have changed",
                 due->step, r->evaluation.done);
    r->evaluation = *due;
}

/* --- telling --- */

static void put_figure(struct run *r, const char *what, double value)
{
    char name[METRIC_NAME];
    snprintf(name, sizeof name, "eval/%s/%s", source_name(r->source), what);
    metrics_put(r->metrics, name, value);
}

/* pass@k and maj@k only with several samples: with one they would repeat pass@1. */
static void put_score(struct run *r, const struct score *s)
{
    const struct task *task = source_task(r->source);
    char name[32];
    put_figure(r, "problems", s->prompts);
    put_figure(r, "problems_asked", s->asked);
    put_figure(r, "pass@1", s->pass1);
    if (s->samples > 1) {
        snprintf(name, sizeof name, "pass@%d", s->samples);
        put_figure(r, name, s->pass_k);
        snprintf(name, sizeof name, "maj@%d", s->samples);
        put_figure(r, name, s->maj_k);
    }
    put_figure(r, "length", s->length);
    put_figure(r, "truncated_fraction", s->truncated);
    put_figure(r, "format", s->format);
    for (int i = 0; task && task->part_names && task->part_names[i]; i++)
        put_figure(r, task->part_names[i], s->part[i]);
}

/* For the log: also how many problems there were, since a small file may have fewer than were asked
 * for. */
void score_text(char out[SCORE_TEXT], const struct score *s)
{
    int n = snprintf(out, SCORE_TEXT, "pass@1 %5.1f %%", 100 * s->pass1);
    if (s->samples > 1)
        n += snprintf(out + n, SCORE_TEXT - (size_t)n, "  pass@%d %5.1f %%  maj@%d %5.1f %%",
                      s->samples, 100 * s->pass_k, s->samples, 100 * s->maj_k);
    n += snprintf(out + n, SCORE_TEXT - (size_t)n, "  length %.1f", s->length);
    if (s->asked == 0 || s->prompts == s->asked) /* 0: an earlier version did not record it */
        snprintf(out + n, SCORE_TEXT - (size_t)n, "  (%d problems, answers per problem: %d)",
                 s->prompts, s->samples);
    else
        snprintf(out + n, SCORE_TEXT - (size_t)n,
                 "  (all %d problems available, %d requested; answers per problem: %d)", s->prompts,
                 s->asked, s->samples);
}

static void keep_milestone(struct run *r, const struct phase_settings *k, const struct score *s)
{
    if (r->milestones == MILESTONES) return;
    struct milestone *m = &r->milestone[r->milestones++];
    snprintf(m->phase, sizeof m->phase, "%s", k->name);
    m->step = r->step;
    m->score = *s;
}

struct phase_size eval_size(const struct phase_settings *k)
{
    return (struct phase_size){.questions = k->prompts, .samples = k->samples};
}

/* An interrupted evaluation stays in r->evaluation, is saved, and continues after the resume. */
bool eval_step(struct run *r, const struct phase_settings *k)
{
    double start = clock_now();
    char text[SCORE_TEXT];
    struct tally due = evaluate_begin(r, k, r->step, k->prompts, k->samples);
    go_on_or_begin(r, &due);
    r->cut_at = r->step;
    if (!evaluate_go_on(r, k, &r->evaluation) || sites_stop_within(r)) return false;
    struct score s = tally_score(&r->evaluation);
    r->evaluation = (struct tally){0};
    metrics_begin(r->metrics, r->step, k->name);
    put_score(r, &s);
    metrics_put_clock(r->metrics, "time/step", clock_now() - start);
    metrics_end(r->metrics);
    step_progress(
        r, k,
        (struct progress){
            .reward = s.pass1, .loss = NAN, .length = s.length, .tokens_per_second = NAN});
    score_text(text, &s);
    log_info("%s: %s", k->name, text);
    keep_milestone(r, k, &s);
    return true;
}

bool evaluate_line_waits(const struct run *r)
{
    return r->evaluation.samples > 0 && r->phase_step > 0;
}

/* The metrics line of a step stays open while its evaluation is incomplete: metrics_wait keeps it
 * for the checkpoint. */
static void end_line(struct run *r, const struct phase_settings *k)
{
    r->cut_at = r->evaluation.step + 1; /* the step itself is done */
    if (!evaluate_go_on(r, k, &r->evaluation)) {
        metrics_wait(r->metrics);
        return;
    }
    struct score s = tally_score(&r->evaluation);
    r->evaluation = (struct tally){0};
    put_score(r, &s);
    metrics_end(r->metrics);
}

void evaluate_end_line(struct run *r, const struct phase_settings *k)
{
    if (k->eval_every == 0 || (r->phase_step + 1) % k->eval_every != 0) {
        metrics_end(r->metrics);
        return;
    }
    r->evaluation = evaluate_begin(r, k, r->step, k->eval_prompts, 1);
    end_line(r, k);
}

void evaluate_end_waiting_line(struct run *r, const struct phase_settings *k)
{
    if (k->eval_every == 0) { /* not wanted any more, and nothing was opened for it */
        r->evaluation = (struct tally){0};
        metrics_end(r->metrics);
        return;
    }
    struct tally due = evaluate_begin(r, k, r->step - 1, k->eval_prompts, 1);
    go_on_or_begin(r, &due);
    end_line(r, k);
}
