/* See index.h: ranks that have the same files read them together. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/file.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/coll.h"
#include "trainer/data/index.h"

/* The lowest of them joins and tells the others. */
struct team {
    MPI_Comm comm; /* MPI_COMM_NULL: one rank alone */
    int rank, size;
    bool made; /* comm is of the team alone */
};

/* Hosts that have copies of their own read those: whether they are the same is then seen by their
 * sums, as of everything that each host has for itself. */
static struct team team_of(const struct together *t, uint64_t identity)
{
    struct team team = {MPI_COMM_NULL, 0, 1, false};
    if (!t || t->world->size == 1) return team;
    const struct world *w = t->world;
    uint64_t *all = memory_take((size_t)w->size, sizeof *all, "who has which files");
    MPI_Request request;
    MPI_OK(MPI_Ibarrier(w->comm, &request)); /* who is late is waited for here */
    world_wait(&request, 1);
    /* MPI_Iallgather would connect every rank with all others (comm/roster.c). */
    MPI_OK(MPI_Allgather(&identity, 1, MPI_UINT64_T, all, 1, MPI_UINT64_T, w->comm));
    int first = 0;
    while (all[first] != identity) first++;
    for (int r = 1; r < w->size; r++) team.made |= all[r] != all[0];
    free(all);
    team.comm = team.made ? mpi_split(w->comm, first, w->rank) : w->comm;
    MPI_OK(MPI_Comm_rank(team.comm, &team.rank));
    MPI_OK(MPI_Comm_size(team.comm, &team.size));
    return team;
}

/* What the first rank has, everybody gets: bytes of the heap, of others than the first. */
static unsigned char *share(const struct team *t, unsigned char *bytes, size_t *n)
{
    uint64_t bytes_n = *n;
    coll_bcast(&bytes_n, sizeof bytes_n, 0, t->comm);
    if (t->rank > 0) bytes = memory_take((size_t)bytes_n + 1, 1, "an index of lines");
    coll_bcast(bytes, (size_t)bytes_n, 0, t->comm);
    *n = (size_t)bytes_n;
    return bytes;
}

/* Those that the first rank has added, as texts one behind the other. */
static void share_problems(const struct team *t, struct problems *p, int before)
{
    size_t n = 0, at = 0;
    unsigned char *texts = NULL;
    for (int i = before; t->rank == 0 && i < p->n; i++) n += strlen(p->text[i]) + 1;
    if (t->rank == 0) texts = memory_take(n + 1, 1, "problems");
    for (int i = before; t->rank == 0 && i < p->n; i++) {
        size_t bytes = strlen(p->text[i]) + 1;
        memcpy(texts + at, p->text[i], bytes);
        at += bytes;
    }
    texts = share(t, texts, &n);
    for (const char *text = (const char *)texts; t->rank > 0 && n > 0;) {
        size_t bytes = strlen(text) + 1;
        problems_add(p, NULL, 0, "%s", text);
        text += bytes;
        n -= bytes;
    }
    free(texts);
}

/* Small ones are cheaper copied than shared. */
void index_share(struct data_index *x, bool large, MPI_Comm comm, int node)
{
    struct host_copy copy;
    int rank;
    MPI_OK(MPI_Comm_rank(comm, &rank));
    host_copy_make(&copy, rank == 0 ? index_image_bytes(x) : 0, index_image_write, x, comm,
                   large ? node : HOST_COPY_EACH);
    index_lay(x, copy);
}

/* What was kept, as the first rank reads it. Nothing is said where there is none. */
static void read_kept(struct data_index *x, const char *path, uint64_t identity)
{
    char why[FILE_WHY];
    size_t n;
    unsigned char *kept = (unsigned char *)file_read(path, FILE_REGULAR, SIZE_MAX, &n, why);
    if (!kept) return;
    x->found = index_take(x, identity, kept, n);
    if (!x->found)
        log_info("%s is %s: they are read again", path,
                 index_whole(kept, n) ? "of other data files, or of these before they changed"
                                      : "damaged, so it does not say what is in the data files");
    free(kept);
}

static void take_kept(const struct team *t, struct data_index *x, const char *path,
                      uint64_t identity)
{
    if (t->rank == 0) read_kept(x, path, identity);
    if (t->size > 1) coll_bcast(&x->found, sizeof x->found, 0, t->comm);
}

/* Everybody's part to the first rank, which joins them. */
static void join(const struct team *t, struct data_index *x, const struct index_job *job,
                 struct problems *p)
{
    size_t n, *offset = memory_take((size_t)t->size + 1, sizeof *offset, "parts of an index");
    unsigned char *all = index_part(x, job, t->rank, t->size, &n);
    if (t->size > 1) {
        unsigned char *part = all;
        all = coll_gather_bytes(part, n, offset, 0, t->comm);
        free(part);
    }
    if (t->rank == 0) index_join(x, job, &(struct index_parts){all, offset, t->size}, p);
    free(all);
    free(offset);
}

bool index_make(struct data_index *x, const struct index_job *job, const struct together *t,
                struct problems *p)
{
    const int before = p->n;
    uint64_t identity = index_identity(x, job);
    struct team team = team_of(t, identity);
    if (job->large && t && t->index) take_kept(&team, x, t->index, identity);
    if (!x->found) join(&team, x, job, p);
    if (!x->found && team.size > 1) share_problems(&team, p, before);
    if (t && team.size > 1 && p->n == before) index_share(x, job->large, team.comm, t->world->node);
    if (team.made) MPI_OK(MPI_Comm_free(&team.comm));
    return p->n == before;
}
