/* A recipe on some mesh: how its step is dealt and planned, what its sums take, its memory. */
#include <stdlib.h>
#include "comm/base/memory.h"
#include "trainer/planner/recipe.h"
#include "trainer/planner/reduction.h"

static bool alike(const struct deal_shape *a, const struct deal_shape *b)
{
    return a->T_max == b->T_max && a->pipelines == b->pipelines && a->directions == b->directions &&
           a->least == b->least && a->linear == b->linear;
}

static size_t sum_of_rows(const struct recipe *r)
{
    size_t total = 0;
    for (int i = 0; i < r->n; i++) total += (size_t)r->rows[i];
    return total;
}

static int deal_now(const struct recipe *r, const struct deal_shape *shape)
{
    struct arena a = {0};
    struct deal d;
    int most = deal_bound(shape, sum_of_rows(r));
    for (int placing = 0; placing < 2; placing++) {
        deal_place(&d, r->n, most, &a);
        if (!placing) arena_back(&a, &device_host, a.used);
    }
    deal_run(&d, shape, r->rows, r->n);
    int bins = d.bins;
    arena_free(&a);
    return bins;
}

/* Dealt once for each shape: of a thousand meshes few differ in how sequences are dealt. */
static int bins_of(const struct recipe *r, const struct deal_shape *shape)
{
    for (const struct dealt *e = *r->dealt; e; e = e->next)
        if (alike(&e->shape, shape)) return e->bins;
    struct dealt *e = memory_take(1, sizeof *e, "the deal of a step");
    *e = (struct dealt){*shape, deal_now(r, shape), *r->dealt};
    *r->dealt = e;
    return e->bins;
}

/* Deals the sequences as training would: the number of micro-batches follows. */
struct layout recipe_layout(const struct recipe *r, const struct settings *s, struct plan *plan)
{
    struct deal_shape shape = learner_deal_shape(s);
    shape.linear = deal_linear(&r->dims);
    int bins = bins_of(r, &shape);
    schedule_plan(plan, s, &r->dims, bins / s->mesh.dp);
    return (struct layout){.dp = s->mesh.dp,
                           .pp = s->mesh.pp,
                           .tp = s->mesh.tp,
                           .ep = s->mesh.ep,
                           .cut = schedule_cut(s),
                           .kind = schedule_kind(s),
                           .plan = plan,
                           .micro_batches = bins / s->mesh.dp,
                           .recompute = (enum recompute)s->mesh.recompute,
                           .rows = (double)sum_of_rows(r) / bins,
                           .room = s->data.micro_batch_tokens,
                           .context = recipe_mean_rows(r),
                           .sharded = true,
                           .threads = s->run.threads,
                           .forwards = r->forwards};
}

/* Sums and gathers from the bytes between hosts, on the recipe's path. */
void recipe_reduction(const struct recipe *r, const struct settings *s, struct layout *l)
{
    struct memory_job job = {s, &r->ops, r->dims.V, extent_of(r->job->kinds, s), NULL};
    struct traffic t;
    int ranks = l->dp * l->pp * l->tp, *host = hosts_place(&r->hosts, ranks);
    traffic_new(&t, r->hosts.n, ranks, host, false);
    reduction_add(&t, &job, reduction_way(s));
    struct reduction_time time = reduction_time(&t, &r->cluster, reduction_way(s));
    l->sums = time.reduce;
    l->gathers = time.gather;
    l->buckets = s->reduction.overlap ? reduction_buckets(&job) : 0;
    traffic_free(&t);
    free(host);
}

/* An exchange overlaps with the steps of sites.delay; what is longer is exposed, spread over
 * sites.every steps. */
struct site_exchange recipe_exchange(const struct recipe *r, double step)
{
    const struct settings *s = &r->settings;
    struct memory_job job = {s, &r->ops, r->dims.V, extent_of(r->job->kinds, s), NULL};
    struct site_exchange x = {0};
    if (s->mesh.sites == 1) return x;
    for (int i = 0; i < recipe_ranks(s) / s->mesh.sites; i++) {
        struct mesh_at at = {i / s->mesh.tp / s->mesh.pp, i / s->mesh.tp % s->mesh.pp,
                             i % s->mesh.tp};
        double bytes = (s->mesh.sites - 1) * (double)memory_site_message(&job, at);
        if (bytes > x.most) x.most = bytes;
        x.bytes += bytes;
    }
    if (!r->timed) return x;
    x.seconds = cluster_across(&r->cluster, x.most);
    double hidden = s->sites.delay * step;
    x.exposed = x.seconds > hidden ? (x.seconds - hidden) / s->sites.every : 0;
    return x;
}

struct memory recipe_memory(const struct recipe *r, const struct settings *s)
{
    int *host = hosts_place(&r->hosts, s->mesh.dp * s->mesh.pp * s->mesh.tp);
    struct memory_job job = {s, &r->ops, r->dims.V, extent_of(r->job->kinds, s), host};
    struct memory most = {0};
    for (int p = 0; p < s->mesh.pp; p++) {
        struct memory m;
        memory_of_rank(&m, &job, (struct mesh_at){.p = p});
        if (m.total > most.total) most = m;
    }
    free(host);
    return most;
}
