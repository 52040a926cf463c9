#include "trainer/planner/scaling.h"

#include <math.h>
#include <stdio.h>
#include "pipeline/check.h"
#include "pipeline/schedules.h"
#include "trainer/planner/working.h"
#include "trainer/schedule/schedule.h"

/* Weights of DeepSeek-V3 in a layer's attention, and in an expert. */
#define V3_ATTENTION \
    (7168.0 * 1536 + 1536.0 * 128 * 192 + 7168.0 * 576 + 512.0 * 128 * 256 + 128.0 * 128 * 7168)
#define V3_EXPERT (3.0 * 7168 * 2048)

/* A dense layer of Q columns of q, k and v, A of attention's output, and an FFN of F: what it keeps
 * of a row, and what of that is computed again (model/acts.h, layer_matrices_again;
 * tests/unit/planner/test_scaling.c holds it to them). */
#define DENSE_KEPT(C, Q, A, F) (4 * (C) + (Q) + (A) + 3 * (F))
#define DENSE_AGAIN(C, Q, A, F)                                         \
    {                                                                   \
        .matrices = {[RECOMPUTE_PRODUCTS] = (C) * ((Q) + 2.0 * (F)),    \
                     [RECOMPUTE_FULL] = (C) * ((Q) + (A) + 2.0 * (F))}, \
        .acts = {                                                       \
            [RECOMPUTE_SELECTIVE] = 2 * (C) + (F),                      \
            [RECOMPUTE_PRODUCTS] = 2 * (C) + (Q) + 3 * (F),             \
            [RECOMPUTE_FULL] = DENSE_KEPT(C, Q, A, F) - (C)             \
        }                                                               \
    }

/* Llama 2 7B (arXiv 2307.09288) at its batch of 4 M tokens; Qwen2.5 32B (arXiv 2412.15115) at the
 * same context, with 8 M; DeepSeek-V3 (arXiv 2412.19437) at 15,360 sequences, in bf16. Its latent
 * attention is 187 M weights a layer. It sends rows to experts in fp8, to four nodes at most. Duet
 * has neither latent attention nor shared experts: its recipe has 64 heads of 128 in their place,
 * with as many weights as both together, and computes again what it can. A layer then keeps of a
 * row its two inputs, instead of about 83,500 bf16 elements. */
const struct scaled_model SCALED[SCALED_MODELS] = {
    {.shape = {.name = "7B dense (Llama 2 7B)",
               .layers = 32,
               .dense = 32,
               .C = 4096,
               .V = 32000,
               .attention = 4.0 * 4096 * 4096,
               .key = 2.0 * (4096 + 4096),
               .ffn = 3.0 * 4096 * 11008,
               .kept = DENSE_KEPT(4096, 3 * 4096, 4096, 11008),
               .again = DENSE_AGAIN(4096, 3 * 4096, 4096, 11008),
               .precision = PRECISION_BF16},
     .model = "{layers: 32, hidden: 4096, heads: 32, ffn: 11008, max_context: 4096}",
     .context = 4096,
     .batch = 1024},
    {.shape = {.name = "32B dense (Qwen2.5 32B)",
               .layers = 64,
               .dense = 64,
               .C = 5120,
               .V = 152064,
               .attention = 5120.0 * (5120 + 2 * 1024) + 5120.0 * 5120,
               .key = 2.0 * (5120 + 5120),
               .ffn = 3.0 * 5120 * 27648,
               .kept = DENSE_KEPT(5120, 7168, 5120, 27648),
               .again = DENSE_AGAIN(5120, 7168, 5120, 27648),
               .precision = PRECISION_BF16},
     .model = "{layers: 64, hidden: 5120, heads: 40, kv_heads: 8, ffn: 27648, max_context: 4096}",
     .context = 4096,
     .batch = 2048},
    {.shape = {.name = "671B mixture of experts (DeepSeek-V3)",
               .layers = 61,
               .dense = 3,
               .C = 7168,
               .V = 129280,
               .attention = V3_ATTENTION,
               .key = 2.0 * (128 * 192 + 128 * 128),
               .ffn = 3.0 * 7168 * 18432,
               .expert = V3_EXPERT,
               .experts = 256,
               .active = 8,
               .shared = 1,
               .kept = 83500,
               .kept_moe = 83500,
               .again = {.matrices[RECOMPUTE_FULL] = V3_ATTENTION + 2.0 * 7168 * 18432,
                         .acts[RECOMPUTE_FULL] = 83500 - 2 * 7168},
               .again_moe = {.matrices[RECOMPUTE_FULL] = V3_ATTENTION + 9 * V3_EXPERT,
                             .acts[RECOMPUTE_FULL] = 83500 - 2 * 7168},
               .send = 1,
               .nodes = 4,
               .precision = PRECISION_BF16},
     .model = "{layers: 61, hidden: 7168, heads: 64, head_dim: 128, ffn: 18432, max_context: 4096, "
              "first_dense: 3, experts: 256, experts_active: 8, expert_ffn: 2048}",
     .recompute = RECOMPUTE_FULL,
     .context = 4096,
     .batch = 15360},
};

const char *scaling_limit_name(enum scaling_limit l)
{
    static const char *const name[LIMITS] = {"computing", "memory", "batch", "bubble",
                                             "exposed communication"};
    return name[l];
}

/* ---- one layout ---- */

/* A search: of which model, on what. */
struct scaling_search {
    const struct scaled_model *m;
    const struct cluster *c;
    struct remember *known;
    double memory; /* of a device; 0: without end */
};

/* A pipeline's time grows by the same with every further micro-batch: two short plans predict a
 * long one. */
static void predict_long(struct prediction *out, const struct scaling_search *s,
                         const struct layout *l)
{
    const struct scaled_model *m = s->m;
    int near = plan_micro_batches(l->kind, l->pp, 3 * l->pp);
    int far = plan_micro_batches(l->kind, l->pp, 4 * l->pp);
    if (l->micro_batches <= far || near == far) {
        remember_predict(s->known, out, l);
        return;
    }
    struct layout a = *l, b = *l;
    struct prediction pa, pb;
    a.micro_batches = near, b.micro_batches = far;
    remember_predict(s->known, &pa, &a);
    remember_predict(s->known, &pb, &b);
    *out = pb;
    double more = (double)(l->micro_batches - far) / (far - near);
    double idle = pb.bubble * pb.pipeline, waited = pb.exposed * pb.step - pb.reduce;
    double waited_more = waited - (pa.exposed * pa.step - pa.reduce);
    out->pipeline += more * (pb.pipeline - pa.pipeline);
    out->step = out->pipeline + out->reduce + out->update;
    out->bubble = (idle + more * (idle - pa.bubble * pa.pipeline)) / out->pipeline;
    out->exposed = (waited + more * waited_more + out->reduce) / out->step;
    double rows = (double)l->dp * l->micro_batches * l->rows;
    out->rows_per_second = rows / out->step;
    out->mfu = shape_model_flops(&m->shape, l->context) * rows /
               (out->step * cluster_peak(s->c, m->shape.precision) * l->dp * l->pp * l->tp);
}

/* The layout as it is, recomputation included. Cheap tests first: a table considers very many.
 * true: it does not fit, but is faster than the best, so that it is worth while to compute more
 * again. */
static bool consider_one(struct scaled *best, const struct scaling_search *s,
                         const struct layout *l)
{
    const struct scaled_model *m = s->m;
    double least = 0.99 * scaling_memory(&m->shape, l, 1), bytes = least;
    struct prediction t;
    if (s->memory > 0 && least > s->memory) return true;
    predict_long(&t, s, l);
    if (best->fits && t.rows_per_second <= best->time.rows_per_second) return false;
    if (s->memory > 0) /* last, since placing takes longest */
        bytes = m->model ? scaling_placed(m, l)
                         : scaling_memory(&m->shape, l, remember_slots(s->known, l));
    if (s->memory > 0 && bytes > s->memory) return true;
    *best = (struct scaled){.fits = true, .layout = *l, .time = t, .bytes = bytes};
    return false;
}

/* What a schedule cannot do is sorted out before that. */
static void consider(struct scaled *best, const struct scaling_search *s, struct layout l)
{
    const struct scaled_model *m = s->m;
    if (m->batch % l.dp != 0) return;
    l.micro_batches = m->batch / l.dp;
    if (!plan_possible(l.kind, l.pp,
                       l.micro_batches > 4 * l.pp ? plan_micro_batches(l.kind, l.pp, 4 * l.pp)
                                                  : l.micro_batches,
                       NULL))
        return;
    if (plan_chunks(plan_kind_place(l.kind), l.pp) > m->shape.layers) return;
    working_did(0);
    for (int r = (int)m->recompute; r < RECOMPUTE_NEVER; r++) {
        l.recompute = (enum recompute)r;
        if (!consider_one(best, s, &l)) return;
    }
}

/* ep in powers of two up to 64, as in DeepSeek-V3. */
static void each_split(struct scaled *best, const struct scaling_search *s, struct layout l)
{
    for (l.ep = 1; l.ep <= l.dp && l.ep <= (s->m->shape.experts > 0 ? 64 : 1); l.ep *= 2) {
        if (l.dp % l.ep != 0) continue;
        for (int k = 0; k < PLAN_AUTO; k++) {
            l.kind = (enum plan_kind)k;
            if ((l.pp == 1) == (l.kind == PLAN_SERIAL)) consider(best, s, l);
        }
    }
}

/* tp within a node, pp up to 32, everything in powers of two. */
static struct scaled search(const struct scaling_search *s, int devices)
{
    struct scaled best = {0};
    struct layout l = {
        .rows = s->m->context, .room = s->m->context, .context = s->m->context, .sharded = true};
    for (l.tp = 1; l.tp <= s->c->top.devices && l.tp <= 8; l.tp *= 2)
        for (l.pp = 1; (long)l.pp * l.tp <= devices && l.pp <= 32; l.pp *= 2) {
            if (devices % (l.pp * l.tp) != 0) continue;
            l.dp = devices / (l.pp * l.tp);
            l.cut = schedule_cut_shape(l.tp, l.room, s->m->shape.C);
            each_split(&best, s, l);
        }
    return best;
}

/* ---- what bites ---- */

static enum scaling_limit limit_of(const struct scaled *s, double memory_gain, double batch_gain)
{
    const double enough = 0.05;
    if (batch_gain >= enough && batch_gain >= memory_gain) return LIMIT_BATCH;
    if (memory_gain >= enough) return LIMIT_MEMORY;
    if (s->time.bubble < enough && s->time.exposed < enough) return LIMIT_COMPUTE;
    return s->time.bubble > s->time.exposed ? LIMIT_BUBBLE : LIMIT_EXPOSED;
}

/* What limits: searched again without the memory limit and with four times the batch; whichever
 * helps more was the limit. */
struct scaled scaling_best(const struct scaled_model *m, const struct cluster *c,
                           struct remember *known, int devices)
{
    struct scaled_model more = *m;
    more.batch *= 4;
    known->shape = &m->shape, known->cluster = c;
    const struct scaling_search as_it_is = {m, c, known, c->top.memory_gib * 0x1p30};
    struct scaling_search without_end = as_it_is, with_more = as_it_is;
    without_end.memory = 0, with_more.m = &more;
    struct scaled s = search(&as_it_is, devices);
    struct scaled roomy = search(&without_end, devices), longer = search(&with_more, devices);
    double now = s.time.rows_per_second;
    s.limit = LIMIT_MEMORY;
    if (!s.fits && longer.fits && !(roomy.fits)) s.limit = LIMIT_BATCH;
    if (s.fits)
        s.limit = limit_of(&s, 1 - now / roomy.time.rows_per_second,
                           1 - now / longer.time.rows_per_second);
    return s;
}

/* ---- the table ---- */

/* To one: tokens per second and device, relative to the first row. */
static void print_row(const struct scaled *s, int devices, double alone)
{
    const struct layout *l = &s->layout;
    char mesh[64];
    if (!s->fits) {
        printf("%8d  no mesh: %s\n", devices, scaling_limit_name(s->limit));
        return;
    }
    snprintf(mesh, sizeof mesh, "%d x %d x %d x %d", l->dp, l->pp, l->ep, l->tp);
    printf("%8d  %-20s %-10s %-9s %6d %9.3g %10.3g %7.1f %% %7.1f %% %7.1f %% %6.1f %% %6.0f  %s\n",
           devices, mesh, plan_kind_name(l->kind), layout_recompute_name(l->recompute),
           l->micro_batches, s->time.step, s->time.rows_per_second, 100 * s->time.mfu,
           100 * s->time.bubble, 100 * s->time.exposed,
           100 * s->time.rows_per_second / devices / alone, s->bytes / 0x1p30,
           scaling_limit_name(s->limit));
}

/* Each row takes its best mesh; the search is the same for every number of devices. */
void scaling_print(const struct cluster *c)
{
    enum { LEAST = 8, MOST = 16384 };
    printf("nodes of %d devices as in %s; mesh: dp x pp x ep x tp; M: micro-batches of one "
           "sequence per pipeline;\nto one: tokens/s per device relative to the first row; GiB: "
           "memory of the largest rank, placed as in training\n",
           c->top.devices, *c->top.name ? c->top.name : "the cluster file");
    working_begin("searching meshes, table row", 0);
    for (int i = 0; i < SCALED_MODELS; i++) {
        const struct scaled_model *m = &SCALED[i];
        struct remember known = {.shape = NULL};
        double alone = 0;
        printf("\n%s, %.0f B weights, %d sequences of %.0f per step\n%8s  %-20s %-10s %-9s %6s %9s "
               "%10s "
               "%9s %9s %9s %8s %6s  %s\n",
               m->shape.name, shape_weights(&m->shape) * 1e-9, m->batch, m->context, "devices",
               "mesh", "schedule", "recompute", "M", "step, s", "tokens/s", "MFU", "bubble",
               "exposed", "to one", "GiB", "limit");
        for (int n = LEAST; n <= MOST; n *= 2) {
            struct scaled s = scaling_best(m, c, &known, n);
            if (s.fits && alone <= 0) alone = s.time.rows_per_second / n;
            print_row(&s, n, alone);
            working_did(1);
        }
        remember_free(&known);
    }
    working_end();
}
