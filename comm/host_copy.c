/* The first rank of a host makes a file of memory (memfd_create), the others open it through its
 * descriptor in /proc. No name in /dev/shm is left when ranks are killed, and the size that a
 * container gives /dev/shm is no limit. */
#define _GNU_SOURCE /* memfd_create */
#include "comm/host_copy.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "comm/base/checksum.h"
#include "comm/base/memory.h"
#include "comm/coll.h"
#include "comm/mpi_ok.h"
#include "comm/world.h"

static const char USE[] = "a copy of what all ranks read";

/* What the first rank of a host tells the others. fd -1: there is nothing to map. */
struct ticket {
    int64_t pid, fd;
    uint64_t sum;
};

/* A limit on the size of files holds for this one, too, and reaching it is a signal. */
static bool may_be_as_large(size_t n)
{
    struct rlimit most;
    return n > 0 && getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur >= n;
}

/* NULL and fd -1: the system gives none. */
static void *memory_of_host(size_t n, int *fd)
{
    *fd = may_be_as_large(n) ? memfd_create("duet", MFD_CLOEXEC) : -1;
    if (*fd < 0) return NULL;
    void *at = ftruncate(*fd, (off_t)n) == 0
                   ? mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0)
                   : MAP_FAILED;
    if (at != MAP_FAILED) return at;
    close(*fd);
    *fd = -1;
    return NULL;
}

/* Containers may have process numbers of their own: it must be the memory that was meant. */
static void *map_of_host(const struct ticket *t, size_t n)
{
    char path[64];
    struct stat s;
    snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)t->pid, (long long)t->fd);
    int fd = t->fd >= 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0) return NULL;
    bool may = fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && (uint64_t)s.st_size == n;
    void *at = may ? mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    if (at == MAP_FAILED) return NULL;
    if (checksum(at, n, 0) == t->sum) return at;
    munmap(at, n);
    return NULL;
}

static bool all_of(MPI_Comm comm, bool ok)
{
    int mine = ok, all;
    MPI_Request request;
    MPI_OK(MPI_Iallreduce(&mine, &all, 1, MPI_INT, MPI_MIN, comm, &request));
    world_wait(&request, 1);
    return all;
}

/* The descriptor stays open until all have mapped it. */
static void share_in_host(struct host_copy *c, MPI_Comm host, int rank, int fd)
{
    struct ticket t = {.pid = getpid(), .fd = fd};
    if (rank == 0) t.sum = checksum(c->at, c->n, 0);
    coll_bcast(&t, sizeof t, 0, host);
    if (rank > 0) c->at = map_of_host(&t, c->n);
    const bool all = all_of(host, c->at && t.fd >= 0);
    c->shared = all || (rank == 0 && fd >= 0);
    if (!all && rank > 0) {
        if (c->at) munmap(c->at, c->n);
        c->at = memory_take(c->n + 1, 1, USE);
    }
    if (!all) coll_bcast(c->at, c->n, 0, host);
    if (rank == 0 && fd >= 0) {
        close(fd);
        mprotect(c->at, c->n, PROT_READ);
    }
}

/* Between the first ranks of the hosts, then inside each. */
static void copy_by_host(struct host_copy *c, void (*fill)(const void *ctx, void *to),
                         const void *ctx, MPI_Comm comm, int node)
{
    int rank, in_host, fd = -1;
    MPI_OK(MPI_Comm_rank(comm, &rank));
    MPI_Comm host = mpi_split(comm, node, rank);
    MPI_OK(MPI_Comm_rank(host, &in_host));
    MPI_Comm first = mpi_split(comm, in_host == 0 ? 0 : MPI_UNDEFINED, rank);
    if (in_host == 0) {
        c->at = memory_of_host(c->n, &fd);
        if (!c->at) c->at = memory_take(c->n + 1, 1, USE);
        if (rank == 0) fill(ctx, c->at);
        coll_bcast(c->at, c->n, 0, first);
        MPI_OK(MPI_Comm_free(&first));
    }
    share_in_host(c, host, in_host, fd);
    MPI_OK(MPI_Comm_free(&host));
}

/* Only rank 0 knows how much there is. */
void host_copy_make(struct host_copy *c, size_t n, void (*fill)(const void *ctx, void *to),
                    const void *ctx, MPI_Comm comm, int node)
{
    int rank;
    uint64_t bytes = n;
    MPI_OK(MPI_Comm_rank(comm, &rank));
    coll_bcast(&bytes, sizeof bytes, 0, comm);
    *c = (struct host_copy){.n = (size_t)bytes};
    if (node != HOST_COPY_EACH) {
        copy_by_host(c, fill, ctx, comm, node);
        return;
    }
    c->at = memory_take(c->n + 1, 1, USE);
    if (rank == 0) fill(ctx, c->at);
    coll_bcast(c->at, c->n, 0, comm);
}

void host_copy_free(struct host_copy *c)
{
    if (c->shared)
        munmap(c->at, c->n);
    else
        free(c->at);
    *c = (struct host_copy){.at = NULL};
}
