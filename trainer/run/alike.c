#include "trainer/run/alike.h"

#include <string.h>
#include "comm/base/problems.h"

enum { MOST = 8 };

/* Compared are the greatest of each sum and the least, which is the greatest of the inverse. */
bool alike(const struct world *w, const struct problems *p, const struct alike *item, int n)
{
    uint64_t all[2 * MOST + 1] = {0};
    MPI_Request request;
    INVARIANT(n <= MOST, "%d things to compare", n);
    for (int i = 0; i < n; i++) {
        all[2 * i] = item[i].sum;
        all[2 * i + 1] = ~item[i].sum;
    }
    all[2 * n] = p->n > 0;
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, all, 2 * n + 1, MPI_UINT64_T, MPI_MAX, w->comm, &request));
    world_wait(&request, 1);
    for (int i = 0; i < n; i++)
        if (all[2 * i] != ~all[2 * i + 1]) return false;
    return all[2 * n] == 0;
}

/* Checksums, not contents: one broadcast an item, whatever its size. */
static void name_differences(const struct world *w, const struct alike *item, int n)
{
    struct problems p = {0};
    char first[sizeof w->host];
    memcpy(first, w->host, sizeof first);
    MPI_OK(MPI_Bcast(first, (int)sizeof first, MPI_CHAR, 0, w->comm));
    for (int i = 0; i < n; i++) {
        uint64_t theirs = item[i].sum;
        MPI_OK(MPI_Bcast(&theirs, 1, MPI_UINT64_T, 0, w->comm));
        if (theirs != item[i].sum)
            problems_add(&p, NULL, 0,
                         "%s on host %s (rank %d) differs from the one on host %s (rank %d): give "
                         "all hosts the same file, on a shared file system or by copying it",
                         item[i].what, w->host, w->first + w->rank, first, w->first);
    }
    world_agree_problems(w, &p, EXIT_USER);
}

/* The largest, and the largest of the complements. */
bool alike_everywhere(const struct world *w, uint64_t sum)
{
    uint64_t mine[2] = {sum, ~sum}, most[2];
    MPI_Request request;
    MPI_OK(MPI_Iallreduce(mine, most, 2, MPI_UINT64_T, MPI_MAX, w->comm, &request));
    world_wait(&request, 1);
    return most[0] == ~most[1] && sum != 0;
}

void alike_or_end(const struct world *w, struct problems *p, const struct alike *item, int n)
{
    if (alike(w, p, item, n)) return;
    world_agree_problems(w, p, EXIT_USER);
    name_differences(w, item, n);
}
