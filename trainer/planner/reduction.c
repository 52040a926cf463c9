#include "trainer/planner/reduction.h"

#include <stdlib.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "trainer/planner/reduction_group.h"

const struct reduction_way REDUCTION_WAY[REDUCTION_WAYS] = {
    {REDUCE_FLAT, CODEC_FP32},  {REDUCE_FLAT, CODEC_BF16},  {REDUCE_FLAT, CODEC_INT8},
    {REDUCE_NODES, CODEC_FP32}, {REDUCE_NODES, CODEC_BF16}, {REDUCE_NODES, CODEC_INT8}};

struct reduction_way reduction_way(const struct settings *s)
{
    return (struct reduction_way){(enum reduce_path)s->reduction.path,
                                  (enum codec)s->reduction.wire};
}

/* ---- a replica group, host by host ---- */

/* Members on one host, and all slices that belong to them in one bucket. */
struct host_part {
    int host;
    double members, rounded, floats, reals; /* bytes: as they cross, as sums, as weights */
};

/* Sums over members are taken host by host: who sends to whom is one product a pair of hosts, and
 * what a host sends or gets in all needs no pairs. */
struct host_parts {
    struct host_part *part; /* [n] */
    int n;
    int *part_of; /* [hosts of the traffic] 1 + index into part, 0: none of it here */
    struct traffic_share *share;
};

static void parts_new(struct host_parts *h, int most, int hosts)
{
    const char *what = "the hosts of a replica group";
    size_t parts = (size_t)(most < hosts ? most : hosts);
    *h = (struct host_parts){
        .part = memory_take(parts, sizeof *h->part, what),
        .share = memory_take(parts, sizeof *h->share, what),
        .part_of = memory_take((size_t)hosts, sizeof *h->part_of, what),
    };
}

static void parts_free(struct host_parts *h)
{
    free(h->part);
    free(h->share);
    free(h->part_of);
}

/* Hosts in the order in which members first stand on them. */
static void parts_find(struct host_parts *h, const struct reduction_group *g, size_t real)
{
    h->n = 0;
    for (int i = 0; i < g->form.members; i++) {
        int *at = &h->part_of[g->host[i]];
        if (*at == 0) h->part[h->n] = (struct host_part){.host = g->host[i]}, *at = ++h->n;
        struct host_part *p = &h->part[*at - 1];
        p->members++;
        p->rounded += (double)codec_bytes(g->form.wire, g->count[i]);
        p->floats += (double)codec_bytes(CODEC_FP32, g->count[i]);
        p->reals += (double)(g->count[i] * real);
    }
    for (int k = 0; k < h->n; k++) h->part_of[h->part[k].host] = 0;
}

/* ---- paths ---- */

/* Rounded where it crosses. */
static void add_group(struct traffic *t, const struct reduction_group *g, enum traffic_kind k,
                      int from, int to, size_t floats)
{
    bool crosses = g->host[from] != g->host[to];
    if (from != to && floats > 0)
        traffic_add(t, k, g->rank[from], g->rank[to],
                    (double)codec_bytes(crosses ? g->form.wire : CODEC_FP32, floats));
}

/* Every member to each owner of a slice but itself. */
static void add_flat(struct traffic *t, const struct host_parts *h)
{
    for (int k = 0; k < h->n; k++) {
        const struct host_part *p = &h->part[k];
        h->share[k] =
            (struct traffic_share){p->host, p->members, p->rounded, p->floats * (p->members - 1)};
    }
    traffic_add_shares(t, TRAFFIC_REDUCE, h->share, h->n);
}

/* From the last node's column the parts of slices go to their owners, from `owner` on: the first
 * whose slice ends behind the column's begin. */
static int add_parts_of_column(struct traffic *t, const struct reduction_group *g, int from,
                               struct reduce_span c, int owner)
{
    int members = g->form.members;
    while (owner < members && g->offset[owner] + g->count[owner] <= c.lo) owner++;
    for (int i = owner; i < members && g->offset[i] < c.hi; i++) {
        size_t lo = g->offset[i], hi = lo + g->count[i];
        if (lo < c.lo) lo = c.lo;
        if (hi > c.hi) hi = c.hi;
        if (lo < hi) add_group(t, g, TRAFFIC_REDUCE, from, i, hi - lo);
    }
    return owner;
}

/* In a group of few peers: finished sums over the trees of their columns. */
static void add_trees(struct traffic *t, const struct reduction_group *g)
{
    const int rows = g->form.members / reduce_each(&g->form);
    for (int to = 0; to < g->form.members; to++) {
        const struct reduce_owners o = reduce_owners_of(&g->form, to / rows);
        struct reduce_some some;
        const int from = reduce_above(&g->form, to, &some);
        if (from >= 0)
            add_group(t, g, TRAFFIC_REDUCE, from, to,
                      reduce_some_floats(&o, some, g->count, g->offset));
    }
}

/* All to all inside a run of neighbours, which is not that of a node: from each a member's column.
 */
static void add_run(struct traffic *t, const struct reduction_group *g, struct host_parts *h,
                    size_t n, int first, int each)
{
    int hosts = 0;
    for (int i = first; i < first + each; i++) {
        const struct reduce_span c = reduce_column_of(&g->form, g->offset, n, i % each);
        int *at = &h->part_of[g->host[i]];
        if (*at == 0) h->share[hosts] = (struct traffic_share){.host = g->host[i]}, *at = ++hosts;
        h->share[*at - 1].gives++;
        h->share[*at - 1].takes += (double)((c.hi - c.lo) * sizeof(float));
    }
    for (int k = 0; k < hosts; k++) {
        struct traffic_share *s = &h->share[k];
        s->keeps = s->takes * (s->gives - 1);
        h->part_of[s->host] = 0;
    }
    traffic_add_shares(t, TRAFFIC_REDUCE, h->share, hosts);
}

/* Columns inside each node, all to all; a column's running sum from node to node; from the last one
 * to the owners. */
static void add_chain(struct traffic *t, const struct reduction_group *g, struct host_parts *h)
{
    int each = reduce_each(&g->form), members = g->form.members, owner = 0;
    const bool few = reduce_few(&g->form);
    size_t n = reduction_group_floats(g);
    INVARIANT(each > 0, "a chain over nodes of a group of %d without them", members);
    for (int k = 0; k < h->n; k++)
        h->share[k] =
            (struct traffic_share){h->part[k].host, 0, 0, (double)(n * sizeof(float)) * (each - 1)};
    if (each == g->form.map.each) traffic_add_shares(t, TRAFFIC_REDUCE, h->share, h->n);
    for (int i = 0; each != g->form.map.each && i < members; i += each)
        add_run(t, g, h, n, i, each);
    for (int i = 0; i < members; i++) {
        struct reduce_span mine = reduce_column_of(&g->form, g->offset, n, i % each);
        if (i + each < members)
            add_group(t, g, TRAFFIC_REDUCE, i, i + each, mine.hi - mine.lo);
        else if (!few)
            owner = add_parts_of_column(t, g, i, mine, owner);
    }
    if (few) add_trees(t, g);
}

/* Slices from their owners to all; over nodes to one member of each, and from there to the rest of
 * it. */
static void add_gather(struct traffic *t, const struct host_parts *h, bool nodes, bool crosses)
{
    double all = 0;
    for (int k = 0; k < h->n; k++) all += h->part[k].reals;
    for (int k = 0; k < h->n; k++) {
        const struct host_part *p = &h->part[k];
        double inside = (nodes ? all : p->reals) * (p->members - 1);
        h->share[k] =
            (struct traffic_share){p->host, crosses ? p->reals : 0, nodes ? 1 : p->members, inside};
    }
    traffic_add_shares(t, TRAFFIC_GATHER, h->share, h->n);
}

/* From row to row of `each` members by doubling. */
static void add_doubling(struct traffic *t, const struct reduction_group *g, size_t real, int each)
{
    const int R = g->form.members;
    for (int i = 0; i < R; i++)
        for (int b = each; b < R; b *= 2)
            traffic_add(t, TRAFFIC_GATHER, g->rank[i], g->rank[(i + b) % R],
                        (double)(reduction_doubled(g, each, i, b) * real));
}

static void add_gathers(struct traffic *t, const struct reduction_group *g,
                        const struct host_parts *h, size_t real)
{
    const int each = reduce_gather_each(&g->form, reduction_group_floats(g) * real);
    const bool doubles = each > 0 && reduce_gather_doubles(&g->form, each);
    if (doubles) add_doubling(t, g, real, each);
    if (each != 1) add_gather(t, h, each > 1, !doubles);
}

/* Chosen by reduce_choose, the function that training calls. */
static void add_bucket(struct traffic *t, const struct reduction_group *g, struct host_parts *h,
                       size_t real, struct reduction_paths *paths)
{
    const char *why;
    size_t n = reduction_group_floats(g);
    bool nodes = reduce_choose(&g->form, n, &why) == REDUCE_NODES;
    parts_find(h, g, real);
    if (nodes)
        add_chain(t, g, h);
    else
        add_flat(t, h);
    add_gathers(t, g, h, real);
    paths->all += (int)t->times;
    paths->nodes += nodes ? (int)t->times : 0;
    if (!nodes) paths->why = why;
}

/* ---- the groups of a stage ---- */

/* A tied embedding whose head is on another rank: both sums go to the other end of the pipeline
 * (optimizer.c, tie_exchange). */
static void add_tie(struct traffic *t, const struct reduction_sums *s,
                    const struct reduction_group *g)
{
    const struct mesh *m = &s->mesh;
    for (int i = 0; i < g->form.members; i++) {
        struct mesh_at at = mesh_coords(m, g->rank[i]);
        at.p = at.p == 0 ? m->pp - 1 : 0;
        traffic_add(t, TRAFFIC_REDUCE, g->rank[i], mesh_rank_at(m, at),
                    (double)(g->count[i] * sizeof(float)));
    }
}

/* Gains of heads, of which every rank of tp has a part: from all to all before anything else is
 * added (grad_reduce.c). */
static void add_parts(struct traffic *t, const struct reduction_sums *s, const struct bucket *b)
{
    const struct mesh *m = &s->mesh;
    int members = mesh_axis_size(m, MESH_REPLICA);
    for (int i = 0; b->parts > 0 && i < members; i++)
        for (int o = 0; o < m->tp; o++)
            if (o != m->t)
                traffic_add(t, TRAFFIC_TENSOR,
                            mesh_axis_rank(m, MESH_REPLICA, (struct mesh_at){0, m->p, m->t}, i),
                            mesh_axis_rank(m, MESH_REPLICA, (struct mesh_at){0, m->p, o}, i),
                            (double)(b->parts * sizeof(float)));
}

/* Layers that are alike make buckets that send the same bytes between the same ranks: how many
 * there are of bucket i from it on; 0: it was counted with an earlier one. */
static int alike(const struct bucket_list *l, int i)
{
    const struct bucket *b = &l->b[i];
    int n = 0;
    for (int k = 0; k < l->n; k++) {
        const struct bucket *o = &l->b[k];
        bool same = o->n == b->n && o->region == b->region && o->parts == b->parts &&
                    (o->tie == TIE_REMOTE) == (b->tie == TIE_REMOTE);
        if (same && k < i) return 0;
        n += same;
    }
    return n;
}

/* Experts have a group of replicas for each part of ep; all other tensors have one. */
static void add_stage(struct traffic *t, const struct reduction_sums *s, struct stage *st,
                      struct reduction_paths *paths)
{
    int members = mesh_axis_size(&s->mesh, MESH_REPLICA);
    struct reduction_group g;
    struct host_parts h;
    struct bucket_list l;
    reduction_group_new(&g, members);
    parts_new(&h, members, t->hosts);
    buckets_make(&l, st);
    for (int i = 0; i < l.n; i++) {
        struct bucket *b = &l.b[i];
        int ep = b->region == REGION_EXPERTS ? s->mesh.ep : 1, times = alike(&l, i);
        if (times == 0) continue;
        t->times = times;
        for (int e = 0; e < ep; e++) {
            reduction_group_fill(&g, s, b, e, ep);
            if (g.form.members > 1) add_bucket(t, &g, &h, s->memory->ops->real_bytes, paths);
        }
        if (b->tie == TIE_REMOTE) add_tie(t, s, &g);
        add_parts(t, s, b);
    }
    t->times = 1;
    buckets_free(&l);
    parts_free(&h);
    reduction_group_free(&g);
}

/* Buckets are made by the optimizer's own functions, on a stage that is only measured. */
struct reduction_paths reduction_add(struct traffic *t, const struct memory_job *j,
                                     struct reduction_way way)
{
    struct reduction_paths paths = {0, 0, ""};
    struct mesh whole = memory_mesh(j->settings, (struct mesh_at){0});
    int stages = whole.replica_inner == 2 ? whole.pp / 2 : whole.pp;
    for (int i = 0; i < stages * whole.tp; i++) {
        struct mesh_at at = {0, i / whole.tp, i % whole.tp};
        const struct reduction_sums s = {j, way, memory_mesh(j->settings, at), t->host};
        struct stage st;
        const struct stage_job stage = memory_stage(j, &s.mesh, 1);
        stage_measure(&st, &stage);
        add_stage(t, &s, &st, &paths);
        stage_free(&st);
    }
    return paths;
}

/* The fewest of any stage: the overlap of the stage with fewest buckets is smallest. */
int reduction_buckets(const struct memory_job *j)
{
    int fewest = 0;
    for (int p = 0; p < j->settings->mesh.pp; p++) {
        struct mesh m = memory_mesh(j->settings, (struct mesh_at){.p = p});
        struct bucket_list l;
        struct stage s;
        const struct stage_job stage = memory_stage(j, &m, 1);
        stage_measure(&s, &stage);
        buckets_make(&l, &s);
        if (p == 0 || l.n < fewest) fewest = l.n;
        buckets_free(&l);
        stage_free(&s);
    }
    return fewest;
}

/* ---- time ---- */

/* Ranks of each host, and 1 where there are none: what sends nothing divides nothing. */
static double *ranks_by_host(const struct traffic *t)
{
    double *n = memory_take((size_t)t->hosts, sizeof *n, "the ranks of hosts");
    for (int r = 0; r < t->ranks; r++) n[t->host[r]]++;
    for (int h = 0; h < t->hosts; h++) n[h] = n[h] > 0 ? n[h] : 1;
    return n;
}

/* Seconds of the link, between hosts or inside them, that needs longest for its bytes. */
static double busiest(const struct traffic *t, const double *ranks, enum traffic_kind k,
                      const struct cluster *c)
{
    double between = 0, inside = 0;
    for (int h = 0; h < t->hosts; h++) {
        double out = traffic_out(t, k, h) / ranks[h], in = traffic_in(t, k, h) / ranks[h];
        double within = traffic_within(t, k, h) / ranks[h];
        if (out > between) between = out;
        if (in > between) between = in;
        if (within > inside) inside = within;
    }
    double slow = between > 0 ? cluster_send(c, false, between) : 0;
    double fast = inside > 0 ? cluster_send(c, true, inside) : 0;
    return slow > fast ? slow : fast;
}

/* By the busiest rank's link; on a chain of nodes the first piece must first travel to the last
 * one. */
struct reduction_time reduction_time(const struct traffic *t, const struct cluster *c,
                                     struct reduction_way way)
{
    const double piece = 0x1p20; /* largest piece of a column in flight (comm/reduce_map.c) */
    double *ranks = ranks_by_host(t);
    struct reduction_time s = {busiest(t, ranks, TRAFFIC_REDUCE, c),
                               busiest(t, ranks, TRAFFIC_GATHER, c)};
    int busy = 0;
    double most = 0;
    for (int h = 0; h < t->hosts; h++) {
        double out = traffic_out(t, TRAFFIC_REDUCE, h) / ranks[h];
        busy += out > 0;
        most = out > most ? out : most;
    }
    free(ranks);
    if (way.path == REDUCE_NODES && busy > 2) /* the first piece has to come to the last node */
        s.reduce += (busy - 2) * cluster_send(c, false, most / 32 < piece ? most / 32 : piece);
    return s;
}
