/* The mesh: arithmetic, the check with its proposals, and the communicators. */
#include "comm/mesh.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"

int mesh_rank_at(const struct mesh *m, struct mesh_at at)
{
    return (at.d * m->pp + at.p) * m->tp + at.t;
}

int mesh_rank(const struct mesh *m, int d, int p)
{
    return mesh_rank_at(m, (struct mesh_at){d, p, m->t});
}

struct mesh_at mesh_coords(const struct mesh *m, int rank)
{
    return (struct mesh_at){rank / m->tp / m->pp, rank / m->tp % m->pp, rank % m->tp};
}

/* --- groups --- */

int mesh_axis_size(const struct mesh *m, enum mesh_axis axis)
{
    const int size[MESH_AXES] = {[MESH_PIPE] = m->pp,
                                 [MESH_DATA] = m->dp,
                                 [MESH_TENSOR] = m->tp,
                                 [MESH_EXPERT] = m->ep,
                                 [MESH_REPLICA] = m->dp * m->replica_inner,
                                 [MESH_EXPERT_REPLICA] = m->dp / m->ep * m->replica_inner};
    return size[axis];
}

/* Is p in the upper half of a mirror? */
static int is_high(const struct mesh *m, int p)
{
    return m->replica_inner == 2 && p >= m->pp / 2;
}

int mesh_axis_number(const struct mesh *m, enum mesh_axis axis, struct mesh_at at)
{
    int inner = m->replica_inner, high = is_high(m, at.p);
    const int number[MESH_AXES] = {[MESH_PIPE] = at.p,
                                   [MESH_DATA] = at.d,
                                   [MESH_TENSOR] = at.t,
                                   [MESH_EXPERT] = at.d % m->ep,
                                   [MESH_REPLICA] = at.d * inner + high,
                                   [MESH_EXPERT_REPLICA] = at.d / m->ep * inner + high};
    return number[axis];
}

/* Replicas stand pipeline by pipeline, within one the lower stage of a mirror's two first. */
int mesh_axis_rank(const struct mesh *m, enum mesh_axis axis, struct mesh_at at, int i)
{
    int inner = m->replica_inner, low = is_high(m, at.p) ? m->pp - 1 - at.p : at.p;
    int p = i % inner ? m->pp - 1 - low : low;
    switch (axis) {
    case MESH_PIPE: at.p = i; break;
    case MESH_DATA: at.d = i; break;
    case MESH_TENSOR: at.t = i; break;
    case MESH_EXPERT: at.d = at.d / m->ep * m->ep + i; break;
    case MESH_REPLICA: at = (struct mesh_at){i / inner, p, at.t}; break;
    case MESH_EXPERT_REPLICA:
        at = (struct mesh_at){i / inner * m->ep + at.d % m->ep, p, at.t};
        break;
    }
    return mesh_rank_at(m, at);
}

/* --- what can be --- */

static bool divides(int part, int whole)
{
    return whole == 0 || whole % part == 0;
}

static bool pipeline_can(const struct mesh_shape *s, const struct mesh_limits *l)
{
    return s->pp >= 1 && (l->layers == 0 || s->pp <= l->layers) && (!s->mirrored || s->pp % 2 == 0);
}

static bool tensor_can(const struct mesh_shape *s, const struct mesh_limits *l)
{
    return s->tp >= 1 && divides(s->tp, l->heads) && divides(s->tp, l->kv_heads) &&
           divides(s->tp, l->ffn) && (l->vocabulary == 0 || s->tp <= l->vocabulary);
}

static bool expert_can(const struct mesh_shape *s, const struct mesh_limits *l)
{
    if (s->ep < 1 || s->dp % s->ep) return false;
    return l->experts == NO_EXPERTS ? s->ep == 1 : divides(s->ep, l->experts);
}

static bool can(const struct mesh_shape *s, const struct mesh_limits *l)
{
    return s->dp >= 1 && pipeline_can(s, l) && tensor_can(s, l) && expert_can(s, l);
}

/* --- proposals --- */

/* How far two sizes are apart: 4 is as near to 2 as to 8. */
static double apart(int a, int b)
{
    return fabs(log((double)a / (b > 0 ? b : 1)));
}

static double distance(const struct mesh_shape *a, const struct mesh_shape *b)
{
    return apart(a->pp, b->pp) + apart(a->tp, b->tp) + apart(a->ep, b->ep);
}

/* The mesh nearest to the wish that uses exactly `ranks`, among equally near ones that with the
 * smallest pp, then tp; dp 0 when there is none. */
static struct mesh_shape nearest(struct mesh_shape wish, int ranks, const struct mesh_limits *l)
{
    struct mesh_shape best = {0};
    for (int pp = 1; pp <= ranks; pp++)
        for (int tp = 1; ranks % pp == 0 && tp <= ranks / pp; tp++)
            for (int ep = 1; ranks / pp % tp == 0 && ep <= ranks / pp / tp; ep++) {
                struct mesh_shape s = {ranks / pp / tp, pp, tp, ep, wish.mirrored};
                if (!can(&s, l)) continue;
                if (best.dp == 0 || distance(&s, &wish) < distance(&best, &wish) - 1e-9) best = s;
            }
    return best;
}

/* "dp 2 x pp 4 x tp 2 with ep 2"; sizes of 1 beyond dp and pp are not said. */
static void shape_text(char out[96], struct mesh_shape s)
{
    char tp[24] = "", ep[24] = "";
    if (s.tp != 1) snprintf(tp, sizeof tp, " x tp %d", s.tp);
    if (s.ep != 1) snprintf(ep, sizeof ep, " with ep %d", s.ep);
    snprintf(out, 96, "dp %d x pp %d%s%s", s.dp, s.pp, tp, ep);
}

static bool same(const struct mesh_shape *a, const struct mesh_shape *b)
{
    return a->dp == b->dp && a->pp == b->pp && a->tp == b->tp && a->ep == b->ep;
}

static long ranks_of(const struct mesh_shape *s)
{
    return (long)s->dp * s->pp * s->tp;
}

/* Appends; what does not fit is cut. */
static void append_shape(char *out, size_t size, const struct mesh_shape *s, const char *behind)
{
    char shape[96];
    shape_text(shape, *s);
    size_t n = strlen(out);
    snprintf(out + n, size - n, "%s%s%s", n ? ", or " : "", shape, behind);
}

/* The same kind of mesh on these ranks, else the other kind, and on how many ranks the wish could
 * be had. */
void mesh_nearest(char *out, size_t size, struct mesh_shape s, int ranks,
                  const struct mesh_limits *l)
{
    struct mesh_shape one_way = s, best = nearest(s, ranks, l);
    one_way.mirrored = false;
    struct mesh_shape plain = s.mirrored ? nearest(one_way, ranks, l) : best;
    out[0] = '\0';
    if (best.dp) append_shape(out, size, &best, "");
    if (plain.dp && !same(&plain, &best))
        append_shape(out, size, &plain, " with a schedule of one direction (1f1b)");
    if (can(&s, l) && ranks_of(&s) != ranks) {
        char behind[40];
        snprintf(behind, sizeof behind, " on %ld ranks", ranks_of(&s));
        append_shape(out, size, &s, behind);
    }
}

/* --- the check --- */

static void check_size(const char *name, int size, struct problems *p)
{
    if (size < 1) problems_add(p, NULL, 0, "mesh: %s is %d, it must be at least 1", name, size);
}

static void check_ranks(const struct mesh_shape *s, int ranks, struct problems *p)
{
    char shape[96];
    struct mesh_shape product = *s;
    product.ep = 1;
    shape_text(shape, product);
    if (s->dp >= 1 && s->pp >= 1 && s->tp >= 1 && ranks_of(s) != ranks)
        problems_add(p, NULL, 0, "mesh: %s takes %ld ranks, the job has %d", shape, ranks_of(s),
                     ranks);
}

/* dualpipe pairs stage p with pp-1-p, so it needs an even number of them. */
static void check_pipeline(const struct mesh_shape *s, const struct mesh_limits *l,
                           struct problems *p)
{
    if (s->mirrored && s->pp >= 1 && s->pp % 2)
        problems_add(
            p, NULL, 0,
            "mesh: pp is %d, but a schedule of two directions needs an even number of stages",
            s->pp);
    if (l->layers && s->pp > l->layers)
        problems_add(p, NULL, 0, "mesh: %d stages cannot share %d layers, each needs one", s->pp,
                     l->layers);
}

/* Heads and the FFN are split into equal parts; of the vocabulary every rank only needs a token. */
static void check_tensor(const struct mesh_shape *s, const struct mesh_limits *l,
                         struct problems *p)
{
    const struct {
        const char *what;
        int n;
    } divided[] = {{"query heads", l->heads},
                   {"key/value heads", l->kv_heads},
                   {"rows of the FFN's inner size", l->ffn}};
    if (s->tp < 1) return;
    for (size_t i = 0; i < sizeof divided / sizeof *divided; i++)
        if (!divides(s->tp, divided[i].n))
            problems_add(p, NULL, 0, "mesh: tp is %d, which does not divide %d %s", s->tp,
                         divided[i].n, divided[i].what);
    if (l->vocabulary && s->tp > l->vocabulary)
        problems_add(p, NULL, 0, "mesh: %d ranks cannot share a vocabulary of %d tokens", s->tp,
                     l->vocabulary);
}

/* All pipelines of an expert group hold the same number of experts: dispatch relies on it. */
static void check_expert(const struct mesh_shape *s, const struct mesh_limits *l,
                         struct problems *p)
{
    if (s->ep <= 1) return;
    if (s->dp >= 1 && s->dp % s->ep)
        problems_add(p, NULL, 0, "mesh: ep is %d, which does not divide dp %d", s->ep, s->dp);
    if (l->experts == NO_EXPERTS)
        problems_add(p, NULL, 0, "mesh: ep is %d, but the model has no experts to share", s->ep);
    else if (!divides(s->ep, l->experts))
        problems_add(p, NULL, 0, "mesh: ep is %d, which does not divide %d experts", s->ep,
                     l->experts);
}

/* Collects all mistakes, then proposes the mesh that changes least. */
bool mesh_check(struct mesh_shape s, int ranks, const struct mesh_limits *l, struct problems *p)
{
    char text[320];
    int before = p->n;
    check_size("dp", s.dp, p);
    check_size("pp", s.pp, p);
    check_size("tp", s.tp, p);
    check_size("ep", s.ep, p);
    check_ranks(&s, ranks, p);
    check_pipeline(&s, l, p);
    check_tensor(&s, l, p);
    check_expert(&s, l, p);
    if (p->n == before) return true;
    mesh_nearest(text, sizeof text, s, ranks, l);
    if (*text)
        problems_add(p, NULL, 0, "the nearest mesh on %d rank%s: %s", ranks, ranks == 1 ? "" : "s",
                     text);
    return false;
}

/* --- communicators --- */

/* For these n ranks, by calls of theirs alone. */
static MPI_Comm communicator(const struct world *w, const int *rank, int n, int tag)
{
    MPI_Comm comm;
    MPI_Group all, some;
    if (n == 1) {
        MPI_OK(MPI_Comm_dup(MPI_COMM_SELF, &comm));
    } else {
        MPI_OK(MPI_Comm_group(w->comm, &all));
        MPI_OK(MPI_Group_incl(all, n, rank, &some));
        MPI_OK(MPI_Comm_create_group(w->comm, some, tag, &comm));
        MPI_OK(MPI_Group_free(&some));
        MPI_OK(MPI_Group_free(&all));
    }
    MPI_OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
    return comm;
}

/* The groups met so far, the world first. */
struct known_groups {
    int n;
    struct known_group {
        int members, *rank;
        MPI_Comm comm;
    } at[MESH_AXES + 1];
};

static void know(struct known_groups *k, int *rank, int members, MPI_Comm comm)
{
    k->at[k->n++] = (struct known_group){members, rank, comm};
}

/* Groups of the same ranks share what one has. */
static MPI_Comm of_axis(struct mesh *m, struct known_groups *k, const struct world *w,
                        enum mesh_axis axis)
{
    const int n = mesh_axis_size(m, axis);
    int *rank = memory_take((size_t)n, sizeof *rank, "a group of ranks");
    for (int i = 0; i < n; i++)
        rank[i] = mesh_axis_rank(m, axis, (struct mesh_at){m->d, m->p, m->t}, i);
    for (int i = 0; i < k->n; i++) {
        const struct known_group *g = &k->at[i];
        if (g->members != n || memcmp(g->rank, rank, (size_t)n * sizeof *rank) != 0) continue;
        free(rank);
        return g->comm;
    }
    m->made[m->n_made++] = communicator(w, rank, n, (int)axis);
    know(k, rank, n, m->made[m->n_made - 1]);
    return m->made[m->n_made - 1];
}

/* With a mirrored mesh stage p and its mirror pp-1-p hold the same layers: replicas of both are one
 * group, the lower half first, which fixes the order of its sums. */
void mesh_split(struct mesh *m, const struct world *w, struct mesh_shape s)
{
    *m = (struct mesh){.dp = s.dp, .pp = s.pp, .ep = s.ep, .tp = s.tp, .mirrored = s.mirrored};
    INVARIANT(ranks_of(&s) == w->size && s.dp % s.ep == 0, "dp %d pp %d tp %d ep %d, %d ranks",
              s.dp, s.pp, s.tp, s.ep, w->size);
    struct mesh_at at = mesh_coords(m, w->rank);
    m->d = at.d;
    m->p = at.p;
    m->t = at.t;
    m->replica_inner = s.mirrored && s.pp > 1 ? 2 : 1;
    struct known_groups known = {0};
    int *all = memory_take((size_t)w->size, sizeof *all, "a group of ranks");
    for (int r = 0; r < w->size; r++) all[r] = r;
    know(&known, all, w->size, w->comm);
    m->pipe = of_axis(m, &known, w, MESH_PIPE);
    m->tensor = of_axis(m, &known, w, MESH_TENSOR);
    m->expert = of_axis(m, &known, w, MESH_EXPERT);
    m->replica = of_axis(m, &known, w, MESH_REPLICA);
    m->expert_replica = of_axis(m, &known, w, MESH_EXPERT_REPLICA);
    for (int i = 0; i < known.n; i++) free(known.at[i].rank);
}

void mesh_free(struct mesh *m)
{
    if (!m || m->pp == 0) return;
    for (int i = 0; i < m->n_made; i++) MPI_OK(MPI_Comm_free(&m->made[i]));
    *m = (struct mesh){0};
}
