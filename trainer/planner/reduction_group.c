#include "trainer/planner/reduction_group.h"

#include <stdlib.h>
#include "comm/base/memory.h"
#include "trainer/learn/grad_reduce.h"

void reduction_group_new(struct reduction_group *g, int most)
{
    const char *what = "a replica group";
    size_t n = (size_t)most;
    *g = (struct reduction_group){.rank = memory_take(2 * n, sizeof *g->rank, what),
                                  .count = memory_take(2 * n, sizeof *g->count, what)};
    g->host = g->rank + most;
    g->offset = g->count + most;
}

void reduction_group_free(struct reduction_group *g)
{
    free(g->rank);
    free(g->count);
}

/* The members that hold one share of the experts are every ep-th pipeline's. */
void reduction_group_fill(struct reduction_group *g, const struct reduction_sums *s,
                          struct bucket *b, int e, int ep)
{
    const struct mesh *m = &s->mesh;
    const struct mesh_at at = {e, m->p, m->t};
    enum mesh_axis axis = ep > 1 ? MESH_EXPERT_REPLICA : MESH_REPLICA;
    int n = mesh_axis_size(m, axis);
    for (int i = 0; i < n; i++) {
        g->rank[i] = mesh_axis_rank(m, axis, at, i);
        g->host[i] = s->host[g->rank[i]];
    }
    g->form = (struct reduce_form){.members = n,
                                   .inner = m->replica_inner,
                                   .node = g->host,
                                   .path = s->way.path,
                                   .wire = grad_reduce_wire(s->way.wire, m->tp, b->region)};
    g->form.map = reduce_map_of(&g->form);
    b->count = g->count, b->offset = g->offset;
    bucket_cut(b, n, 0);
}

size_t reduction_group_floats(const struct reduction_group *g)
{
    size_t n = 0;
    for (int i = 0; i < g->form.members; i++) n += g->count[i];
    return n;
}

struct reduction_column reduction_column(size_t n, int each, int j)
{
    size_t length = (n + (size_t)each - 1) / (size_t)each;
    length = (length + CODEC_BLOCK - 1) / CODEC_BLOCK * CODEC_BLOCK;
    size_t lo = length * (size_t)j, hi = lo + length;
    return (struct reduction_column){lo < n ? lo : n, hi < n ? hi : n};
}
