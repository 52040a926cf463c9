/* The loop over phases and steps: where checkpoints are taken and stop requests heard. */
#include "trainer/phases/phases.h"

#include <stdio.h>
#include "comm/base/log.h"
#include "trainer/phases/evaluate.h"
#include "trainer/phases/export.h"
#include "trainer/phases/reward_model.h"
#include "trainer/phases/rl.h"
#include "trainer/phases/sft.h"
#include "trainer/run/folder.h"
#include "trainer/run/sites.h"

const struct phase_kind phase_kinds[] = {
    [PHASE_SFT] =
        {.name = "sft", .learns = true, .lower = "batch", .size = sft_size, .step = sft_step},
    [PHASE_GRPO] = {.name = "grpo",
                    .learns = true,
                    .lower = "prompts or samples",
                    .size = rl_size,
                    .step = rl_step},
    [PHASE_EVAL] = {.name = "eval",
                    .lower = "prompts or samples",
                    .size = eval_size,
                    .step = eval_step},
    [PHASE_EXPORT] = {.name = "export", .size = export_size, .step = export_step},
    [PHASE_REWARD_MODEL] = {.name = "reward_model",
                            .learns = true,
                            .lower = "batch",
                            .size = reward_model_size,
                            .begin = reward_model_begin,
                            .step = reward_model_step,
                            .end = reward_model_end},
};

static const struct phase_kind *kind_of_phase(const struct phase_settings *k)
{
    return phase_kind_of(phase_kinds, k);
}

static void phase_start(struct run *r, const struct phase_settings *k)
{
    r->phase_started = clock_now();
    r->phase_started_at = r->phase_step;
    if (r->phase_step > 0 || !kind_of_phase(k)->learns) return;
    if (kind_of_phase(k)->begin) kind_of_phase(k)->begin(r);
    optimizer_reset(&r->optimizer);
    if (r->world->sites > 1) outer_begin(&r->outer);
    if (r->stage.local[0].reference) optimizer_snapshot(&r->optimizer);
}

/* false: a stop came before the step was done. */
static bool phase_step(struct run *r, const struct phase_settings *k)
{
    if (r->step > 0 && r->step == r->settings.run.trace) r->learner.trace = r->folder;
    if (!kind_of_phase(k)->step(r, k)) return false;
    r->step++;
    r->phase_step++;
    watchdog_feed();
    return !evaluate_line_waits(r);
}

/* Does the position stand behind the last step of a phase that learned? What is saved there is
 * kept, also when it is saved again because the phase after it was stopped in its first step. */
static bool behind_learning(const struct run *r)
{
    const struct settings *s = &r->settings;
    return r->phase > 0 && r->phase_step == 0 && kind_of_phase(&s->phases[r->phase - 1])->learns;
}

/* Between two steps, or where a stop cut one short. true: stop was asked for, everything is saved
 * (the end of a phase saves by itself). */
static bool between_steps(struct run *r, bool phase_ends, bool cut)
{
    folder_look(r);
    bool stop = sites_stop(r, cut || world_stop_requested() != 0);
    int every = r->settings.checkpoint.every;
    if (every > 0 && r->step % every == 0) r->save_due = true;
    /* sites save at the same steps, so that they can resume together */
    bool new = !r->skips.idle || r->world->sites > 1;
    if (!phase_ends && (stop || (r->save_due && new))) run_save(r, behind_learning(r));
    checkpoint_poll(r->writer);
    return stop;
}

/* true: a step is done, or was already. */
static bool one_step(struct run *r, const struct phase_settings *k)
{
    if (!evaluate_line_waits(r)) return phase_step(r, k);
    evaluate_end_waiting_line(r, k);
    return !evaluate_line_waits(r);
}

/* The last step of a phase and the phase's end are one save. */
static bool phase_run(struct run *r)
{
    const struct phase_settings *k = &r->settings.phases[r->phase];
    const long steps = phase_steps(k);
    bool stop = false, whole = true;
    phase_start(r, k);
    while ((r->phase_step < steps || evaluate_line_waits(r)) && !stop) {
        whole = one_step(r, k);
        stop = between_steps(r, whole && r->phase_step == steps, !whole);
    }
    if (r->phase_step < steps || !whole) return stop;
    if (kind_of_phase(k)->learns) skips_warn(r, k);
    if (kind_of_phase(k)->end) kind_of_phase(k)->end(r);
    r->phase++;
    r->phase_step = 0;
    run_save(r, behind_learning(r));
    return stop;
}

/* The first and the last evaluation: what training changed. */
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

/* A stop after the last step is no stop: the run is done. */
int phases_run(struct run *r)
{
    while (r->phase < r->settings.n_phases) {
        if (!phase_run(r) || r->phase == r->settings.n_phases) continue; /* or all is done anyway */
        checkpoint_writer_free(r->writer); /* what is under way is committed before we say so */
        r->writer = NULL;
        log_info(
            "stopped on request at step %ld with a checkpoint saved: restart with --resume auto",
            r->step);
        return EXIT_STOPPED;
    }
    print_summary(r);
    return EXIT_DONE;
}
