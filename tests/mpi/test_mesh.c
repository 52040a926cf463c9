/* ranks: 1 2 4 8 */
/* The communicators of a mesh: who is in them, in which order. */
#include "tests/support/check_mpi.h"

#include "comm/mesh.h"

static int rank_of(MPI_Comm comm)
{
    int r;
    MPI_OK(MPI_Comm_rank(comm, &r));
    return r;
}

static int size_of(MPI_Comm comm)
{
    int n;
    MPI_OK(MPI_Comm_size(comm, &n));
    return n;
}

/* The world ranks of the members, in the communicator's order. */
static void members(MPI_Comm comm, int *ranks)
{
    MPI_OK(MPI_Allgather(&ck_world.rank, 1, MPI_INT, ranks, 1, MPI_INT, comm));
}

static bool is_pipe(const struct mesh *m)
{
    int in[16];
    members(m->pipe, in);
    bool ok = rank_of(m->pipe) == m->p && size_of(m->pipe) == m->pp;
    for (int p = 0; p < m->pp; p++) ok = ok && in[p] == mesh_rank(m, m->d, p);
    return ok;
}

static bool is_tensor(const struct mesh *m)
{
    int in[16];
    members(m->tensor, in);
    bool ok = rank_of(m->tensor) == m->t && size_of(m->tensor) == m->tp;
    for (int t = 0; t < m->tp; t++)
        ok = ok && in[t] == mesh_rank_at(m, (struct mesh_at){m->d, m->p, t});
    return ok;
}

static bool is_expert(const struct mesh *m)
{
    int in[16], first = m->d / m->ep * m->ep;
    members(m->expert, in);
    bool ok = rank_of(m->expert) == m->d % m->ep && size_of(m->expert) == m->ep;
    for (int e = 0; e < m->ep; e++) ok = ok && in[e] == mesh_rank(m, first + e, m->p);
    return ok;
}

/* The members that hold what this rank holds: every `each`-th pipeline from `first` on. */
static bool is_replica(const struct mesh *m, MPI_Comm comm, int first, int each)
{
    int in[16], inner = m->mirrored ? 2 : 1, n = m->dp / each * inner;
    int lo = m->mirrored && m->p >= m->pp / 2 ? m->pp - 1 - m->p : m->p;
    members(comm, in);
    bool ok = m->replica_inner == inner && size_of(comm) == n;
    for (int i = 0; i < n; i++) {
        int p = i % inner ? m->pp - 1 - lo : lo;
        ok = ok && in[i] == mesh_rank(m, first + i / inner * each, p);
    }
    return ok;
}

/* What the planner knows of a group without a communicator. */
static bool is_axis(const struct mesh *m, enum mesh_axis axis, MPI_Comm comm)
{
    int in[16];
    struct mesh_at at = {m->d, m->p, m->t};
    members(comm, in);
    bool ok =
        size_of(comm) == mesh_axis_size(m, axis) && rank_of(comm) == mesh_axis_number(m, axis, at);
    for (int i = 0; ok && i < size_of(comm); i++) ok = in[i] == mesh_axis_rank(m, axis, at, i);
    return ok;
}

static void check_axes(const struct mesh *m)
{
    MPI_Comm const comm[MESH_AXES] = {m->pipe,   MPI_COMM_NULL, m->tensor,
                                      m->expert, m->replica,    m->expert_replica};
    for (int axis = 0; axis < MESH_AXES; axis++)
        ck_all(axis == MESH_DATA || is_axis(m, (enum mesh_axis)axis, comm[axis]),
               "axis %d by arithmetic", axis);
}

static void check_mesh(struct mesh_shape s)
{
    struct mesh m;
    mesh_split(&m, &ck_world, s);
    ck_all(mesh_rank(&m, m.d, m.p) == ck_world.rank, "rank of (%d, %d, %d)", m.d, m.p, m.t);
    ck_all(is_pipe(&m), "members of pipe");
    ck_all(is_tensor(&m), "members of tensor");
    ck_all(is_expert(&m), "members of expert");
    ck_all(is_replica(&m, m.replica, 0, 1), "members of replica");
    ck_all(is_replica(&m, m.expert_replica, m.d % m.ep, m.ep), "members of expert_replica");
    check_axes(&m);
    mesh_free(&m);
    mesh_free(&m);
}

START_TEST(every_mesh_of_these_ranks)
{
    for (int pp = 1; pp <= ck_world.size; pp++)
        for (int tp = 1; ck_world.size % pp == 0 && tp <= ck_world.size / pp; tp++) {
            int dp = ck_world.size / pp / tp;
            for (int ep = 1; dp * pp * tp == ck_world.size && ep <= dp; ep++) {
                if (dp % ep) continue;
                check_mesh((struct mesh_shape){dp, pp, tp, ep, false});
                if (pp % 2 == 0) check_mesh((struct mesh_shape){dp, pp, tp, ep, true});
            }
        }
}
END_TEST

#define TESTS(X) X(every_mesh_of_these_ranks)

MPI_MAIN("mesh")
