#include "trainer/plan/reduction.h"

#include <stdlib.h>
#include "comm/base/memory.h"

const struct reduction_way REDUCTION_WAY[REDUCTION_WAYS] = {
    {"flat, fp32", false, 4},
    {"nodes, fp32", true, 4},
    {"nodes, bf16", true, 2},
    {"nodes, int8", true, 1 + 4.0 / 128},
};

/* ---- a replica group ---- */

/* Members in the order of sums (comm/mesh.h), and where they are. */
struct group {
    int n, inner;
    int *rank, *host;
    double *slice; /* floats of a bucket that each owns */
};

static void group_new(struct group *g, int most)
{
    *g = (struct group){0};
    g->rank = memory_take(2 * (size_t)most, sizeof *g->rank, "a replica group");
    g->host = g->rank + most;
    g->slice = memory_take((size_t)most, sizeof *g->slice, "a replica group");
}

static void group_free(struct group *g)
{
    free(g->rank);
    free(g->slice);
}

/* Nodes of so many members each, neighbours in the group and whole runs: what the path over nodes wants. */
struct map {
    int nodes, each; /* each 0: not so, and why */
    const char *why;
};

static struct map map_of(const struct group *g)
{
    int each = 1, nodes = 1;
    while (each < g->n && g->host[each] == g->host[0]) each++;
    if (each == g->n) return (struct map){1, 0, "all replicas are on one host"};
    if (g->n % each) return (struct map){0, 0, "hosts have different numbers of replicas"};
    if (each % g->inner) return (struct map){0, 0, "the two ends of a pipeline are on two hosts"};
    for (int i = each; i < g->n; i++) {
        nodes += i % each == 0;
        if (g->host[i] != g->host[i / each * each])
            return (struct map){0, 0, "replicas of a host are not neighbours in the group"};
    }
    for (int a = 0; a < nodes; a++)
        for (int b = 0; b < a; b++)
            if (g->host[a * each] == g->host[b * each])
                return (struct map){0, 0, "replicas of a host are not neighbours in the group"};
    return (struct map){nodes, each, ""};
}

/* ---- paths ---- */

static void add_flat(struct traffic *t, const struct group *g, double real)
{
    for (int i = 0; i < g->n; i++)
        for (int owner = 0; owner < g->n; owner++) {
            if (i == owner) continue;
            traffic_add(t, TRAFFIC_REDUCE, g->rank[i], g->rank[owner],
                        g->slice[owner] * (double)sizeof(float));
            traffic_add(t, TRAFFIC_GATHER, g->rank[owner], g->rank[i], g->slice[owner] * real);
        }
}

/* Columns inside each node, all to all; then, column by column, from node to node. */
static void add_chain(struct traffic *t, const struct group *g, struct map m, double wire)
{
    double n = 0;
    for (int i = 0; i < g->n; i++) n += g->slice[i];
    for (int i = 0; i < g->n; i++) {
        int first = i / m.each * m.each;
        for (int o = first; o < first + m.each; o++)
            if (o != i)
                traffic_add(t, TRAFFIC_REDUCE, g->rank[i], g->rank[o],
                            n / m.each * (double)sizeof(float));
        if (i + m.each < g->n)
            traffic_add(t, TRAFFIC_REDUCE, g->rank[i], g->rank[i + m.each], n / m.each * wire);
    }
}

/* Of the finished sums an owner's slice comes from the last node; there it may lie in several columns, of which the first stands for
 * all. A slice of weights goes to one member of each other node, and from there to the rest of it. */
static void add_slices(struct traffic *t, const struct group *g, struct map m, double wire,
                       double real)
{
    for (int owner = 0; owner < g->n; owner++) {
        int last = g->n - m.each + owner % m.each, home = owner / m.each;
        if (home < m.nodes - 1)
            traffic_add(t, TRAFFIC_REDUCE, g->rank[last], g->rank[owner], g->slice[owner] * wire);
        for (int node = 0; node < m.nodes; node++) {
            int to = node * m.each + owner % m.each;
            if (node != home)
                traffic_add(t, TRAFFIC_GATHER, g->rank[owner], g->rank[to], g->slice[owner] * real);
            for (int o = node * m.each; o < (node + 1) * m.each; o++)
                if (o != to)
                    traffic_add(t, TRAFFIC_GATHER, g->rank[to], g->rank[o], g->slice[owner] * real);
        }
    }
}

/* One bucket; true: on the path over nodes. */
static bool add_bucket(struct traffic *t, const struct group *g, double real,
                       const struct reduction_way *way, const char **why)
{
    struct map m = map_of(g);
    if (m.each == 0) *why = m.why;
    if (!way->nodes || m.each == 0) {
        add_flat(t, g, real);
        return false;
    }
    add_chain(t, g, m, way->wire);
    add_slices(t, g, m, way->wire, real);
    return true;
}

/* ---- the groups of a stage ---- */

struct stage_job {
    const struct memory_job *memory;
    const struct reduction_way *way;
    struct mesh mesh; /* d 0, and the stage's p and t */
    struct actor actor;
    int members;   /* of the dense weights */
    double *slice; /* [bucket][member] */
    int buckets;
};

/* Rank of a member of the replica group of dense weights. */
static int member_rank(const struct mesh *m, int member)
{
    int d = member / m->replica_inner, upper = member % m->replica_inner;
    int low = m->p < m->pp - 1 - m->p ? m->p : m->pp - 1 - m->p;
    int p = m->replica_inner == 1 ? m->p : upper ? m->pp - 1 - low : low;
    return mesh_rank_at(m, (struct mesh_at){d, p, m->t});
}

/* By the optimizer's own layout, as each member makes it. */
static void measure_slices(struct stage_job *s)
{
    for (int me = 0; me < s->members; me++) {
        struct optimizer o;
        optimizer_measure(&o, &s->actor, s->members, me);
        if (!s->slice) {
            s->buckets = o.buckets.n;
            s->slice = memory_take((size_t)(s->buckets * s->members), sizeof *s->slice,
                                   "slices of replicas");
        }
        for (int b = 0; b < o.buckets.n; b++)
            s->slice[b * s->members + me] = (double)o.buckets.b[b].mine_n;
        optimizer_free(&o);
    }
}

/* Members of the group that holds share e of the experts; of all weights with ep 1. */
static void group_fill(struct group *g, const struct traffic *t, const struct stage_job *s,
                       int bucket, int e, int ep)
{
    const struct mesh *m = &s->mesh;
    g->n = 0;
    g->inner = m->replica_inner;
    for (int i = 0; i < s->members; i++) {
        if (i / g->inner % ep != e) continue;
        g->rank[g->n] = member_rank(m, i);
        g->host[g->n] = t->host[g->rank[g->n]];
        g->slice[g->n++] = s->slice[bucket * s->members + i];
    }
}

/* A tied embedding whose head is on another rank: both sums go to the other end of the pipeline (optimizer.c, tie_exchange). */
static void add_tie(struct traffic *t, const struct stage_job *s, const struct bucket *b,
                    const double *slice)
{
    const struct mesh *m = &s->mesh;
    if (b->tie != TIE_REMOTE) return;
    for (int i = 0; i < s->members; i++) {
        int d = i / m->replica_inner, there = m->p == 0 ? m->pp - 1 : 0;
        traffic_add(t, TRAFFIC_REDUCE, member_rank(m, i),
                    mesh_rank_at(m, (struct mesh_at){d, there, m->t}),
                    slice[i] * (double)sizeof(float));
    }
}

static void add_stage(struct traffic *t, struct stage_job *s, int *on_nodes, int *all,
                      const char **why)
{
    struct group g;
    struct optimizer o;
    group_new(&g, s->members);
    optimizer_measure(&o, &s->actor, s->members, 0);
    double real = (double)s->memory->ops->real_bytes;
    for (int b = 0; b < s->buckets; b++) {
        int ep = o.buckets.b[b].experts ? s->mesh.ep : 1;
        for (int e = 0; e < ep; e++) {
            group_fill(&g, t, s, b, e, ep);
            if (g.n == 1) continue;
            *on_nodes += add_bucket(t, &g, real, s->way, why);
            ++*all;
        }
        add_tie(t, s, &o.buckets.b[b], s->slice + b * s->members);
    }
    optimizer_free(&o);
    group_free(&g);
}

/* Gains of heads, of which every rank of tp has a part: each sends all of its to all others (learn/reducing.c). */
static void add_parts(struct traffic *t, const struct stage_job *s)
{
    const struct mesh *m = &s->mesh;
    double n = 0;
    for (int k = 0; k < s->actor.n_local; k++) {
        const struct local *l = &s->actor.local[k];
        for (int i = 0; i < l->params.n; i++)
            if (l->params.p[i].cut == CUT_NONE_PART)
                n += (double)l->params.p[i].n * (l->dir < 0 ? s->actor.sums : 1);
    }
    for (int member = 0; member < s->members; member++)
        for (int o = 0; o < m->tp; o++) {
            struct mesh other = *m;
            other.t = o;
            if (o != m->t)
                traffic_add(t, TRAFFIC_TENSOR, member_rank(m, member), member_rank(&other, member),
                            n * (double)sizeof(float));
        }
}

int reduction_add_as(struct traffic *t, const struct memory_job *j, const struct reduction_way *way,
                     int *all, const char **why)
{
    struct mesh whole = memory_mesh(j->settings, (struct mesh_at){0});
    int stages = whole.replica_inner == 2 ? whole.pp / 2 : whole.pp, on_nodes = 0;
    *all = 0;
    *why = "";
    for (int i = 0; i < stages * whole.tp; i++) {
        struct mesh_at at = {0, i / whole.tp, i % whole.tp};
        struct stage_job s = {.memory = j, .way = way, .mesh = memory_mesh(j->settings, at)};
        s.members = whole.dp * whole.replica_inner;
        actor_measure(&s.actor, j->settings, &s.mesh, j->ops,
                      settings_dims(j->settings, j->vocabulary), 1, false);
        measure_slices(&s);
        add_stage(t, &s, &on_nodes, all, why);
        add_parts(t, &s);
        free(s.slice);
        actor_free(&s.actor);
    }
    return on_nodes;
}

void reduction_add(struct traffic *t, const struct memory_job *j)
{
    const char *why;
    int all;
    reduction_add_as(t, j, &REDUCTION_WAY[REDUCTION_FLAT], &all, &why);
}

/* ---- time ---- */

static double busiest(const struct traffic *t, enum traffic_kind k, const struct cluster *c,
                      const int *slots)
{
    double most = 0;
    for (int h = 0; h < t->hosts; h++) {
        double out = traffic_out(t, k, h) / slots[h], in = traffic_in(t, k, h) / slots[h];
        double worse = out > in ? out : in, inside = traffic_at(t, k, h, h) / slots[h];
        double between = worse > 0 ? cluster_send(c, false, worse) : 0;
        double within = inside > 0 ? cluster_send(c, true, inside) : 0;
        if (between > most) most = between;
        if (within > most) most = within;
    }
    return most;
}

struct reduction_time reduction_time(const struct traffic *t, const struct cluster *c,
                                     const int *slots, const struct reduction_way *way)
{
    const double piece = 0x1p20; /* how much of a column travels at once */
    struct reduction_time s = {busiest(t, TRAFFIC_REDUCE, c, slots),
                               busiest(t, TRAFFIC_GATHER, c, slots)};
    int busy = 0;
    double most = 0;
    for (int h = 0; h < t->hosts; h++) {
        double out = traffic_out(t, TRAFFIC_REDUCE, h) / slots[h];
        busy += out > 0;
        most = out > most ? out : most;
    }
    if (way->nodes && busy > 2) /* the first piece has to come to the last node */
        s.reduce += (busy - 2) * cluster_send(c, false, most < piece ? most : piece);
    return s;
}
