#include "trainer/phases/tell.h"

#include "comm/base/log.h"
#include "model/flops.h"

/* Multiply-adds of a trained token, forward and backward, times 2: 6 per parameter of a matrix that
 * it meets (attention's own products not counted): the usual convention of model FLOPs. */
static double flops_per_row(const struct dims *d)
{
    return 3 * (flops_layer(d) * d->L + flops_head(d));
}

/* What every kind of step reports; docs/METRICS.md has a row for each. */
void step_tell(struct run *r, const struct learned *l, double seconds)
{
    struct metrics *m = r->metrics;
    metrics_put(m, "loss", l->loss);
    metrics_put(m, "entropy", l->entropy);
    metrics_put(m, "grad_norm", l->grad_norm);
    metrics_put(m, "lr", l->lr);
    metrics_put(m, "tokens", (double)r->tokens);
    metrics_put(m, "updates", l->updates - l->skipped);
    metrics_put(m, "skipped_updates", l->skipped);
    if (r->stage.dims.E > 0) {
        metrics_put(m, "moe/load_max", l->load_max);
        metrics_put(m, "moe/balance", l->balance);
        metrics_put(m, "moe/rounds", l->rounds);
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
                      flops_per_row(&r->stage.dims) * (double)l->rows / l->seconds * 1e-9);
    metrics_put_clock(m, "pipeline/bubble_fraction", l->bubble_fraction);
    metrics_put_clock(m, "pipeline/exposed_comm_fraction", l->exposed_fraction);
}

void step_progress(struct run *r, const struct phase_settings *k, struct progress p)
{
    long done = r->phase_step + 1 - r->phase_started_at;
    double each = (clock_now() - r->phase_started) / (double)done;
    p.phase = k->name;
    p.step = r->phase_step + 1;
    p.steps = phase_steps(k);
    p.seconds_left = each * (double)(p.steps - p.step);
    if (r->world->site == 0) metrics_progress(r->metrics, &p);
}
