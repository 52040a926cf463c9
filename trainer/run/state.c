/* What a checkpoint keeps of a run: its position, put into JSON and taken back, and which slices
 * are saved and read. position.h says what of it can be. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/side_files.h"
#include "trainer/checkpoint/lent.h"
#include "trainer/run/position.h"
#include "trainer/run/run.h"

/* --- written --- */

/* What was not measured is null. */
static json_t *real_json(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *milestone_json(const struct milestone *m)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:f, s:o, s:o, s:f}", "phase", m->phase, "step",
                     (int)m->step, "prompts", m->score.prompts, "asked", m->score.asked, "samples",
                     m->score.samples, "pass1", m->score.pass1, "pass_k",
                     real_json(m->score.pass_k), "maj_k", real_json(m->score.maj_k), "length",
                     m->score.length);
}

/* What resume.c compares. */
static void put_sums(const struct run *r, json_t *state)
{
    uint64_t metrics, samples;
    metrics_sums(r->metrics, &metrics, &samples);
    position_put_sum(state, "metrics_xxh64", metrics);
    position_put_sum(state, "samples_xxh64", samples);
    position_put_sum(state, "data_train", r->data_sum[SPLIT_TRAIN]);
    position_put_sum(state, "data_heldout", r->data_sum[SPLIT_HELDOUT]);
    if (r->preferences) position_put_sum(state, "data_preferences", r->preferences_sum);
    position_put_sum(state, "chat_template", chat_sum(r->chat));
    position_put_sum(state, "cluster", settings_cluster_sum(&r->settings));
}

/* Owned by the caller. */
static json_t *run_state(struct run *r)
{
    long metrics_bytes = 0, samples_bytes = 0;
    if (r->metrics) metrics_position(r->metrics, &metrics_bytes, &samples_bytes);
    json_t *past = json_array();
    for (int i = 0; i < r->milestones; i++)
        json_array_append_new(past, milestone_json(&r->milestone[i]));
    json_t *state = json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "phase", r->phase,
                              "phase_step", (json_int_t)r->phase_step, "step", (json_int_t)r->step,
                              "updates", (json_int_t)r->optimizer.updates, "tokens",
                              (json_int_t)r->tokens, "metrics_bytes", (json_int_t)metrics_bytes,
                              "samples_bytes", (json_int_t)samples_bytes, "milestones", past);
    if (r->evaluation.samples > 0)
        json_object_set_new(state, "evaluation", tally_json(&r->evaluation));
    const char *line = r->metrics ? metrics_waiting(r->metrics) : NULL;
    if (line) json_object_set_new(state, "line", json_string(line));
    if (r->layout) position_put_sum(state, "residuals", r->layout);
    if (r->metrics) put_sums(r, state);
    if (r->skips.in_row > 0) skips_put(&r->skips, state);
    if (r->without_spread > 0)
        json_object_set_new(state, "without_spread", json_integer(r->without_spread));
    if (r->world->sites > 1)
        json_object_set_new(state, "exchange_began", json_integer(r->outer.began));
    return state;
}

/* --- read --- */

/* A milestone that cannot be read is left out: they only go into the closing report. */
static void take_milestones(struct run *r, const json_t *past)
{
    size_t n = json_array_size(past);
    for (size_t i = 0; i < n && r->milestones < MILESTONES; i++) {
        struct milestone *m = &r->milestone[r->milestones];
        const char *phase = NULL;
        json_t *pass_k = NULL, *maj_k = NULL;
        int step = 0;
        struct score *s = &m->score;
        if (json_unpack(json_array_get(past, i), "{s:s, s:i, s:i, s?i, s:i, s:F, s?o, s?o, s:F}",
                        "phase", &phase, "step", &step, "prompts", &s->prompts, "asked", &s->asked,
                        "samples", &s->samples, "pass1", &s->pass1, "pass_k", &pass_k, "maj_k",
                        &maj_k, "length", &s->length))
            continue;
        s->pass_k = json_is_real(pass_k) ? json_real_value(pass_k) : NAN;
        s->maj_k = json_is_real(maj_k) ? json_real_value(maj_k) : NAN;
        snprintf(m->phase, sizeof m->phase, "%s", phase);
        m->step = step;
        r->milestones++;
    }
}

/* An evaluation that was stopped, and the line of metrics that waits for it (when it is a step's,
 * not a phase of its own). */
static bool take_evaluation(struct run *r, const json_t *state)
{
    const json_t *o = json_object_get(state, "evaluation");
    const char *line = json_string_value(json_object_get(state, "line"));
    bool waits = o && r->phase_step > 0;
    if (o && !tally_read(&r->evaluation, o)) return false;
    if (waits && !(line && metrics_is_beginning(line))) return false;
    r->line = memory_copy_text(waits ? line : NULL, "a line of metrics");
    return true;
}

/* Numbers first: position_read has checked them together, before any is taken. */
static bool take_position(struct run *r, const struct checkpoint *c, struct problems *p)
{
    struct position q;
    if (!position_read(&q, c->state, c->folder, p)) return false;
    r->phase = (int)q.phase;
    r->phase_step = q.phase_step;
    r->step = q.step;
    r->optimizer.updates = q.updates;
    r->tokens = q.tokens;
    r->skips = skips_of(&q, &r->settings);
    r->without_spread = q.without_spread;
    if (r->world->sites > 1) outer_resume(&r->outer, q.exchange_began);
    take_milestones(r, json_object_get(c->state, "milestones"));
    if (take_evaluation(r, c->state)) return true;
    problems_add(p, c->folder, 0, "its state has an impossible evaluation");
    return false;
}

/* Where weights come from: a checkpoint, else a folder of a model with these dims. */
struct weights_reading {
    const struct checkpoint *checkpoint;
    const struct hf_folder *folder;
    const struct dims *dims;
    struct problems *p;
};

static bool read_host_slices(void *ctx, const struct slice *slices, int n)
{
    const struct weights_reading *from = ctx;
    if (from->checkpoint) return checkpoint_read(from->checkpoint, slices, n, from->p);
    return hf_folder_read(from->folder, from->dims, slices, n, from->p);
}

static bool read_slices(void *ctx, const struct slice *slices, int n)
{
    return slices_lent(slices, n, read_host_slices, ctx);
}

/* What rounding left of gradients sent between hosts, when the checkpoint's is of this very layout;
 * else nothing is left. */
static bool take_residuals(struct run *r, const struct checkpoint *c, struct problems *p)
{
    const char *of = json_string_value(json_object_get(c->state, "residuals"));
    struct slice slice[1];
    if (r->layout == 0) return true;
    if (!of || strtoull(of, NULL, 16) != r->layout) {
        log_info("%s has no residuals of reduction.wire for this mesh and these hosts: they start "
                 "from zero",
                 c->folder);
        return true;
    }
    int n = optimizer_slices(&r->optimizer, slice, SLICES_READ_RESIDUALS);
    struct weights_reading from = {.checkpoint = c, .p = p};
    return read_slices(&from, slice, n);
}

/* What is read; with slices NULL only how many there are. */
static int slices_to_read(struct run *r, bool everything, struct slice *slices)
{
    int n = optimizer_slices(&r->optimizer, slices, everything ? SLICES_READ : SLICES_READ_MODEL);
    if (everything && r->world->sites > 1)
        n += outer_slices(&r->outer, slices ? slices + n : NULL, SLICES_READ_MODEL);
    return n;
}

/* What a recipe keeps now, but did not when it was saved, starts from zero. */
static bool is_read(const struct checkpoint *c, const struct slice *s)
{
    return !s->optional || checkpoint_has(c, s->name);
}

/* In the middle of its phase the reward model is what learns. */
static void publish_learner(struct run *r)
{
    const bool within = r->phase_step > 0 && r->phase < r->settings.n_phases;
    if (r->stage.with_reward)
        optimizer_learn_reward(&r->optimizer,
                               within && r->settings.phases[r->phase].kind == PHASE_REWARD_MODEL);
    optimizer_publish(&r->optimizer);
}

void run_move(struct run *r, int phase, long step)
{
    const bool moves = phase != r->phase || step != r->phase_step;
    r->phase = phase;
    r->phase_step = step;
    if (moves && r->stage.keep == KEEP_TRAINING) publish_learner(r);
}

/* The masters are there: weights of them, where both are kept. */
static void publish(struct run *r, bool reference)
{
    if (r->stage.keep != KEEP_TRAINING) return;
    if (r->stage.with_reward) optimizer_publish_reward(&r->optimizer);
    publish_learner(r);
    if (!r->stage.local[0].reference) return;
    if (reference)
        optimizer_publish_reference(&r->optimizer);
    else
        optimizer_snapshot(&r->optimizer);
}

/* Into the masters, with everything also the moments and the reference. */
static bool read_state(struct run *r, struct weights_reading *from, bool everything)
{
    int n = slices_to_read(r, everything, NULL), kept = 0;
    struct slice *slices = memory_take((size_t)n + 1, sizeof *slices, "slices");
    slices_to_read(r, everything, slices);
    for (int i = 0; i < n; i++)
        if (!from->checkpoint || is_read(from->checkpoint, &slices[i])) slices[kept++] = slices[i];
    bool ok = read_slices(from, slices, kept);
    free(slices);
    return ok;
}

/* What the run keeps of it. Collective. */
static bool read_model(struct run *r, struct weights_reading *from, bool everything)
{
    if (r->stage.keep != KEEP_WEIGHTS) return read_state(r, from, everything);
    return optimizer_fill(&r->optimizer, (struct weights_source){read_slices, from});
}

bool run_load_folder(struct run *r, const struct hf_folder *f, struct problems *p)
{
    struct weights_reading from = {.folder = f, .dims = &r->stage.dims, .p = p};
    double start = clock_now(), gb = 1e-9 * (double)hf_folder_bytes(f);
    bool ok = read_model(r, &from, false);
    if (r->world->rank == 0) ok = hf_side_read(&r->files, f, p) && ok;
    if (!world_all(r->world, ok)) return false;
    double seconds = clock_now() - start;
    log_info("weights from %s: %.2f GB in %.2f s (%.2f GB/s)", f->path, gb, seconds, gb / seconds);
    publish(r, false);
    return true;
}

/* All that is read of it by the functions above, on any rank. */
static void locate(struct run *r, struct checkpoint *c, bool everything)
{
    int n = slices_to_read(r, everything, NULL), more = 0;
    struct slice *slices = memory_take((size_t)n + 1, sizeof *slices, "slices");
    slices_to_read(r, everything, slices);
    if (everything) more = optimizer_slices(&r->optimizer, slices + n, SLICES_READ_RESIDUALS);
    checkpoint_locate(c, r->world, slices, n + more);
    free(slices);
}

/* What a checkpoint lacks is read by nobody only if it is optional (is_read). With a mistake on one
 * rank none starts from half of the state. */
bool run_load(struct run *r, struct checkpoint *c, bool everything, struct problems *p)
{
    locate(r, c, everything);
    struct weights_reading from = {.checkpoint = c, .p = p};
    bool reference = checkpoint_has(c, "ref/embed");
    bool ok = read_model(r, &from, everything);
    if (everything) ok = take_position(r, c, p) && take_residuals(r, c, p) && ok;
    if (!world_all(r->world, ok)) return false;
    attachments_free(&r->files);
    attachments_copy(&r->files, &c->files);
    publish(r, reference && everything);
    return true;
}

/* One of a step that skipped all its updates is not counted among those kept: good ones would go
 * for it. */
double run_save(struct run *r, bool end_of_phase)
{
    bool counts = !(r->skips.idle && r->skips.guarded);
    skips_saved(&r->skips, r->step);
    r->save_due = false;
    if (r->world->sites > 1) outer_settle(&r->outer);
    json_t *state = run_state(r);
    double stall = checkpoint_save(r->writer, r->step, state, r->recipe, r->tokenizer_json,
                                   end_of_phase || !counts);
    json_decref(state);
    return stall;
}
