/* The loop over phases and steps: where checkpoints are taken, stop requests heard and progress told. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "comm/base/log.h"
#include "model/flops.h"
#include "trainer/run/folder.h"
#include "trainer/run/run.h"
#include "trainer/run/sites.h"

long run_updates_per_step(const struct phase_settings *k)
{
    return k->kind == PHASE_GRPO ? (long)k->mini_batches * k->epochs : 1;
}

/* A recipe counts in steps, the schedule in updates. */
struct adamw run_adamw(const struct phase_settings *k, long update)
{
    long per_step = run_updates_per_step(k);
    struct schedule s = {.lr = k->lr,
                         .final = k->lr_final,
                         .shape = k->lr_decay,
                         .warmup = k->warmup * per_step,
                         .steps = k->steps * per_step};
    return (struct adamw){.lr = (float)schedule_lr(&s, update),
                          .beta1 = (float)k->beta1,
                          .beta2 = (float)k->beta2,
                          .eps = (float)k->adam_eps,
                          .weight_decay = (float)k->weight_decay};
}

/* Multiply-adds of a trained token, forward and backward, times 2: 6 per parameter of a matrix that it meets (attention's own
 * products not counted): the usual convention of model FLOPs. */
static double flops_per_row(const struct dims *d)
{
    return 3 * (flops_layer(d) * d->L + flops_head(d));
}

void run_put_step(struct run *r, const struct learned *l, double seconds)
{
    struct metrics *m = r->metrics;
    run_count_step(r, l);
    metrics_put(m, "loss", l->loss);
    metrics_put(m, "entropy", l->entropy);
    metrics_put(m, "grad_norm", l->grad_norm);
    metrics_put(m, "lr", l->lr);
    metrics_put(m, "tokens", (double)r->tokens);
    metrics_put(m, "updates", l->updates - l->skipped);
    metrics_put(m, "skipped_updates", l->skipped);
    if (r->actor.dims.E > 0) {
        metrics_put(m, "moe/load_max", l->load_max);
        metrics_put(m, "moe/balance", l->balance);
    }
    metrics_put(m, "pack/imbalance", l->imbalance);
    metrics_put_clock(m, "time/step", seconds);
    const double saving = r->writer ? checkpoint_took(r->writer) : 0;
    if (saving > 0) metrics_put_clock(m, "time/save", saving);
    metrics_put_clock(m, "time/learn", l->seconds);
    metrics_put_clock(m, "time/reduce", l->reduce_seconds);
    metrics_put_clock(m, "time/reduce_exposed", l->reduce_exposed);
    metrics_put_clock(m, "tokens_per_second", (double)l->tokens / seconds);
    metrics_put_clock(m, "time/gflops",
                      flops_per_row(&r->actor.dims) * (double)l->rows / l->seconds * 1e-9);
    metrics_put_clock(m, "pipeline/bubble_fraction", l->bubble_fraction);
    metrics_put_clock(m, "pipeline/exposed_comm_fraction", l->exposed_fraction);
}

void run_progress(struct run *r, const struct phase_settings *k, struct progress p)
{
    long done = r->phase_step + 1 - r->phase_started_at;
    double each = (clock_now() - r->phase_started) / (double)done;
    p.phase = k->name;
    p.step = r->phase_step + 1;
    p.steps = k->kind == PHASE_EVAL ? 1 : k->steps;
    p.seconds_left = each * (double)(p.steps - p.step);
    if (r->world->site == 0) metrics_progress(r->metrics, &p);
}

static void phase_start(struct run *r, const struct phase_settings *k)
{
    r->phase_started = clock_now();
    r->phase_started_at = r->phase_step;
    if (r->phase_step > 0 || k->kind == PHASE_EVAL) return;
    optimizer_reset(&r->optimizer);
    if (r->world->sites > 1) outer_begin(&r->outer);
    if (r->actor.local[0].reference) optimizer_snapshot(&r->optimizer);
}

/* false: a stop came before the step was done. */
static bool phase_step(struct run *r, const struct phase_settings *k)
{
    static bool (*const step[])(struct run *, const struct phase_settings *) = {
        [PHASE_SFT] = sft_step, [PHASE_GRPO] = grpo_step, [PHASE_EVAL] = eval_step};
    if (r->step > 0 && r->step == r->settings.run.trace) r->learner.trace = r->folder;
    if (!step[k->kind](r, k)) return false;
    r->step++;
    r->phase_step++;
    watchdog_feed();
    return !run_line_waits(r);
}

/* Does the position stand behind the last step of a phase that learned? What is saved there is kept, also when it is saved again
 * because the phase after it was stopped in its first step. */
static bool behind_learning(const struct run *r)
{
    const struct settings *s = &r->settings;
    return r->phase > 0 && r->phase_step == 0 && s->phases[r->phase - 1].kind != PHASE_EVAL;
}

/* Between two steps, or where a stop cut one short. true: stop was asked for, everything is saved (the end of a phase saves by
 * itself). */
static bool between_steps(struct run *r, bool phase_ends, bool cut)
{
    folder_look(r);
    bool stop = sites_stop(r, cut || world_stop_requested() != 0);
    int every = r->settings.checkpoint.every;
    if (every > 0 && r->step % every == 0) r->save_due = true;
    /* sites take theirs at the same steps: they go on together from one that all have */
    bool new = !r->skips.idle || r->world->sites > 1;
    if (!phase_ends && (stop || (r->save_due && new))) run_save(r, behind_learning(r));
    checkpoint_poll(r->writer);
    return stop;
}

/* true: a step is done, or was already. */
static bool one_step(struct run *r, const struct phase_settings *k)
{
    if (!run_line_waits(r)) return phase_step(r, k);
    run_end_waiting_line(r, k);
    return !run_line_waits(r);
}

static bool phase_run(struct run *r)
{
    const struct phase_settings *k = &r->settings.phases[r->phase];
    long steps = k->kind == PHASE_EVAL ? 1 : k->steps;
    bool stop = false, whole = true;
    phase_start(r, k);
    while ((r->phase_step < steps || run_line_waits(r)) && !stop) {
        whole = one_step(r, k);
        stop = between_steps(r, whole && r->phase_step == steps, !whole);
    }
    if (r->phase_step < steps || !whole) return stop;
    run_warn_of_skips(r, k);
    r->phase++;
    r->phase_step = 0;
    run_save(r, behind_learning(r));
    return stop;
}

static void print_summary(const struct run *r)
{
    if (r->milestones == 0) return;
    log_info("held-out problems of %s:", source_name(r->source));
    for (int i = 0; i < r->milestones; i++) {
        const struct milestone *m = &r->milestone[i];
        char text[SCORE_TEXT];
        score_text(text, &m->score);
        log_info("  %-16s step %6ld  %s", m->phase, m->step, text);
    }
    const struct score *a = &r->milestone[0].score, *b = &r->milestone[r->milestones - 1].score;
    if (r->milestones > 1)
        log_info("before -> after: pass@1 %.1f %% -> %.1f %%, answer length %.1f -> %.1f tokens",
                 100 * a->pass1, 100 * b->pass1, a->length, b->length);
}

int run_phases(struct run *r)
{
    while (r->phase < r->settings.n_phases) {
        if (!phase_run(r) || r->phase == r->settings.n_phases) continue; /* or all is done anyway */
        checkpoint_writer_free(r->writer); /* what is under way is committed before we say so */
        r->writer = NULL;
        log_info(
            "stopped on request at step %ld; everything is saved: start again with --resume auto",
            r->step);
        return EXIT_STOPPED;
    }
    print_summary(r);
    return EXIT_DONE;
}
