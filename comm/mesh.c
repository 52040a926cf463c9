/* The mesh: arithmetic, the check with its proposals, and the communicators. */
#include "comm/mesh.h"

#include <math.h>
#include <stdio.h>

int mesh_rank(const struct mesh *m, int d, int p)
{
    return d * m->pp + p;
}

void mesh_coords(const struct mesh *m, int rank, int *d, int *p)
{
    *d = rank / m->pp;
    *p = rank % m->pp;
}

static bool pipeline_can(int pp, bool mirrored, int layers)
{
    return pp >= 1 && pp <= layers && (!mirrored || pp % 2 == 0);
}

/* How far two sizes are apart: 4 is as near to 2 as to 8. */
static double apart(int a, int b)
{
    return fabs(log((double)a / (b > 0 ? b : 1)));
}

/* The pipeline length nearest to pp whose mesh uses exactly `ranks`; 0 when there is none. Of two equally
 * near the shorter. */
static int nearest_pp(int pp, bool mirrored, int ranks, int layers)
{
    int best = 0;
    for (int q = 1; q <= ranks; q++) {
        if (ranks % q || !pipeline_can(q, mirrored, layers)) continue;
        if (best == 0 || apart(q, pp) < apart(best, pp) - 1e-9) best = q;
    }
    return best;
}

/* Says what can be: same kind of mesh on these ranks, else the other kind, and on how many ranks the wish
 * could be had. */
static void propose(int dp, int pp, bool mirrored, int ranks, int layers, struct problems *p)
{
    char text[256];
    int n = 0, same = nearest_pp(pp, mirrored, ranks, layers);
    int plain = mirrored ? nearest_pp(pp, false, ranks, layers) : 0;
    if (same) n = snprintf(text, sizeof text, "dp %d x pp %d", ranks / same, same);
    if (plain && plain != same)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "%sdp %d x pp %d with a schedule of one direction (1f1b)", n ? ", or " : "",
                      ranks / plain, plain);
    if (dp >= 1 && pipeline_can(pp, mirrored, layers) && dp * (long)pp != ranks)
        n += snprintf(text + n, sizeof text - (size_t)n, "%sdp %d x pp %d on %ld ranks",
                      n ? ", or " : "", dp, pp, dp * (long)pp);
    if (n)
        problems_add(p, NULL, 0, "the nearest mesh on %d rank%s: %s", ranks, ranks == 1 ? "" : "s",
                     text);
}

bool mesh_check(int dp, int pp, bool mirrored, int ranks, int layers, struct problems *p)
{
    int before = p->n;
    if (dp < 1) problems_add(p, NULL, 0, "mesh: dp is %d, it must be at least 1", dp);
    if (pp < 1) problems_add(p, NULL, 0, "mesh: pp is %d, it must be at least 1", pp);
    if (dp >= 1 && pp >= 1 && (long)dp * pp != ranks)
        problems_add(p, NULL, 0, "mesh: dp %d x pp %d takes %ld ranks, the job has %d", dp, pp,
                     (long)dp * pp, ranks);
    if (mirrored && pp >= 1 && pp % 2)
        problems_add(
            p, NULL, 0,
            "mesh: pp is %d, but a schedule of two directions needs an even number of stages", pp);
    if (pp > layers)
        problems_add(p, NULL, 0, "mesh: %d stages cannot share %d layers, each needs one", pp,
                     layers);
    if (p->n > before) propose(dp, pp, mirrored, ranks, layers, p);
    return p->n == before;
}

static MPI_Comm split(MPI_Comm comm, int color, int key)
{
    MPI_Comm out;
    MPI_OK(MPI_Comm_split(comm, color, key, &out));
    MPI_OK(MPI_Comm_set_errhandler(out, MPI_ERRORS_RETURN));
    return out;
}

void mesh_split(struct mesh *m, const struct world *w, int dp, int pp, bool mirrored)
{
    *m = (struct mesh){.dp = dp, .pp = pp, .ep = 1, .tp = 1, .mirrored = mirrored};
    INVARIANT(dp * pp == w->size, "dp %d pp %d, %d ranks", dp, pp, w->size);
    mesh_coords(m, w->rank, &m->d, &m->p);
    int low = m->p, high = 0;
    m->replica_inner = 1;
    if (mirrored && pp > 1) {
        high = m->p >= pp / 2;
        low = high ? pp - 1 - m->p : m->p;
        m->replica_inner = 2;
    }
    m->pipe = split(w->comm, m->d, m->p);
    m->data = split(w->comm, m->p, m->d);
    m->replica = split(w->comm, low, 2 * m->d + high);
}

void mesh_free(struct mesh *m)
{
    if (!m || m->pp == 0) return;
    MPI_OK(MPI_Comm_free(&m->pipe));
    MPI_OK(MPI_Comm_free(&m->data));
    MPI_OK(MPI_Comm_free(&m->replica));
    *m = (struct mesh){0};
}
