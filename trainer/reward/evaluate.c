/* Held-out evaluation: pass@1, pass@k, maj@k. */
#include <math.h>
#include <stdio.h>
#include "comm/base/log.h"
#include "trainer/reward/majority.h"
#include "trainer/run.h"

static void score_group(struct score *s, const struct run *r, const struct answer *a, int from,
                        int n)
{
    const struct step_scratch *x = r->scratch;
    bool any = false;
    double each = 1.0 / ((double)s->prompts * n);
    for (int i = from; i < from + n; i++) {
        s->pass1 += (double)x->accuracy[i] * each;
        s->format += (double)x->format[i] * each;
        s->length += a[i].n * each;
        s->truncated += a[i].truncated * each;
        any = any || x->accuracy[i] > 0;
    }
    s->pass_k += (double)any / s->prompts;
    s->maj_k += (double)majority_right(x->vote + from, x->accuracy + from, n) / s->prompts;
}

struct score run_evaluate(struct run *r, const struct phase_knobs *k, int asked, int samples)
{
    const int prompts = source_heldout(r->source, asked);
    struct score s = {.prompts = prompts, .asked = asked, .samples = samples};
    struct rollout_job job = {.question = r->scratch->question,
                              .questions = prompts,
                              .samples = samples,
                              .max_new = k->max_new,
                              .eos = r->eos,
                              .sampleable = tokenizer_size(r->tokenizer),
                              .seed = (uint64_t)r->settings.run.seed,
                              .purpose = RNG_EVAL,
                              .step = (uint32_t)r->step};
    job.sampling = (struct sampling){(float)k->temperature, k->top_k, (float)k->top_p};
    run_questions(r, SPLIT_HELDOUT, 0, prompts);
    const struct answer *a = rollout_run(r->rollout, &job, NULL);
    run_grade(r, a, prompts, samples, &s);
    for (int q = 0; q < prompts; q++) score_group(&s, r, a, q * samples, samples);
    return s;
}

static void put(struct run *r, const char *what, double value)
{
    char name[128];
    snprintf(name, sizeof name, "eval/%s/%s", source_name(r->source), what);
    metrics_put(r->metrics, name, value);
}

void run_put_score(struct run *r, const struct score *s)
{
    const struct task *task = source_task(r->source);
    char name[32];
    put(r, "problems", s->prompts);
    put(r, "problems_asked", s->asked);
    put(r, "pass@1", s->pass1);
    if (s->samples > 1) {
        snprintf(name, sizeof name, "pass@%d", s->samples);
        put(r, name, s->pass_k);
        snprintf(name, sizeof name, "maj@%d", s->samples);
        put(r, name, s->maj_k);
    }
    put(r, "length", s->length);
    put(r, "truncated_fraction", s->truncated);
    put(r, "format", s->format);
    for (int i = 0; task && task->part_names && task->part_names[i]; i++)
        put(r, task->part_names[i], s->total[i] > 0 ? (double)s->right[i] / s->total[i] : NAN);
}

/* "128 problems", or "all 196 problems there are, 256 were asked for". */
void score_problems(char out[SCORE_PROBLEMS], const struct score *s)
{
    if (s->prompts == s->asked)
        snprintf(out, SCORE_PROBLEMS, "%d problems", s->prompts);
    else
        snprintf(out, SCORE_PROBLEMS, "all %d problems there are, %d were asked for", s->prompts,
                 s->asked);
}

void eval_step(struct run *r, const struct phase_knobs *k)
{
    double start = clock_now();
    struct score s = run_evaluate(r, k, k->prompts, k->samples);
    metrics_begin(r->metrics, r->step, k->name);
    run_put_score(r, &s);
    metrics_put_clock(r->metrics, "time/step", clock_now() - start);
    metrics_end(r->metrics);
    run_progress(r, k,
                 (struct progress){
                     .reward = s.pass1, .loss = NAN, .length = s.length, .tokens_per_second = NAN});
    char problems[SCORE_PROBLEMS];
    score_problems(problems, &s);
    log_info("%s: pass@1 %.1f %%, pass@%d %.1f %%, maj@%d %.1f %% (%s; %d answers each), "
             "length %.1f tokens",
             k->name, 100 * s.pass1, s.samples, 100 * s.pass_k, s.samples, 100 * s.maj_k, problems,
             s.samples, s.length);
    if (r->milestones == MILESTONES) return;
    struct milestone *m = &r->milestone[r->milestones++];
    snprintf(m->phase, sizeof m->phase, "%s", k->name);
    m->step = r->step;
    m->score = s;
}
