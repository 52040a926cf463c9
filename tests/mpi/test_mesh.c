/* ranks: 1 2 4 */
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

static void check_mesh(int dp, int pp, bool mirrored)
{
    struct mesh m;
    int in[16];
    mesh_split(&m, &ck_world, dp, pp, mirrored);
    ck_all(mesh_rank(&m, m.d, m.p) == ck_world.rank, "rank of (%d, %d)", m.d, m.p);
    ck_all(rank_of(m.pipe) == m.p && size_of(m.pipe) == pp, "pipe");
    ck_all(rank_of(m.data) == m.d && size_of(m.data) == dp, "data");
    members(m.pipe, in);
    bool ok = true;
    for (int p = 0; p < pp; p++) ok = ok && in[p] == mesh_rank(&m, m.d, p);
    ck_all(ok, "members of pipe");
    members(m.data, in);
    for (int d = 0; d < dp; d++) ok = ok && in[d] == mesh_rank(&m, d, m.p);
    ck_all(ok, "members of data");
    members(m.replica, in);
    int inner = mirrored ? 2 : 1, lo = mirrored && m.p >= pp / 2 ? pp - 1 - m.p : m.p;
    ck_all(m.replica_inner == inner && size_of(m.replica) == dp * inner, "size of replica");
    for (int d = 0; d < dp; d++) {
        ok = ok && in[d * inner] == mesh_rank(&m, d, lo);
        if (mirrored) ok = ok && in[d * 2 + 1] == mesh_rank(&m, d, pp - 1 - lo);
    }
    ck_all(ok, "members of replica");
    mesh_free(&m);
    mesh_free(&m);
}

START_TEST(every_mesh_of_these_ranks)
{
    for (int pp = 1; pp <= ck_world.size; pp++) {
        if (ck_world.size % pp) continue;
        check_mesh(ck_world.size / pp, pp, false);
        if (pp % 2 == 0) check_mesh(ck_world.size / pp, pp, true);
    }
}
END_TEST

int main(int argc, char **argv)
{
    const TTest *tests[] = {every_mesh_of_these_ranks};
    return check_mpi_main("mesh", tests, 1, argc, argv);
}
