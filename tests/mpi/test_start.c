/* ranks: 2 4 8 */
/* What a start asks of MPI, counted: a call that all ranks must come to costs the more the more
 * there are, so the world is made with two, and the groups of a mesh with calls of their members
 * alone. */
#include "tests/support/check_mpi.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "comm/mesh.h"
#include "comm/roster.h"

/* Calls since the program began, as the profiling interface of MPI shows them. */
static int splits, made_of[64], collectives;

static int size_of(MPI_Comm comm)
{
    int n;
    PMPI_Comm_size(comm, &n);
    return n;
}

int MPI_Comm_split(MPI_Comm comm, int color, int key, MPI_Comm *part)
{
    splits++;
    return PMPI_Comm_split(comm, color, key, part);
}

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *part)
{
    splits++;
    return PMPI_Comm_split_type(comm, type, key, info, part);
}

int MPI_Comm_dup(MPI_Comm comm, MPI_Comm *copy)
{
    made_of[size_of(comm)]++;
    return PMPI_Comm_dup(comm, copy);
}

int MPI_Comm_create_group(MPI_Comm comm, MPI_Group group, int tag, MPI_Comm *part)
{
    int n;
    PMPI_Group_size(group, &n);
    made_of[n]++;
    return PMPI_Comm_create_group(comm, group, tag, part);
}

int MPI_Iallreduce(const void *in, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                   MPI_Request *request)
{
    collectives++;
    return PMPI_Iallreduce(in, out, n, type, op, comm, request);
}

int MPI_Iallgather(const void *in, int n, MPI_Datatype type, void *out, int m, MPI_Datatype other,
                   MPI_Comm comm, MPI_Request *request)
{
    collectives++;
    return PMPI_Iallgather(in, n, type, out, m, other, comm, request);
}

int MPI_Allgather(const void *in, int n, MPI_Datatype type, void *out, int m, MPI_Datatype other,
                  MPI_Comm comm)
{
    collectives++;
    return PMPI_Allgather(in, n, type, out, m, other, comm);
}

/* Kept by before_all, since tests agree with collectives of their own. */
static int of_world, splits_of_world, made_of_world;

static void look_at_the_start(void)
{
    of_world = collectives;
    splits_of_world = splits;
    for (int n = 0; n < 64; n++) made_of_world += made_of[n];
}

START_TEST(the_world)
{
    ck_all(of_world == 2, "%d collectives", of_world);
    ck_all(splits_of_world == 0 && made_of_world == 0, "%d splits, %d other communicators",
           splits_of_world, made_of_world);
}
END_TEST

/* Groups of one size that differ: the world has a communicator already, one rank needs none of
 * others. */
static int groups_of(const struct mesh *m, int size)
{
    int n = 0, rank[64], met[MESH_AXES][64];
    const struct mesh_at at = {m->d, m->p, m->t};
    for (int axis = 0; axis < MESH_AXES; axis++) {
        bool fresh = axis != MESH_DATA && mesh_axis_size(m, (enum mesh_axis)axis) == size;
        for (int i = 0; fresh && i < size; i++)
            rank[i] = mesh_axis_rank(m, (enum mesh_axis)axis, at, i);
        for (int i = 0; fresh && i < n; i++)
            fresh = memcmp(met[i], rank, (size_t)size * sizeof *rank) != 0;
        if (fresh) memcpy(met[n++], rank, (size_t)size * sizeof *rank);
    }
    return size == ck_world.size ? 0 : n;
}

static void check_mesh(struct mesh_shape s)
{
    struct mesh m;
    const int before = splits;
    memset(made_of, 0, sizeof made_of);
    mesh_split(&m, &ck_world, s);
    ck_all(splits == before, "%d splits of the world", splits - before);
    for (int n = 1; n <= ck_world.size; n++)
        ck_all(made_of[n] == groups_of(&m, n), "mesh %d x %d x %d: %d communicators of %d ranks",
               s.dp, s.pp, s.tp, made_of[n], n);
    mesh_free(&m);
}

START_TEST(the_groups_of_a_mesh)
{
    const int all = ck_world.size;
    for (int pp = 1; pp <= all; pp *= 2)
        for (int tp = 1; tp <= all / pp; tp *= 2)
            for (int ep = 1; ep <= all / pp / tp; ep *= 2) {
                check_mesh((struct mesh_shape){all / pp / tp, pp, tp, ep, false});
                if (pp > 1) check_mesh((struct mesh_shape){all / pp / tp, pp, tp, ep, true});
            }
}
END_TEST

/* As MPI itself sees it. */
START_TEST(who_is_where)
{
    MPI_Comm local;
    int size, rank;
    MPI_OK(PMPI_Comm_split_type(ck_world.comm, MPI_COMM_TYPE_SHARED, ck_world.rank, MPI_INFO_NULL,
                                &local));
    MPI_OK(MPI_Comm_size(local, &size));
    MPI_OK(MPI_Comm_rank(local, &rank));
    MPI_OK(MPI_Comm_free(&local));
    ck_all(ck_world.local_size == size && ck_world.local_rank == rank, "rank %d of %d is %d of %d",
           ck_world.local_rank, ck_world.local_size, rank, size);
    ck_all(roster_node(ck_world.rank) == ck_world.node, "node %d", ck_world.node);
    ck_all(strcmp(roster_name(ck_world.rank), ck_world.host) == 0, "%s", ck_world.host);
}
END_TEST

/* hwloc's plugins describe X servers, OpenCL, CUDA and the PCI bus. */
START_TEST(mpi_looks_at_less)
{
    char line[512];
    FILE *f = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(f);
    bool plugin = false;
    while (fgets(line, sizeof line, f)) plugin |= strstr(line, "/hwloc_") != NULL;
    fclose(f);
    ck_all(!plugin, "a plugin of hwloc is loaded");
}
END_TEST

/* Inside MPI_Init they are blunt. */
START_TEST(sleeps_are_exact)
{
    const int slack = prctl(PR_GET_TIMERSLACK, 0ul, 0ul, 0ul, 0ul);
    ck_all(slack == 1000, "sleeps may last %d ns longer", slack);
}
END_TEST

#define TESTS(X)            \
    X(the_world)            \
    X(mpi_looks_at_less)    \
    X(sleeps_are_exact)     \
    X(the_groups_of_a_mesh) \
    X(who_is_where)

MPI_MAIN("start", .before_all = look_at_the_start)
