#include "trainer/run/skips.h"

#include <stdio.h>
#include "comm/base/log.h"
#include "comm/base/problems.h"
#include "trainer/phase.h"
#include "trainer/run/position.h"
#include "trainer/run/run.h"

static void say_way_out(const struct run *r, char *out, size_t size)
{
    if (r->skips.any_saved)
        snprintf(out, size,
                 "The last checkpoint from before is %s/checkpoints/step-%08ld: remove later ones, "
                 "if there are any, and restart with --resume auto",
                 r->folder, r->skips.saved);
    else
        snprintf(out, size, "There is no earlier checkpoint: start over");
}

/* All ranks know why. What is being written in the background is from before, and is committed
 * first. */
static _Noreturn void end_the_run(struct run *r, const struct phase_settings *k,
                                  const struct step_stats *s)
{
    struct problems p = {0};
    char way_out[640];
    say_way_out(r, way_out, sizeof way_out);
    checkpoint_writer_free(r->writer);
    problems_add(&p, NULL, 0,
                 "%s: %d updates in a row were skipped, since step %ld: their gradients were not "
                 "finite or beyond 2^15 (norm %g, loss %g); phases.%s.max_skips ends the run. %s, "
                 "with a lower lr "
                 "(it is %g) or weight_decay (%g), or a longer warmup (%d). If updates are skipped "
                 "again at once, the weights were too large already: go further back",
                 k->name, r->skips.in_row, r->skips.since, s->grad_norm, s->loss, k->name, way_out,
                 k->lr, k->weight_decay, k->warmup);
    problems_end(&p, r->world->first, EXIT_WORLD);
}

/* The first of a row of skips is logged; more of them would hide it. */
void skips_count_update(struct run *r, const struct phase_settings *k, const struct step_stats *s)
{
    r->skips.guarded = k->max_skips > 0;
    if (!s->skipped) {
        r->skips.in_row = 0;
        return;
    }
    if (r->skips.in_row++ == 0) {
        r->skips.since = r->step;
        log_info("step %ld: the gradient is not finite or beyond 2^15 (norm %g, loss %g): the "
                 "update is skipped; "
                 "lower lr if this repeats",
                 r->step, s->grad_norm, s->loss);
    }
    if (k->max_skips > 0 && r->skips.in_row >= k->max_skips) end_the_run(r, k, s);
}

void skips_warn(const struct run *r, const struct phase_settings *k)
{
    if (r->skips.in_row > 0 && r->world->rank == 0)
        log_warn("%s ends with %d skipped updates, since step %ld: its weights are those from "
                 "before that step, and their gradients are not finite; lower lr (it is %g)",
                 k->name, r->skips.in_row, r->skips.since, k->lr);
}

void skips_count_step(struct skips *s, const struct learned *l)
{
    s->idle = s->in_row > 0 && l->skipped == l->updates;
}

void skips_saved(struct skips *s, long step)
{
    if (s->idle) return;
    s->any_saved = true;
    s->saved = step;
}

void skips_put(const struct skips *s, json_t *state)
{
    json_object_set_new(state, "skipped_in_row", json_integer(s->in_row));
    json_object_set_new(state, "skipped_since", json_integer(s->since));
    if (s->any_saved) json_object_set_new(state, "skipped_saved", json_integer(s->saved));
}

/* Steps of the phase that made the last updates. */
static bool guarded_at(const struct settings *s, const struct position *q)
{
    long i = q->phase_step > 0 ? q->phase : q->phase - 1;
    if (i >= s->n_phases) i = s->n_phases - 1;
    while (i >= 0 && !phase_takes(&s->phases[i], "max_skips")) i--;
    return i >= 0 && s->phases[i].max_skips > 0;
}

struct skips skips_of(const struct position *q, const struct settings *s)
{
    if (q->skipped_in_row == 0) return (struct skips){.any_saved = true, .saved = q->step};
    return (struct skips){.in_row = (int)q->skipped_in_row,
                          .guarded = guarded_at(s, q),
                          .since = q->skipped_since,
                          .idle = !(q->has_skipped_saved && q->skipped_saved == q->step),
                          .any_saved = q->has_skipped_saved,
                          .saved = q->skipped_saved};
}
