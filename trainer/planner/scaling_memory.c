/* What a rank of a scaled model needs: placed as the trainer places it, so that the table,
 * --propose and duet plan RECIPE cannot disagree. Formulas, quick, sort out before that what cannot
 * fit. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/learn/grad_reduce.h"
#include "trainer/planner/memory.h"
#include "trainer/planner/scaling.h"

/* ---- by formulas ---- */

/* Layers are shared out evenly, the first chunks getting more. A layer's four streams of the hidden
 * size, and the two at a chunk's end, are whole on every rank of tp, unless sequences are cut: then
 * only the outputs of its norms, where they are kept. */
static double chunk_kept(const struct shape *s, int chunks, const struct layout *l)
{
    double layers = ceil((double)s->layers / chunks);
    double dense = s->kept - s->again.acts[l->recompute];
    double experts = s->kept_moe - s->again_moe.acts[l->recompute];
    double kept = fmax(dense, experts), whole = 4 * s->C, ends = 2 * s->C;
    if (l->cut) whole = l->recompute == RECOMPUTE_NONE ? 2 * s->C : 0, ends /= l->tp;
    whole = fmin(whole, kept);
    return layers * (whole + (kept - whole) / l->tp) + ends;
}

/* Room for what arrives of the sums under way: as many layers as may be, but a rank's own part of
 * them. */
static double scaling_buffers(const struct shape *s, const struct layout *l, double R)
{
    double most = 0;
    for (int i = 0; i < s->layers; i++) {
        double experts = shape_moe(s, i) ? s->experts * s->expert : 0;
        double dense = (shape_layer_weights(s, i) - experts) / l->tp, Re = R / l->ep;
        double room = dense * (R - 1) / R + (Re > 1 ? experts / l->ep * (Re - 1) / Re : 0);
        if (room > most) most = room;
    }
    return GRAD_REDUCE_OPEN * most * sizeof(float);
}

/* As the trainer places them: dense weights by pp and tp, experts by pp and ep, the optimizer's
 * state by the replicas of each. */
struct scaling_bytes scaling_bytes(const struct shape *s, const struct layout *l, int slots)
{
    enum plan_place place = plan_kind_place(l->kind);
    int chunks = plan_chunks(place, l->pp);
    double twice = place == PLACE_MIRROR ? 2 : 1, R = twice * l->dp;
    double expert = 0, real = shape_real_bytes(s), floats = sizeof(float);
    for (int i = 0; i < s->layers; i++) expert += shape_moe(s, i) ? s->experts * s->expert : 0;
    double dense = (shape_weights(s) - expert) * twice / l->pp / l->tp;
    expert *= twice / l->pp / l->ep;
    double sums =
        place == PLACE_MIRROR ? 1 : 2; /* a chunk's gradients, by direction (mesh.directions) */
    double slices[] = {dense / R, expert * l->ep / R}, held = dense + expert;
    double slice = slices[0] + slices[1];
    double apart = (R > 1 ? slices[0] : 0) + (R > l->ep ? slices[1] : 0); /* else in place */
    double head = l->rows * s->V / l->tp * (real + floats);
    return (struct scaling_bytes){.parameters = held * real,
                                  .gradients = sums * held * floats + apart * floats,
                                  .optimizer = 3 * slice * floats,
                                  .buffers = scaling_buffers(s, l, R),
                                  .activations =
                                      head + slots * l->rows * chunk_kept(s, chunks, l) * real};
}

double scaling_memory(const struct shape *s, const struct layout *l, int slots)
{
    struct scaling_bytes b = scaling_bytes(s, l, slots);
    return b.parameters + b.gradients + b.optimizer + b.activations + b.buffers;
}

/* ---- as placed ---- */

/* A recipe in text, so that its checks are those of a user's. */
bool scaling_settings(struct settings *s, const struct scaled_model *m, const struct layout *l)
{
    char text[1024];
    struct problems p = {0};
    int n = snprintf(text, sizeof text,
                     "precision: bf16\nschedule: %s\nmodel: %s\n"
                     "mesh: {dp: %d, pp: %d, ep: %d, tp: %d, recompute: %s}\n"
                     "data: {task: arithmetic, micro_batch_tokens: %.0f}\n"
                     "phases: [{kind: sft, steps: 1, batch: %d}]\n",
                     plan_kind_name(l->kind), m->model, l->dp, l->pp, l->ep, l->tp,
                     layout_recompute_name(l->recompute), l->room, m->batch);
    settings_defaults(s);
    bool can = settings_parse(s, text, (size_t)n, m->shape.name, &p) &&
               settings_check(s, l->dp * l->pp * l->tp, &p);
    problems_free(&p);
    return can;
}

/* Stage by stage of one pipeline: others hold the same. */
double scaling_placed(const struct scaled_model *m, const struct layout *l)
{
    struct settings s;
    const struct ops *here = ops_find(m->shape.precision, NULL);
    double most = INFINITY;
    if (scaling_settings(&s, m, l) && here) {
        struct ops ops = *here;
        ops.linear_place = linear_place_nothing;
        const struct extent extent = {
            .sequences = m->batch, .questions = m->batch, .answers = 1, .max_new = 1};
        struct memory_job job = {&s, &ops, (int)m->shape.V, extent, NULL};
        most = 0;
        for (int p = 0; p < l->pp; p++) {
            struct memory of;
            memory_of_rank(&of, &job, (struct mesh_at){.p = p});
            most = fmax(most, (double)of.total);
        }
    }
    settings_free(&s);
    return most;
}
