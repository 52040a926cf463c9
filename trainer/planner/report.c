#include "trainer/planner/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/planner/map.h"
#include "trainer/planner/picture_print.h"
#include "trainer/planner/propose.h"
#include "trainer/planner/working.h"

/* ---- memory ---- */

enum { MOST_ROWS = 16 };

static void memory_head(void)
{
    printf("%-22s", "memory per rank, MiB");
    for (int k = 1; k <= ARENA_KINDS; k++)
        printf(" %11s", arena_kind_name((enum arena_kind)(k % ARENA_KINDS)));
    printf(" %11s\n", "total");
}

static void memory_row(const char *who, const struct memory *m)
{
    printf("%-22s", who);
    for (int k = 1; k <= ARENA_KINDS; k++)
        printf(" %11.1f", (double)m->of[k % ARENA_KINDS] / 0x1p20);
    printf(" %11.1f\n", (double)m->total / 0x1p20);
}

static void least_and_most(struct memory *least, struct memory *most, const struct memory *m,
                           bool first)
{
    if (first || m->total < least->total) *least = *m;
    if (first || m->total > most->total) *most = *m;
}

/* What the rows stand for: few ranks all, of many the stages of the first pipeline. */
static bool shown(const struct mesh_settings *m, struct mesh_at at)
{
    if (m->dp * m->pp * m->tp <= MOST_ROWS) return true;
    return at.d == 0 && at.t == 0 && at.p < MOST_ROWS;
}

/* Pipelines between the first and the last have no more of the optimizer than the first and no less
 * than the last. */
static void print_memory(const struct recipe *r)
{
    const struct mesh_settings *mesh = &r->settings.mesh;
    int ranks = mesh->dp * mesh->pp * mesh->tp, *host = hosts_place(&r->hosts, ranks);
    struct memory_job job = {&r->settings, &r->ops, r->dims.V,
                             extent_of(r->job->kinds, &r->settings), host};
    struct memory m, least = {0}, most = {0};
    memory_head();
    working_begin("placing memory, rank", ranks);
    for (int i = 0; i < ranks; i++) {
        working_did(1);
        struct mesh_at at = {i / mesh->tp / mesh->pp, i / mesh->tp % mesh->pp, i % mesh->tp};
        char who[40];
        if (ranks > MOST_ROWS && at.d > 0 && at.d < mesh->dp - 1) continue;
        memory_of_rank(&m, &job, at);
        least_and_most(&least, &most, &m, i == 0);
        snprintf(who, sizeof who, "rank %d (stage %d)", i, at.p);
        if (shown(mesh, at)) memory_row(who, &m);
    }
    working_end();
    if (ranks > 1) memory_row("smallest rank", &least);
    if (ranks > 1) memory_row("largest rank", &most);
    printf("beside these a process takes about %.0f MiB: program, libraries, kernels\n",
           (double)memory_beside(&job) / 0x1p20);
    free(host);
}

/* How many answers the cache has room for: as long as can be, and as long as is expected. */
static void print_cache(const struct recipe *r, const struct memory_job *job)
{
    const struct settings *s = &r->settings;
    const struct phase_settings *k = &s->phases[r->phase];
    struct rollout_cache c = memory_cache(job);
    int slots = c.slots * c.directions, answer = r->job->answer ? r->job->answer : k->max_new;
    if (!job->extent.sampling) return;
    printf("cache of a pipeline      room for %ld tokens: %ld answers of model.max_context %d",
           rollout_cache_tokens(&c), rollout_fit(&c, 1, s->model.max_context, 1),
           s->model.max_context);
    if (r->size.questions > 0)
        printf("; %ld of %d tokens to prompts of %.0f, %d each",
               rollout_fit(&c, (int)ceil(r->prompt), answer, r->size.samples), answer, r->prompt,
               r->size.samples);
    printf("; %d are decoded at once%s\n", slots,
           c.blocks == c.full ? "" : ", the youngest wait when it is full (mesh.cache_tokens)");
}

static void print_fit(const struct recipe *r)
{
    struct memory m = recipe_memory(r, &r->settings);
    double have = r->cluster.top.memory_gib * 0x1p30;
    if (have <= 0 || (double)m.total <= have) return;
    bool here = !r->job->cluster && !r->job->hostfile;
    printf("does not fit: %.1f GiB are needed, but a %s has %.1f GiB%s: lower "
           "data.micro_batch_tokens (now %d), set mesh.recompute, or use more stages or ranks "
           "(--propose)\n",
           (double)m.total / 0x1p30, here ? "rank" : "device", r->cluster.top.memory_gib,
           here ? " of this machine's free memory" : "", r->settings.data.micro_batch_tokens);
}

/* ---- time ---- */

static const char *costs_from(const struct recipe *r)
{
    if (r->measured) return "measured here";
    return r->cluster.costs.layer_f > 0 ? "from the cluster file" : "from FLOPs and bytes";
}

/* The plan of `auto` is that of a training run which knows the same costs. */
static void print_search(const struct recipe *r)
{
    const struct settings *s = &r->settings;
    bool searched = schedule_kind(s) == PLAN_AUTO, named = *s->mesh.cluster;
    const char *file = r->job->cluster;
    if (!searched || !file || (named && strcmp(s->mesh.cluster, file) == 0)) return;
    printf("auto searched with the costs of %s: training does so with mesh.cluster=%s%s\n", file,
           file, r->measured ? " and the times printed above in it" : "");
}

/* What is included in the step and what is not is said, since users compare it with measurements.
 */
static void print_job(const struct recipe *r, const struct layout *l)
{
    double rows = 0;
    for (int i = 0; i < r->n; i++) rows += r->rows[i];
    printf("\nstep of phase %s on %s: %d sequences, %.0f rows; %s on a mesh %d x %d x %d x %d (dp "
           "x pp x ep x tp), %d micro-batches of %.0f rows (room for %.0f) per pipeline\n",
           r->settings.phases[r->phase].name, r->cluster.top.name, r->n, rows,
           plan_kind_name(l->kind), l->dp, l->pp, l->ep, l->tp, l->micro_batches, l->rows, l->room);
    print_search(r);
    if (r->size.reference) printf("the reference model's forward passes are included\n");
    if (r->size.reward) printf("the scores' forward passes are included\n");
    if (r->size.questions > 0)
        printf("the rollout is not included; answers are assumed to have %s%d tokens (--answer)\n",
               r->job->answer ? "" : "max_new = ",
               r->job->answer ? r->job->answer : r->settings.phases[r->phase].max_new);
}

/* An MFU above 1 means that times and peak contradict each other: not printed as a figure. */
static void print_prediction(const struct recipe *r, const struct prediction *t)
{
    if (t->crowding > 1)
        printf("ranks share the %d cores of a node: a pass takes %.3g times as long as on a core "
               "of its own\n",
               r->cluster.top.cores, t->crowding);
    printf("times of a chunk, ms (%s)   F %.4g, B %.4g (input part %.4g), W %.4g, pair %.4g; "
           "message %.4g\n",
           costs_from(r), 1e3 * t->f, 1e3 * (t->b + t->w), 1e3 * t->b, 1e3 * t->w, 1e3 * t->pair,
           1e3 * t->message);
    printf("step %.4g ms                = pipeline %.4g + reduction %.4g + update %.4g",
           1e3 * t->step, 1e3 * t->pipeline, 1e3 * t->reduce, 1e3 * t->update);
    if (t->hidden > 0)
        printf("; another %.4g of the reduction overlap with the last backward", 1e3 * t->hidden);
    printf("\n");
    printf("bubble %.1f %% of the pipeline's time; exposed communication %.1f %% of the step\n",
           100 * t->bubble, 100 * t->exposed);
    printf("%.4g tokens/s", t->rows_per_second);
    if (t->mfu > 1)
        printf(", no MFU: it would be %.0f %%, so these times contradict the peak", 100 * t->mfu);
    else if (t->mfu > 0)
        printf(", MFU %.1f %% (3 x forward FLOPs of all matrix products, including the causal half "
               "of attention, no recomputation, relative to the dense peak)",
               100 * t->mfu);
    printf("\n");
}

/* Without times only bytes are known. */
static void print_sites(const struct recipe *r, double step)
{
    const struct settings *s = &r->settings;
    struct site_exchange x = recipe_exchange(r, step);
    if (s->mesh.sites == 1) return;
    printf("%d sites, each with this mesh and step time, exchange every %d steps: ", s->mesh.sites,
           s->sites.every);
    printf("a site sends %.4g MB, a rank at most %.4g", 1e-6 * x.bytes, 1e-6 * x.most);
    if (r->timed)
        printf(
            "; that takes %.4g s, of which the next %d steps hide %.4g: %.4g ms per step exposed",
            x.seconds, s->sites.delay,
            x.seconds < s->sites.delay * step ? x.seconds : s->sites.delay * step, 1e3 * x.exposed);
    printf("\n");
}

/* ---- pictures ---- */

/* SVG and traces are the output itself: nothing else is printed with them. */
static void draw_step(const struct recipe *r, const struct layout *l, const struct timeline *t)
{
    char title[200];
    snprintf(title, sizeof title, "%s: phase %s, %s, %d stages, %d micro-batches", r->job->recipe,
             r->settings.phases[r->phase].name, plan_kind_name(l->kind), l->pp, l->micro_batches);
    struct timeline_drawing d = {.title = title,
                                 .name = {"predicted"},
                                 .timeline = {t},
                                 .n = 1,
                                 .unit = "ms",
                                 .per_unit = 1e-3};
    if (r->job->format == DRAW_SVG) timeline_svg(stdout, &d);
    if (r->job->format == DRAW_TRACE) timeline_trace(stdout, &d);
    if (r->job->format == DRAW_TIMELINE) timeline_text(stdout, &d, 100);
}

static bool in_words(const struct recipe *r)
{
    return r->job->format == DRAW_TEXT || r->job->format == DRAW_TIMELINE;
}

static void report_time(const struct recipe *r, const struct layout *l)
{
    struct prediction t;
    struct timeline line;
    predict(&t, &r->shape, &r->cluster, l, &line);
    if (in_words(r)) print_prediction(r, &t);
    if (in_words(r)) print_sites(r, t.step);
    draw_step(r, l, &line);
    timeline_free(&line);
}

/* Memory first: a step that does not fit has no time. */
static void report_all(const struct recipe *r, const struct memory_job *job, struct layout *l)
{
    if (in_words(r)) {
        print_memory(r);
        print_cache(r, job);
        print_fit(r);
        print_job(r, l);
    }
    if (r->timed) recipe_reduction(r, &r->settings, l);
    if (r->timed) report_time(r, l);
    if (!r->timed && in_words(r)) print_sites(r, 0);
    if (r->job->format == DRAW_TEXT && r->hosts.n > 1) map_print(r, l);
    if (r->job->format == DRAW_JSON) map_print_json(r, l);
    if (r->job->propose) propose(r, l->dp * l->pp * l->tp);
}

/* Either way of the plan that training would run, on the chunks that it would make. */
static void report(const struct recipe *r)
{
    struct memory_job job = {&r->settings, &r->ops, r->dims.V,
                             extent_of(r->job->kinds, &r->settings), NULL};
    struct plan plan;
    struct layout l = recipe_layout(r, &r->settings, &plan);
    int chunks, *first = memory_split(&job, &chunks);
    l.first = first;
    if (r->job->rank >= 0)
        picture_print(r, &l, r->job->rank);
    else
        report_all(r, &job, &l);
    plan_free(&plan);
    free(first);
}

static bool has_rank(const struct recipe *r, struct problems *p)
{
    int ranks = recipe_ranks(&r->settings);
    if (r->job->rank < ranks) return true;
    problems_add(p, NULL, 0, "--rank %d, but the ranks of this job are 0 to %d", r->job->rank,
                 ranks - 1);
    return false;
}

void report_recipe(const struct recipe_job *job, struct problems *p)
{
    struct recipe r;
    if (recipe_open(&r, job, p) && has_rank(&r, p)) report(&r);
    recipe_close(&r);
}
