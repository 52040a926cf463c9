#include "trainer/run/kernels.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"

uint64_t kernels_sum(const struct ops *ops)
{
    char text[128];
    if (!ops) return 0;
    ops_kernels(text, sizeof text, ops);
    return checksum(text, strlen(text), 0);
}

/* Hosts of a cluster may differ in their processors, and what one rank samples another may learn
 * from. */
void kernels_alike(const struct world *w, const struct ops *ops)
{
    struct problems p = {0};
    char mine[128] = {0}, theirs[128], host[sizeof w->host];
    ops_kernels(mine, sizeof mine, ops);
    memcpy(theirs, mine, sizeof mine);
    memcpy(host, w->host, sizeof host);
    MPI_OK(MPI_Bcast(theirs, sizeof theirs, MPI_CHAR, 0, w->comm));
    MPI_OK(MPI_Bcast(host, (int)sizeof host, MPI_CHAR, 0, w->comm));
    if (strcmp(mine, theirs) != 0)
        problems_add(&p, NULL, 0,
                     "host %s (rank %d) uses the kernels %s, host %s (rank %d) uses %s, and their "
                     "results differ in the last bits: set DUET_ISA and ONEDNN_MAX_CPU_ISA on all "
                     "ranks to what every host has (make info lists it)",
                     w->host, w->first + w->rank, mine, host, w->first, theirs);
    world_agree_problems(w, &p, EXIT_USER);
}

/* Ranks on equal machines have the same list: each is said once. */
void kernels_slow(const struct world *w)
{
    char text[512];
    ops_slow_products(text, sizeof text);
    char *all = memory_take((size_t)w->size, sizeof text, "names of products");
    MPI_OK(MPI_Gather(text, sizeof text, MPI_CHAR, all, sizeof text, MPI_CHAR, 0, w->comm));
    for (int r = 0; w->rank == 0 && r < w->size; r++) {
        const char *theirs = all + (size_t)r * sizeof text;
        bool said = theirs[0] == '\0';
        for (int i = 0; i < r; i++)
            said = said || strcmp(all + (size_t)i * sizeof text, theirs) == 0;
        if (!said)
            log_info(
                "warning: products of the weights %s are computed row by row, slowly: no multi-row "
                "oneDNN kernel of this machine gives a row the same bits whatever the other rows "
                "are. Try another ONEDNN_MAX_CPU_ISA (make info lists them) or another oneDNN",
                theirs);
    }
    free(all);
}
