/* The floor of a start: what MPI alone takes for a job like that of startup.sh. MPI begins as duet
 * begins it, or with `plain` as it comes; every rank hears where all are; the communicators are
 * made that a mesh of dp alone needs. Then rank 0 says so, and MPI ends. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/mpi_up.h"
#include "comm/roster.h"

/* As world_up and run_open do it, in their order. */
int main(int argc, char **argv)
{
    int rank, size, granted;
    MPI_Comm copy[3];
    if (argc > 1 && strcmp(argv[1], "plain") == 0)
        MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &granted);
    else
        mpi_up(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    struct roster_card mine = {.id = 1}, *all = calloc((size_t)size, sizeof *all);
    if (!all) return 1;
    MPI_Allgather(&mine, (int)sizeof mine, MPI_BYTE, all, (int)sizeof mine, MPI_BYTE,
                  MPI_COMM_WORLD);
    MPI_Comm_dup(MPI_COMM_WORLD, &copy[0]); /* for sums of gradients */
    MPI_Comm_dup(MPI_COMM_SELF, &copy[1]);  /* the pipeline, and its messages */
    MPI_Comm_dup(MPI_COMM_SELF, &copy[2]);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) fprintf(stderr, "all are there\n");
    for (int i = 0; i < 3; i++) MPI_Comm_free(&copy[i]);
    free(all);
    mpi_down();
    return 0;
}
