#include "trainer/planner/reduction_group.h"

#include <stdlib.h>
#include "comm/base/memory.h"
#include "trainer/learn/grad_reduce.h"

void reduction_group_new(struct reduction_group *g, int most)
{
    const char *what = "a replica group";
    size_t n = (size_t)most;
    *g = (struct reduction_group){.rank = memory_take(2 * n, sizeof *g->rank, what),
                                  .count = memory_take(3 * n, sizeof *g->count, what)};
    g->host = g->rank + most;
    g->offset = g->count + most;
    g->before = g->offset + most;
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
    const int each = reduce_gather_each(&g->form, 0);
    for (int i = 0; each > 0 && i < n; i++)
        g->before[i] = i < each ? 0 : g->before[i - each] + g->count[i - each];
}

size_t reduction_group_floats(const struct reduction_group *g)
{
    size_t n = 0;
    for (int i = 0; i < g->form.members; i++) n += g->count[i];
    return n;
}

size_t reduction_doubled(const struct reduction_group *g, int each, int from, int distance)
{
    const int R = g->form.members, last = R - each + from % each;
    const int n = distance % each ? 0 : reduce_doubling(R / each, distance / each);
    const int first = from - (n - 1) * each;
    if (n == 0) return 0;
    const size_t up_to = g->before[from] + g->count[from];
    if (first >= 0) return up_to - g->before[first];
    return up_to + g->before[last] + g->count[last] - g->before[first + R];
}
