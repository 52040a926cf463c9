#include "comm/mpi_up.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/nap.h"
#include "comm/mpi_ok.h"

/* srun without PMIx starts ranks that cannot find each other: MPI_Init would fail on each in many
 * words, or every rank take itself for the only one. A mistake of the command line, said once. */
static void refuse_srun_without_pmix(void)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS"), *task = getenv("SLURM_PROCID");
    if (!tasks || strtol(tasks, NULL, 10) < 2) return;
    if (getenv("PMIX_RANK") || getenv("PMI_RANK") || getenv("OMPI_COMM_WORLD_RANK")) return;
    if (task && strcmp(task, "0") == 0)
        fprintf(stderr,
                "srun started %s ranks that cannot find each other\n"
                "  why:  srun was not told to use PMIx, or this Slurm lacks it\n  fix:  srun "
                "--mpi=pmix ... (srun --mpi=list shows whether it is available), or mpirun inside "
                "the job, or launch/submit.sh, which chooses what is available\n",
                tasks);
    exit(EXIT_USER);
}

static void tell_mpi(const char *const what[][2], size_t n)
{
    for (size_t i = 0; i < n; i++)
        SYS_OK(setenv(what[i][0], what[i][1], 0) == 0, NULL, "setenv %s", what[i][0]);
}

/* A rank without a launcher is the only one. Left to itself Open MPI starts a daemon for it,
 * which would add its own lines to our last message and delays the start (a wrong recipe was told
 * after 0.36 s in place of 0.70 s on a busy machine); only ranks that start others need it. Without
 * the daemon all such ranks of a host have one job number, hence one name for session folders and
 * shared memory: they do without. */
static void be_alone_if_so(void)
{
    static const char *const told[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
    static const char *const tell[][2] = {{"OMPI_MCA_ess_singleton_isolated", "1"},
                                          {"OMPI_MCA_orte_create_session_dirs", "0"},
                                          {"OMPI_MCA_btl", "self"}};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (getenv(told[i])) return;
    tell_mpi(tell, sizeof tell / sizeof *tell);
}

/* In MPI_Init every rank has hwloc describe its host: processors, but also each device of the PCI
 * bus and, by plugins, X servers, OpenCL, CUDA and an XML library. Ranks are bound by their
 * launcher, and no transport that we choose asks where a device is. */
static void look_at_less(void)
{
    static const char *const tell[][2] = {
        {"HWLOC_PLUGINS_PATH", ""},
        {"HWLOC_COMPONENTS", "-linux:pci,-linux:io"},
    };
    tell_mpi(tell, sizeof tell / sizeof *tell);
}

/* Open MPI loads some fifty plugins, to ask each whether it is of use. These never are: of a daemon
 * or a launcher, where this is a rank; collectives that count, slow down or join other jobs, and
 * those of the oldest kind, which stay behind all others, or that are off unless asked for;
 * windows, which we do not open, but for one kind; segments of shared memory other than of mapped
 * files, of which one opens a file that all ranks of the host want at once; launchers of other
 * systems; sums of our few integers by vectors; large pages for MPI's own memory. */
static void load_less(void)
{
    static const char *const tell[][2] = {
        {"OMPI_MCA_state", "^orted,hnp,novm,tool"},
        {"OMPI_MCA_errmgr", "^default_orted,default_hnp,default_tool"},
        {"OMPI_MCA_coll", "^monitoring,sync,inter,sm,adapt,han"},
        {"OMPI_MCA_osc", "^monitoring,rdma,pt2pt,ucx"},
        {"OMPI_MCA_reachable", "^netlink"},
        {"OMPI_MCA_shmem", "^posix,sysv"},
        {"OMPI_MCA_schizo", "^jsm,flux"},
        {"OMPI_MCA_pmix", "^flux"},
        {"OMPI_MCA_op", "^avx"},
        {"OMPI_MCA_mpool", "^hugepage"},
    };
    tell_mpi(tell, sizeof tell / sizeof *tell);
}

/* Who comes early sleeps 100 us at a time inside MPI until the last has come; with many ranks on
 * few cores that keeps those that are late from working. */
bool mpi_up(int *argc, char ***argv)
{
    int granted = MPI_THREAD_SINGLE;
    refuse_srun_without_pmix();
    be_alone_if_so();
    look_at_less();
    load_less();
    nap_blunt();
    MPI_OK(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &granted));
    nap_sharpen();
    return granted == MPI_THREAD_MULTIPLE;
}

void mpi_down(void)
{
    nap_blunt();
    MPI_OK(MPI_Finalize());
}
