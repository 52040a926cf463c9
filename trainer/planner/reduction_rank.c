#include "trainer/planner/reduction_rank.h"

#include <stdlib.h>
#include "comm/base/memory.h"
#include "trainer/planner/reduction_group.h"

/* A bucket of one rank's, and how its sum and its gather travel. */
struct rank_sums {
    struct reduction_sums sums;
    struct reduction_group g;
    int me;
    size_t n, real; /* floats of the bucket; bytes of a weight */
    bool over_nodes;
    int gather_each; /* reduce_gather_each */
    double *row;     /* [each] bytes of the weights of all owners with that number in their node */
    reduction_visit *visit;
    void *ctx;
};

/* ---- sums ---- */

static bool crosses(const struct rank_sums *r, int from, int to)
{
    return r->g.host[from] != r->g.host[to];
}

static struct flow floats(const struct rank_sums *r, int from, int to, size_t n)
{
    return flow_of((double)codec_bytes(crosses(r, from, to) ? r->g.form.wire : CODEC_FP32, n));
}

/* What of a column belongs to the slice of member `to`. */
static size_t part_of_column(const struct rank_sums *r, struct reduce_span c, int to)
{
    size_t lo = r->g.offset[to], hi = lo + r->g.count[to];
    if (lo < c.lo) lo = c.lo;
    if (hi > c.hi) hi = c.hi;
    return lo < hi ? hi - lo : 0;
}

/* In a group of few peers: what goes from one to the other in the tree of a column. */
static size_t passed_on(const struct rank_sums *r, int from, int to)
{
    const struct reduce_form *f = &r->g.form;
    const struct reduce_owners o = reduce_owners_of(f, to / (f->members / reduce_each(f)));
    struct reduce_some some;
    if (reduce_above(f, to, &some) != from) return 0;
    return reduce_some_floats(&o, some, r->g.count, r->g.offset);
}

/* Over nodes: columns to the other members of the node, the running sum to the same column of the
 * next node, from the last node the parts of slices to their owners (comm/reduce_nodes.c). */
static struct flow summed(const struct rank_sums *r, int from, int to)
{
    const struct reduce_form *form = &r->g.form;
    const int each = reduce_each(form);
    if (!r->over_nodes) return floats(r, from, to, r->g.count[to]);
    struct flow f = {0, 0};
    struct reduce_span mine = reduce_column_of(form, r->g.offset, r->n, from % each),
                       theirs = reduce_column_of(form, r->g.offset, r->n, to % each);
    if (from / each == to / each) flow_add(&f, floats(r, from, to, theirs.hi - theirs.lo));
    if (to == from + each) flow_add(&f, floats(r, from, to, mine.hi - mine.lo));
    if (reduce_few(form))
        flow_add(&f, floats(r, from, to, passed_on(r, from, to)));
    else if (from / each == form->members / each - 1)
        flow_add(&f, floats(r, from, to, part_of_column(r, mine, to)));
    return f;
}

/* ---- gathers ---- */

/* Over nodes: an owner's slice to the member of each other node that has its number, and from there
 * to the rest of the node. */
static struct flow gathered(const struct rank_sums *r, int from, int to)
{
    double mine = (double)(r->g.count[from] * r->real);
    const int each = r->gather_each, R = r->g.form.members;
    if (each == 0) return flow_of(mine);
    if (from / each == to / each) return flow_of(r->row[from % each]);
    if (reduce_gather_doubles(&r->g.form, each))
        return flow_of(
            (double)(reduction_doubled(&r->g, each, from, (to + R - from) % R) * r->real));
    return flow_of(from % each == to % each ? mine : 0);
}

static void rows_of_weights(struct rank_sums *r)
{
    const int each = r->gather_each;
    for (int j = 0; j < each; j++) r->row[j] = 0;
    for (int i = 0; each > 0 && i < r->g.form.members; i++)
        r->row[i % each] += (double)(r->g.count[i] * r->real);
}

/* ---- a bucket ---- */

/* The path is that which training takes (reduce_choose). */
static void visit_members(struct rank_sums *r)
{
    const struct reduction_group *g = &r->g;
    const char *why;
    r->n = reduction_group_floats(g);
    r->over_nodes = reduce_choose(&g->form, r->n, &why) == REDUCE_NODES;
    r->gather_each = reduce_gather_each(&g->form, r->n * r->real);
    rows_of_weights(r);
    for (int i = 0; i < g->form.members; i++) {
        if (i == r->me) continue;
        r->visit(r->ctx, TRAFFIC_REDUCE, g->rank[i], summed(r, r->me, i), summed(r, i, r->me));
        r->visit(r->ctx, TRAFFIC_GATHER, g->rank[i], gathered(r, r->me, i), gathered(r, i, r->me));
    }
}

/* The other copy of a tied embedding is at the other end of the pipeline: both send what they own
 * of the sum. */
static void visit_tie(const struct rank_sums *r, struct mesh_at at)
{
    const struct mesh *m = &r->sums.mesh;
    struct flow each = flow_of((double)(r->g.count[r->me] * sizeof(float)));
    at.p = at.p == 0 ? m->pp - 1 : 0;
    r->visit(r->ctx, TRAFFIC_REDUCE, mesh_rank_at(m, at), each, each);
}

/* Gains of heads come in parts from every rank of tp (grad_reduce.c). */
static void visit_parts(const struct rank_sums *r, struct mesh_at at, const struct bucket *b)
{
    struct flow each = {(double)(b->parts * sizeof(float)), 1};
    for (int o = 0, me = at.t; b->parts > 0 && o < r->sums.mesh.tp; o++) {
        at.t = o;
        if (o != me) r->visit(r->ctx, TRAFFIC_TENSOR, mesh_rank_at(&r->sums.mesh, at), each, each);
    }
}

/* Experts have the group of those that hold the same ones. */
static void visit_bucket(struct rank_sums *r, struct mesh_at at, struct bucket *b)
{
    const struct mesh *m = &r->sums.mesh;
    int ep = b->region == REGION_EXPERTS ? m->ep : 1;
    reduction_group_fill(&r->g, &r->sums, b, at.d % ep, ep);
    r->me = mesh_axis_number(m, ep > 1 ? MESH_EXPERT_REPLICA : MESH_REPLICA, at);
    if (r->g.form.members > 1) visit_members(r);
    if (b->tie == TIE_REMOTE) visit_tie(r, at);
    visit_parts(r, at, b);
}

/* Buckets are made by the optimizer's own functions, on a stage that is only measured. */
void reduction_of_rank(const struct memory_job *j, const int *host, struct mesh_at at,
                       reduction_visit *visit, void *ctx)
{
    struct rank_sums r = {
        .sums = {j, reduction_way(j->settings), memory_mesh(j->settings, at), host},
        .real = j->ops->real_bytes,
        .visit = visit,
        .ctx = ctx};
    int members = mesh_axis_size(&r.sums.mesh, MESH_REPLICA);
    struct bucket_list l;
    struct stage st;
    const struct stage_job stage = memory_stage(j, &r.sums.mesh, 1);
    stage_measure(&st, &stage);
    buckets_make(&l, &st);
    reduction_group_new(&r.g, members);
    r.row = memory_take((size_t)members, sizeof *r.row, "the sums of a rank");
    for (int i = 0; i < l.n; i++) visit_bucket(&r, at, &l.b[i]);
    free(r.row);
    reduction_group_free(&r.g);
    buckets_free(&l);
    stage_free(&st);
}
