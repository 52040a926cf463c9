#include "trainer/planner/reduction.h"

#include <stdlib.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "trainer/learn/grad_reduce.h"

const struct reduction_way REDUCTION_WAY[REDUCTION_WAYS] = {
    {REDUCE_FLAT, CODEC_FP32},  {REDUCE_FLAT, CODEC_BF16},  {REDUCE_FLAT, CODEC_INT8},
    {REDUCE_NODES, CODEC_FP32}, {REDUCE_NODES, CODEC_BF16}, {REDUCE_NODES, CODEC_INT8}};

struct reduction_way reduction_way(const struct settings *s)
{
    return (struct reduction_way){(enum reduce_path)s->reduction.path,
                                  (enum codec)s->reduction.wire};
}

/* ---- a replica group ---- */

/* Members on one host, and all slices that belong to them in one bucket. */
struct host_part {
    int host;
    double members, rounded, floats, reals; /* bytes: as they cross, as sums, as weights */
};

/* Members in the order of sums (comm/mesh.h), where they are, and a bucket's slices. Sums over
 * members are taken host by host: who sends to whom is one product a pair of hosts, and what a
 * host sends or gets in all needs no pairs. */
struct reduction_group {
    struct reduce_form form;
    int *rank, *host;
    size_t *count, *offset;
    struct host_part *part; /* [parts] */
    int parts;
    int *part_of; /* [hosts of the traffic] 1 + index into part, 0: none of it here */
    struct traffic_share *share;
};

static void group_new(struct reduction_group *g, int most, int hosts)
{
    const char *what = "a replica group";
    size_t n = (size_t)most, parts = most < hosts ? n : (size_t)hosts;
    *g = (struct reduction_group){
        .rank = memory_take(2 * n, sizeof *g->rank, what),
        .count = memory_take(2 * n, sizeof *g->count, what),
        .part = memory_take(parts, sizeof *g->part, what),
        .share = memory_take(parts, sizeof *g->share, what),
        .part_of = memory_take((size_t)hosts, sizeof *g->part_of, what),
    };
    g->host = g->rank + most;
    g->offset = g->count + most;
}

static void group_free(struct reduction_group *g)
{
    free(g->rank);
    free(g->count);
    free(g->part);
    free(g->share);
    free(g->part_of);
}

static size_t floats_of(const struct reduction_group *g)
{
    size_t n = 0;
    for (int i = 0; i < g->form.members; i++) n += g->count[i];
    return n;
}

/* Hosts in the order in which members first stand on them. */
static void group_parts(struct reduction_group *g, size_t real)
{
    g->parts = 0;
    for (int i = 0; i < g->form.members; i++) {
        int *at = &g->part_of[g->host[i]];
        if (*at == 0) g->part[g->parts] = (struct host_part){.host = g->host[i]}, *at = ++g->parts;
        struct host_part *p = &g->part[*at - 1];
        p->members++;
        p->rounded += (double)codec_bytes(g->form.wire, g->count[i]);
        p->floats += (double)codec_bytes(CODEC_FP32, g->count[i]);
        p->reals += (double)(g->count[i] * real);
    }
    for (int k = 0; k < g->parts; k++) g->part_of[g->part[k].host] = 0;
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
static void add_flat(struct traffic *t, const struct reduction_group *g)
{
    for (int k = 0; k < g->parts; k++) {
        const struct host_part *p = &g->part[k];
        g->share[k] =
            (struct traffic_share){p->host, p->members, p->rounded, p->floats * (p->members - 1)};
    }
    traffic_add_shares(t, TRAFFIC_REDUCE, g->share, g->parts);
}

/* Columns, one a member of a node: where they begin and end (comm/reduce_nodes.c). */
struct column {
    size_t lo, hi;
};

static struct column column_of(size_t n, int each, int j)
{
    size_t length = (n + (size_t)each - 1) / (size_t)each;
    length = (length + CODEC_BLOCK - 1) / CODEC_BLOCK * CODEC_BLOCK;
    size_t lo = length * (size_t)j, hi = lo + length;
    return (struct column){lo < n ? lo : n, hi < n ? hi : n};
}

/* From the last node's column the parts of slices go to their owners, from `owner` on: the first
 * whose slice ends behind the column's begin. */
static int add_parts_of_column(struct traffic *t, const struct reduction_group *g, int from,
                               struct column c, int owner)
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

/* Columns inside each node, all to all; a column's running sum from node to node; from the last one
 * to the owners. */
static void add_chain(struct traffic *t, const struct reduction_group *g)
{
    int each = g->form.map.each, members = g->form.members, owner = 0;
    size_t n = floats_of(g);
    double columns = 0;
    INVARIANT(each > 0, "a chain over nodes of a group of %d without them", members);
    for (int j = 0; j < each; j++) {
        struct column c = column_of(n, each, j);
        columns += (double)codec_bytes(CODEC_FP32, c.hi - c.lo);
    }
    for (int k = 0; k < g->parts; k++)
        g->share[k] = (struct traffic_share){g->part[k].host, 0, 0, columns * (each - 1)};
    traffic_add_shares(t, TRAFFIC_REDUCE, g->share, g->parts);
    for (int i = 0; i < members; i++) {
        struct column mine = column_of(n, each, i % each);
        if (i + each < members)
            add_group(t, g, TRAFFIC_REDUCE, i, i + each, mine.hi - mine.lo);
        else
            owner = add_parts_of_column(t, g, i, mine, owner);
    }
}

/* Slices from their owners to all; over nodes to one member of each, and from there to the rest of
 * it. */
static void add_gather(struct traffic *t, const struct reduction_group *g, bool nodes)
{
    double all = 0;
    for (int k = 0; k < g->parts; k++) all += g->part[k].reals;
    for (int k = 0; k < g->parts; k++) {
        const struct host_part *p = &g->part[k];
        double inside = (nodes ? all : p->reals) * (p->members - 1);
        g->share[k] = (struct traffic_share){p->host, p->reals, nodes ? 1 : p->members, inside};
    }
    traffic_add_shares(t, TRAFFIC_GATHER, g->share, g->parts);
}

/* Chosen by reduce_choose, the function that training calls. */
static void add_bucket(struct traffic *t, struct reduction_group *g, size_t real,
                       struct reduction_paths *paths)
{
    const char *why;
    bool nodes = reduce_choose(&g->form, floats_of(g), &why) == REDUCE_NODES;
    group_parts(g, real);
    (nodes ? add_chain : add_flat)(t, g);
    add_gather(t, g, reduce_gather_over_nodes(&g->form, floats_of(g) * real));
    paths->all++;
    paths->nodes += nodes;
    if (!nodes) paths->why = why;
}

/* ---- the groups of a stage ---- */

struct reduction_job {
    const struct memory_job *memory;
    struct reduction_way way;
    struct mesh mesh; /* d 0, and the stage's p and t */
    int members;      /* replicas of the dense weights */
    struct reduction_paths *paths;
};

/* Rank of a member of the replica group of dense weights. */
static int member_rank(const struct mesh *m, int member)
{
    int d = member / m->replica_inner, upper = member % m->replica_inner;
    int low = m->p < m->pp - 1 - m->p ? m->p : m->pp - 1 - m->p;
    int p = m->replica_inner == 1 ? m->p : upper ? m->pp - 1 - low : low;
    return mesh_rank_at(m, (struct mesh_at){d, p, m->t});
}

/* The members that hold share e of the experts (of all weights with ep 1), and the bucket's slices.
 */
static void group_fill(struct reduction_group *g, const struct traffic *t,
                       const struct reduction_job *s, struct bucket *b, int e, int ep)
{
    const struct mesh *m = &s->mesh;
    int n = 0, inner = m->replica_inner;
    for (int i = e * inner; i < s->members; i += i % inner < inner - 1 ? 1 : (ep - 1) * inner + 1) {
        g->rank[n] = member_rank(m, i);
        g->host[n] = t->host[g->rank[n]];
        n++;
    }
    g->form = (struct reduce_form){.members = n,
                                   .inner = inner,
                                   .node = g->host,
                                   .path = s->way.path,
                                   .wire = grad_reduce_wire(s->way.wire, m->tp, b->region)};
    g->form.map = reduce_map_of(&g->form);
    b->count = g->count, b->offset = g->offset;
    bucket_cut(b, n, 0);
}

/* A tied embedding whose head is on another rank: both sums go to the other end of the pipeline
 * (optimizer.c, tie_exchange). */
static void add_tie(struct traffic *t, const struct reduction_job *s,
                    const struct reduction_group *g)
{
    const struct mesh *m = &s->mesh;
    for (int i = 0; i < s->members; i++) {
        struct mesh_at at = mesh_coords(m, g->rank[i]);
        at.p = at.p == 0 ? m->pp - 1 : 0;
        traffic_add(t, TRAFFIC_REDUCE, g->rank[i], mesh_rank_at(m, at),
                    (double)(g->count[i] * sizeof(float)));
    }
}

/* Gains of heads, of which every rank of tp has a part: from all to all before anything else is
 * added (grad_reduce.c). */
static void add_parts(struct traffic *t, const struct reduction_job *s, const struct bucket *b)
{
    struct mesh other = s->mesh;
    for (int i = 0; b->parts > 0 && i < s->members; i++)
        for (other.t = 0; other.t < s->mesh.tp; other.t++)
            if (other.t != s->mesh.t)
                traffic_add(t, TRAFFIC_TENSOR, member_rank(&s->mesh, i), member_rank(&other, i),
                            (double)(b->parts * sizeof(float)));
}

/* Experts have a group of replicas for each part of ep; all other tensors have one. */
static void add_stage(struct traffic *t, const struct reduction_job *s, struct stage *st)
{
    struct reduction_group g;
    struct bucket_list l;
    group_new(&g, s->members, t->hosts);
    buckets_make(&l, st);
    for (int i = 0; i < l.n; i++) {
        struct bucket *b = &l.b[i];
        int ep = b->region == REGION_EXPERTS ? s->mesh.ep : 1;
        for (int e = 0; e < ep; e++) {
            group_fill(&g, t, s, b, e, ep);
            if (g.form.members > 1) add_bucket(t, &g, s->memory->ops->real_bytes, s->paths);
        }
        if (b->tie == TIE_REMOTE) add_tie(t, s, &g);
        add_parts(t, s, b);
    }
    buckets_free(&l);
    group_free(&g);
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
        struct reduction_job s = {
            .memory = j, .way = way, .mesh = memory_mesh(j->settings, at), .paths = &paths};
        struct stage st;
        s.members = whole.dp * whole.replica_inner;
        const struct stage_job stage = memory_stage(j, &s.mesh, 1);
        stage_measure(&st, &stage);
        add_stage(t, &s, &st);
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
