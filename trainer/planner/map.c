#include "trainer/planner/map.h"

#include <jansson.h>
#include <stdlib.h>
#include "comm/base/memory.h"
#include "trainer/planner/reduction.h"
#include "trainer/planner/traffic_step.h"

/* Pairs of more hosts are not printed. */
enum { SHOWN_HOSTS = 16, SHOWN_RANKS = 8 };

/* Everything that is printed. */
struct map {
    const struct recipe *r;
    const struct layout *l;
    struct mesh mesh;
    int ranks, *host; /* of all sites, one after the other */
    int sites, each;  /* ranks of a site */
    struct traffic_job job;
    struct traffic step, rollout, all; /* all: a step and its part of a rollout */
    struct rollout_size size;          /* questions 0: the phase samples nothing */
};

/* What is added next is between ranks of that site, counted from its first. */
static struct traffic *at_site(const struct map *m, struct traffic *t, int site)
{
    t->host = m->host + site * m->each;
    return t;
}

/* Each site has its traffic at its own ranks; what sites send each other comes on top. The
 * rollout's part is divided over the steps that learn from it. */
static void map_new(struct map *m, const struct recipe *r, const struct layout *l)
{
    const struct hosts *h = &r->hosts;
    *m = (struct map){.r = r, .l = l, .mesh = memory_mesh(&r->settings, (struct mesh_at){0})};
    m->ranks = recipe_ranks(&r->settings);
    m->sites = r->settings.mesh.sites;
    m->each = m->ranks / m->sites;
    m->host = hosts_place(h, m->ranks);
    m->job = (struct traffic_job){
        .memory = {&r->settings, &r->ops, r->dims.V, extent_of(r->job->kinds, &r->settings), NULL},
        .plan = l->plan,
        .first = l->first,
        .rows = l->rows * r->typical,
        .forwards = l->forwards};
    const struct phase_settings *k = &r->settings.phases[r->phase];
    if (r->size.questions > 0)
        m->size = (struct rollout_size){r->size.questions, r->size.samples, r->prompt,
                                        r->job->answer ? r->job->answer : k->max_new};
    bool pairs = h->n <= SHOWN_RANKS || r->job->format == DRAW_JSON;
    traffic_new(&m->step, h->n, m->ranks, m->host, pairs);
    traffic_new(&m->rollout, h->n, m->ranks, m->host, pairs);
    traffic_new(&m->all, h->n, m->ranks, m->host, pairs);
    for (int site = 0; site < m->sites; site++) {
        traffic_step(at_site(m, &m->step, site), &m->job);
        if (m->size.questions > 0) traffic_rollout(at_site(m, &m->rollout, site), &m->job, m->size);
    }
    traffic_sites(at_site(m, &m->step, 0), &m->job.memory);
    traffic_join(&m->all, &m->step, 1);
    if (m->size.questions > 0) traffic_join(&m->all, &m->rollout, 1.0 / r->size.parts);
}

static void map_free(struct map *m)
{
    traffic_free(&m->step);
    traffic_free(&m->rollout);
    traffic_free(&m->all);
    free(m->host);
}

static const char *host_name(const struct map *m, int host)
{
    return m->r->hosts.at[host].name;
}

/* ---- ranks and axes ---- */

static int rank_after(const struct map *m, int host, int rank)
{
    for (rank++; rank < m->ranks && m->host[rank] != host;) rank++;
    return rank;
}

/* Ranks of a host, the first and the last when there are many; then where they are in the mesh. */
static void print_host(const struct map *m, int host)
{
    char ranks[64] = "no rank";
    int first = rank_after(m, host, -1), last = first, n = 0;
    for (int r = first; r < m->ranks; r = rank_after(m, host, r)) last = r, n++;
    const char *between = last - first == n - 1 ? "-" : " .. ";
    if (n == 1) snprintf(ranks, sizeof ranks, "%d", first);
    if (n > 1) snprintf(ranks, sizeof ranks, "%d%s%d", first, between, last);
    printf("  %-20s %14s ", host_name(m, host), ranks);
    for (int r = first, i = 0; r < m->ranks && i < SHOWN_RANKS; r = rank_after(m, host, r), i++) {
        struct mesh_at at = mesh_coords(&m->mesh, r % m->each);
        if (m->sites > 1) printf(" %d:%d.%d.%d", r / m->each + 1, at.d, at.p, at.t);
        if (m->sites == 1) printf(" %d.%d.%d", at.d, at.p, at.t);
    }
    printf("%s\n", n > SHOWN_RANKS ? " ..." : "");
}

static void print_ranks(const struct map *m)
{
    int hosts = m->r->hosts.n;
    printf("\n%-22s %14s  %s of each (%spipeline, stage, tensor-parallel rank)\n", "host", "ranks",
           m->sites > 1 ? "site:d.p.t" : "d.p.t", m->sites > 1 ? "site, " : "");
    for (int host = 0; host < hosts && host < SHOWN_HOSTS; host++) print_host(m, host);
    if (hosts > SHOWN_HOSTS) printf("  ... %d more hosts\n", hosts - SHOWN_HOSTS);
}

/* One way to form groups of ranks: those of a site whose place agrees in what is not of the axis.
 */
struct axis {
    const char *name;
    int size;
    struct mesh_at (*first)(const struct mesh *m, struct mesh_at at); /* NULL: the axis is sites */
};

static struct mesh_at first_stage(const struct mesh *m, struct mesh_at at)
{
    (void)m;
    return (struct mesh_at){at.d, 0, at.t};
}

static struct mesh_at first_share(const struct mesh *m, struct mesh_at at)
{
    (void)m;
    return (struct mesh_at){at.d, at.p, 0};
}

static struct mesh_at first_expert(const struct mesh *m, struct mesh_at at)
{
    return (struct mesh_at){at.d / m->ep * m->ep, at.p, at.t};
}

static struct mesh_at first_replica(const struct mesh *m, struct mesh_at at)
{
    int mirror = m->pp - 1 - at.p, p = m->replica_inner == 2 && mirror < at.p ? mirror : at.p;
    return (struct mesh_at){0, p, at.t};
}

static int first_of(const struct map *m, const struct axis *a, int rank)
{
    int within = rank % m->each;
    if (!a->first) return within;
    return rank - within +
           mesh_rank_at(&m->mesh, a->first(&m->mesh, mesh_coords(&m->mesh, within)));
}

/* Groups, and of them those that are not on one host. */
static void print_axis(const struct map *m, const struct axis *a)
{
    int groups = 0, crossing = 0;
    if (a->size == 1) return;
    bool *across = memory_take((size_t)m->ranks, sizeof *across, "an axis");
    for (int r = 0; r < m->ranks; r++) {
        int first = first_of(m, a, r);
        groups += first == r;
        crossing += !across[first] && m->host[first] != m->host[r];
        across[first] = across[first] || m->host[first] != m->host[r];
    }
    printf("  %-44s %5d groups of %d, ", a->name, groups, a->size);
    if (crossing == 0)
        printf("each within one host\n");
    else
        printf("%d of them spanning hosts\n", crossing);
    free(across);
}

/* An axis of size 1 is not printed. */
static void print_axes(const struct map *m)
{
    const struct axis axis[] = {
        {"pipelines (pp)", m->mesh.pp, first_stage},
        {"tensor parallelism (tp)", m->mesh.tp, first_share},
        {"experts (ep)", m->mesh.ep, first_expert},
        {"replicas that sum gradients (dp, mirror)", m->mesh.dp * m->mesh.replica_inner,
         first_replica},
        {"sites, trained independently", m->sites, NULL},
    };
    for (size_t i = 0; i < sizeof axis / sizeof *axis; i++) print_axis(m, &axis[i]);
}

/* ---- bytes ---- */

static double most_out(const struct traffic *t, enum traffic_kind k, bool in)
{
    double most = 0;
    for (int h = 0; h < t->hosts; h++) {
        double bytes = in ? traffic_in(t, k, h) : traffic_out(t, k, h);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* A column is that of the host with most, since the slowest link decides. */
static void print_kinds(const struct traffic *t, const char *title, double unit)
{
    printf("\n%-44s %13s %13s %13s %13s\n", title, "between hosts", "a host sends", "it receives",
           "inside hosts");
    for (int k = 0; k <= TRAFFIC_KINDS; k++) {
        enum traffic_kind kind = (enum traffic_kind)k;
        double between = traffic_between(t, kind), inside = traffic_inside(t, kind);
        if (between + inside <= 0) continue;
        printf("  %-42s %13.6g %13.6g %13.6g %13.6g\n",
               k < TRAFFIC_KINDS ? traffic_kind_name(kind) : "total", between / unit,
               most_out(t, kind, false) / unit, most_out(t, kind, true) / unit, inside / unit);
    }
}

/* The square of hosts is printed only where it fits a line. */
static void print_hosts(const struct map *m)
{
    const struct traffic *t = &m->all;
    int shown = t->hosts < SHOWN_HOSTS ? t->hosts : SHOWN_HOSTS;
    printf("\n%-22s %12s %12s   sends to", "a host, MB a step", "sends", "receives");
    for (int to = 0; t->hosts <= SHOWN_RANKS && to < t->hosts; to++)
        printf(" %10.10s", host_name(m, to));
    printf("\n");
    for (int h = 0; h < shown; h++) {
        printf("  %-20s %12.6g %12.6g           ", host_name(m, h),
               traffic_out(t, TRAFFIC_KINDS, h) * 1e-6, traffic_in(t, TRAFFIC_KINDS, h) * 1e-6);
        for (int to = 0; t->hosts <= SHOWN_RANKS && to < t->hosts; to++)
            if (to == h)
                printf(" %10s", "-");
            else
                printf(" %10.5g", traffic_at(t, TRAFFIC_KINDS, h, to) * 1e-6);
        printf("\n");
    }
    if (t->hosts > shown) printf("  ... %d more\n", t->hosts - shown);
    if (m->size.questions > 0) printf("  (including the step's share of the rollout)\n");
}

static void print_rollout(const struct map *m)
{
    const struct rollout_size *s = &m->size;
    double answers = s->questions * s->samples;
    if (answers == 0) return;
    print_kinds(&m->rollout, "traffic of a rollout, MB (payload)", 1e6);
    printf("  %.0f questions of %.1f tokens, %.0f answers of %.0f: ", s->questions, s->prompt,
           answers, s->answer);
    printf("%.4g bytes between hosts per sampled token\n",
           traffic_between(&m->rollout, TRAFFIC_KINDS) / (answers * s->answer));
}

/* ---- paths of the reductions ---- */

/* Predicted for every path and format, so that the recipe's can be compared. */
static void print_way(const struct map *m, struct reduction_way way)
{
    static const char *const path[] = {"auto", "flat", "nodes"}, *const wire[] = {"fp32", "bf16",
                                                                                  "int8"};
    struct traffic t;
    traffic_new(&t, m->r->hosts.n, m->ranks, m->host, false);
    struct reduction_paths p = {0};
    for (int site = 0; site < m->sites; site++)
        p = reduction_add(at_site(m, &t, site), &m->job.memory, way);
    at_site(m, &t, 0);
    printf("  %-8s %-11s", path[way.path], wire[way.wire]);
    if (way.path == REDUCE_NODES && p.nodes == 0) {
        printf(" not possible: %s\n", p.why);
    } else {
        printf(" %13.6g %13.6g %13.6g", traffic_between(&t, TRAFFIC_REDUCE) * 1e-6,
               traffic_between(&t, TRAFFIC_GATHER) * 1e-6,
               (most_out(&t, TRAFFIC_REDUCE, false) + most_out(&t, TRAFFIC_GATHER, false)) * 1e-6);
        if (m->r->timed) {
            struct reduction_time s = reduction_time(&t, &m->r->cluster, way);
            printf(" %10.4g %10.4g", 1e3 * s.reduce, 1e3 * s.gather);
        }
        if (way.path != REDUCE_FLAT && p.nodes < p.all)
            printf("  (%d of %d sums over nodes: %s)", p.nodes, p.all, p.why);
        printf("\n");
    }
    traffic_free(&t);
}

static void print_ways(const struct map *m)
{
    if (m->mesh.dp * m->mesh.replica_inner == 1) return;
    printf("\n%-22s %13s %13s %13s%s\n", "sums and gathers, MB", "gradients", "weights",
           "a host sends", m->r->timed ? "   sums, ms  gather, ms" : "");
    print_way(m, reduction_way(&m->r->settings));
    for (int i = 0; i < REDUCTION_WAYS; i++) print_way(m, REDUCTION_WAY[i]);
}

/* From where ranks are to what crosses. */
void map_print(const struct recipe *r, const struct layout *l)
{
    struct map m;
    map_new(&m, r, l);
    print_ranks(&m);
    print_axes(&m);
    print_kinds(&m.step, "traffic of a step, MB (payload)", 1e6);
    print_rollout(&m);
    print_hosts(&m);
    print_ways(&m);
    map_free(&m);
}

/* ---- for programs ---- */

/* Rows are senders, columns receivers; bytes, not MB. */
static json_t *bytes_json(const struct traffic *t)
{
    json_t *all = json_object();
    for (int k = 0; k < TRAFFIC_KINDS; k++) {
        json_t *rows = json_array();
        for (int from = 0; from < t->hosts; from++) {
            json_t *row = json_array();
            for (int to = 0; to < t->hosts; to++)
                json_array_append_new(row,
                                      json_real(traffic_at(t, (enum traffic_kind)k, from, to)));
            json_array_append_new(rows, row);
        }
        json_object_set_new(all, traffic_kind_name((enum traffic_kind)k), rows);
    }
    return all;
}

/* Ranks are those of the whole job, with their site from 1. */
static json_t *hosts_json(const struct map *m)
{
    json_t *hosts = json_array();
    for (int host = 0; host < m->r->hosts.n; host++) {
        json_t *ranks = json_array();
        for (int rank = rank_after(m, host, -1); rank < m->ranks;
             rank = rank_after(m, host, rank)) {
            struct mesh_at at = mesh_coords(&m->mesh, rank % m->each);
            json_array_append_new(ranks,
                                  json_pack("{s:i, s:i, s:i, s:i, s:i}", "rank", rank, "site",
                                            rank / m->each + 1, "d", at.d, "p", at.p, "t", at.t));
        }
        json_array_append_new(hosts,
                              json_pack("{s:s, s:i, s:o}", "name", host_name(m, host), "slots",
                                        m->r->hosts.at[host].slots, "ranks", ranks));
    }
    return hosts;
}

/* Bytes by kind, each a matrix [from host][to host]. */
void map_print_json(const struct recipe *r, const struct layout *l)
{
    struct map m;
    map_new(&m, r, l);
    json_t *all =
        json_pack("{s:o, s:o}", "hosts", hosts_json(&m), "step_bytes", bytes_json(&m.step));
    if (m.size.questions > 0) json_object_set_new(all, "rollout_bytes", bytes_json(&m.rollout));
    SYS_OK(all, "free memory", "no memory for a map");
    json_dumpf(all, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    printf("\n");
    json_decref(all);
    map_free(&m);
}
