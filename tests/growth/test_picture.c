/* A pretended cluster of up to 16,384 ranks, a rank at a time: what one says of another that one
 * says of it, neighbours are those to whom training connects, the slices of all ranks tile every
 * tensor, and a rank's picture takes steps in proportion to its groups. */
#include <stdlib.h>
#include <string.h>

#include "comm/base/memory.h"
#include "comm/reduce_few.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "tests/support/recipe_text.h"
#include "trainer/checkpoint/layout.h"
#include "trainer/phases/phases.h"
#include "trainer/planner/picture.h"

enum { MOST = 16384, V = 101, SLOTS = 8 };

static const char *const RECIPE =
    "model: {layers: 16, hidden: 32, heads: 8, kv_heads: 8, ffn: 64, max_context: 64%s}\n"
    "mesh: {pp: %d, tp: %d, ep: %d, sites: %d}\n"
    "data: {task: arithmetic, micro_batch_tokens: 64}\n"
    "schedule: %s\nprecision: bf16\n"
    "phases: [{kind: sft, batch: 32768, steps: 1}]\n";

static const struct pretended_mesh {
    const char *model;
    int pp, tp, ep, sites;
    const char *schedule;
} MESHES[] = {
    {"", 1, 1, 1, 1, "serial"},
    {"", 16, 8, 1, 1, "1f1b"},
    {", tied: true", 8, 1, 1, 1, "zb1p"},
    {", qk_norm: true", 16, 4, 1, 1, "dualpipe"},
    {", experts: 64, experts_active: 2, first_dense: 1", 8, 1, 64, 1, "dualpipe"},
    {", experts: 64, experts_active: 2, first_dense: 1", 8, 4, 8, 1, "dualpipev"},
    {"", 4, 2, 1, 4, "1f1b"},
};
enum { N_MESHES = sizeof MESHES / sizeof *MESHES };

/* A mesh of `ranks` in all sites, eight to a host. */
struct pretended {
    struct settings settings;
    struct plan plan;
    int *first, *host;
    struct picture_job job;
};

static void pretended_new(struct pretended *q, const struct pretended_mesh *m, int ranks)
{
    int chunks;
    q->settings = recipe_of(ranks, RECIPE, m->model, m->pp, m->tp, m->ep, m->sites, m->schedule);
    const struct dims d = settings_dims(&q->settings, V);
    schedule_plan(&q->plan, &q->settings, &d, 2 * m->pp);
    const struct memory_job memory = {&q->settings, ops_find(PRECISION_BF16, NULL), V,
                                      extent_of(phase_kinds, &q->settings), NULL};
    q->first = memory_split(&memory, &chunks);
    q->host = malloc((size_t)ranks * sizeof *q->host);
    for (int i = 0; i < ranks; i++) q->host[i] = i / SLOTS;
    q->job = (struct picture_job){
        .step = {.memory = memory, .plan = &q->plan, .first = q->first, .rows = 48},
        .host = q->host,
        .ranks = ranks};
}

static void pretended_free(struct pretended *q)
{
    plan_free(&q->plan);
    settings_free(&q->settings);
    free(q->first);
    free(q->host);
}

/* ---- symmetric ---- */

static bool same(struct flow a, struct flow b)
{
    return fabs(a.bytes - b.bytes) <= 1e-9 * fabs(b.bytes) && a.messages == b.messages;
}

/* What `a` sends to `b` is what `b` gets from `a`. */
static void check_pair(const struct picture *a, const struct picture_peer *to,
                       const struct picture_job *job)
{
    struct picture b;
    picture_new(&b, job, to->rank);
    const struct picture_peer *back = picture_peer(&b, a->rank);
    ck_assert_msg(back != NULL, "rank %d has %d as a peer, but not the other way", a->rank,
                  to->rank);
    for (int k = 0; k < TRAFFIC_KINDS; k++)
        ck_assert_msg(same(to->out[k], back->in[k]) && same(to->in[k], back->out[k]),
                      "%s between ranks %d and %d: sent %.10g, got %.10g; got %.10g, sent %.10g",
                      traffic_kind_name((enum traffic_kind)k), a->rank, to->rank, to->out[k].bytes,
                      back->in[k].bytes, to->in[k].bytes, back->out[k].bytes);
    picture_free(&b);
}

/* The first and the last peer of each kind. */
static void check_peers(const struct picture *a, const struct picture_job *job)
{
    for (int k = 0; k < TRAFFIC_KINDS; k++) {
        int first = -1, last = -1;
        for (int i = 0; i < a->n; i++) {
            if (a->peer[i].out[k].bytes + a->peer[i].in[k].bytes <= 0) continue;
            if (first < 0) first = i;
            last = i;
        }
        if (first >= 0) check_pair(a, &a->peer[first], job);
        if (last > first) check_pair(a, &a->peer[last], job);
    }
}

/* Messages between stages go to those, and only those, with whom the stage connects. */
static void check_neighbours(const struct picture *a, const struct picture_job *job)
{
    const struct plan *plan = job->step.plan;
    const struct mesh *m = &a->mesh;
    const struct mesh_at at = {m->d, m->p, m->t};
    int near[PLAN_NEIGHBOURS], n = plan_neighbours(plan->place, m->pp, m->p, near), with = 0;
    int site = a->site * (job->ranks / job->step.memory.settings->mesh.sites);
    for (int i = 0; i < a->n; i++) with += a->peer[i].out[TRAFFIC_STAGES].bytes > 0;
    ck_assert_int_eq(with, n);
    for (int i = 0; i < n; i++) {
        const struct picture_peer *peer =
            picture_peer(a, site + mesh_axis_rank(m, MESH_PIPE, at, near[i]));
        ck_assert(peer && peer->out[TRAFFIC_STAGES].messages > 0);
    }
}

/* The replicas in one axis to whom a rank connects: marks them in `with`, by rank. */
static void mark_replicas(const struct picture *a, const struct picture_job *job,
                          enum mesh_axis axis, bool *with)
{
    const struct mesh *m = &a->mesh;
    const struct mesh_at at = {m->d, m->p, m->t};
    const int n = mesh_axis_size(m, axis);
    const int first = a->site * (job->ranks / job->step.memory.settings->mesh.sites);
    int *node = memory_take(2 * (size_t)n, sizeof *node, "a test"), *peer = node + n;
    for (int i = 0; i < n; i++) node[i] = job->host[first + mesh_axis_rank(m, axis, at, i)];
    struct reduce_form f = {
        .members = n, .me = mesh_axis_number(m, axis, at), .inner = m->replica_inner, .node = node};
    f.map = reduce_map_of(&f);
    for (int i = reduce_peers(&f, peer) - 1; i >= 0; i--)
        with[first + mesh_axis_rank(m, axis, at, peer[i])] = true;
    free(node);
}

/* Weights are gathered from, and gradients summed with, those to whom training connects for that,
 * who are few; the other end of the pipeline has the second copy of a tied embedding. */
static void check_replicas(const struct picture *a, const struct picture_job *job)
{
    bool *with = memory_take((size_t)job->ranks, sizeof *with, "a test");
    int peers = 0;
    mark_replicas(a, job, MESH_REPLICA, with);
    mark_replicas(a, job, MESH_EXPERT_REPLICA, with);
    for (int i = 0; i < job->ranks; i++) peers += with[i];
    ck_assert_int_le(peers, 2 * 180);
    for (int i = 0; i < a->n; i++) {
        const struct picture_peer *p = &a->peer[i];
        const bool tied = job->step.memory.settings->model.tied && a->mesh.pp > 1;
        ck_assert_msg(with[p->rank] ||
                          p->out[TRAFFIC_GATHER].bytes + p->in[TRAFFIC_GATHER].bytes <= 0,
                      "rank %d gathers with %d", a->rank, p->rank);
        ck_assert_msg(with[p->rank] || tied ||
                          p->out[TRAFFIC_REDUCE].bytes + p->in[TRAFFIC_REDUCE].bytes <= 0,
                      "rank %d sums with %d", a->rank, p->rank);
    }
    free(with);
}

/* The first, the last, and some between, odd ones among them. */
START_TEST(peers_are_symmetric)
{
    struct pretended q;
    pretended_new(&q, &MESHES[_i], MOST);
    const int ranks[] = {0, 1, MOST / 3, MOST / 2, MOST - 1};
    for (int i = 0; i < 5; i++) {
        struct picture a;
        picture_new(&a, &q.job, ranks[i]);
        ck_assert_int_gt(a.n, 0);
        ck_assert_ptr_null(picture_peer(&a, ranks[i]));
        for (int k = 0; k < a.n; k++)
            ck_assert(a.peer[k].rank >= 0 && a.peer[k].rank < MOST &&
                      (k == 0 || a.peer[k].rank > a.peer[k - 1].rank));
        check_neighbours(&a, &q.job);
        check_replicas(&a, &q.job);
        check_peers(&a, &q.job);
        ck_assert_uint_gt(a.memory.total, 0);
        picture_free(&a);
    }
    pretended_free(&q);
}
END_TEST

/* ---- tiles ---- */

/* A gap would be a bug of ours and end the test; without one, as many elements in all slices as a
 * tensor has mean that none lies in two of them. */
static void check_tiles(const struct manifest *m)
{
    ck_assert_uint_gt(m->tensors, 0);
    for (size_t i = 0; i < m->tensors; i++) {
        const struct manifest_tensor *t = &m->tensor[i];
        size_t n = 0;
        for (size_t k = 0; k < t->slices; k++) n += range_count(&t->slice[k].at);
        ck_assert_msg(n == t->n, "%s: %zu elements, its slices have %zu", t->name, t->n, n);
    }
}

START_TEST(slices_tile_every_tensor)
{
    static const int mesh[] = {1, 2, 4};
    const struct pretended_mesh *m = &MESHES[mesh[_i]];
    struct pretended q;
    struct manifest made;
    pretended_new(&q, m, MOST);
    const struct mesh whole = memory_mesh(&q.settings, (struct mesh_at){0});
    struct layout *l = layout_new(MOST, (size_t)MOST * 512);
    for (int r = 0; r < MOST; r++) {
        struct slice *slices;
        int n = picture_slices(&slices, &q.job.step.memory, mesh_coords(&whole, r));
        layout_add(l, slices, (size_t)n);
        free(slices);
    }
    layout_end(l, &made);
    check_tiles(&made);
    manifest_free(&made);
    pretended_free(&q);
}
END_TEST

/* ---- growth ---- */

/* More pipelines mean more replicas, of which few are peers; more stages, ranks of tp or sites mean
 * no more. */
START_TEST(steps_and_peers)
{
    struct growth steps = {.n = 0}, more_stages = {.n = 0};
    for (int ranks = 512; ranks <= MOST; ranks *= 2) {
        struct pretended q;
        struct picture a;
        pretended_new(&q, &MESHES[4], ranks);
        picture_new(&a, &q.job, q.job.ranks / 2);
        growth_add(&steps, q.job.ranks, (double)a.steps);
        picture_free(&a);
        pretended_free(&q);
    }
    growth_at_most(&steps, "steps of a rank's picture, more pipelines", 1.1);
    for (int pp = 1; pp <= 16; pp *= 2) {
        const struct pretended_mesh m = {"", pp, 8, 1, 1, pp > 1 ? "1f1b" : "serial"};
        struct pretended q;
        struct picture a;
        pretended_new(&q, &m, 128 * pp);
        picture_new(&a, &q.job, q.job.ranks / 2);
        growth_add(&more_stages, q.job.ranks, (double)a.n);
        picture_free(&a);
        pretended_free(&q);
    }
    growth_at_most(&more_stages, "peers of a rank, more stages", 0.2);
}
END_TEST

#define TESTS(X)                           \
    X(peers_are_symmetric, .to = N_MESHES) \
    X(slices_tile_every_tensor, .to = 3)   \
    X(steps_and_peers)

UNIT_MAIN("picture", .timeout_s = 240)
