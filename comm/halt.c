#include "comm/halt.h"

#include <stdlib.h>
#include "comm/base/memory.h"
#include "comm/world.h"

enum { NOTHING = -1 };

struct halt {
    MPI_Comm comm;
    int me, n;
    long *said;           /* (n) steps, NOTHING so far */
    MPI_Request *request; /* (2 * n): what the others say, what I tell them */
};

struct halt *halt_new(MPI_Comm comm)
{
    struct halt *h = memory_take(1, sizeof *h, "agreement on a stop");
    MPI_OK(MPI_Comm_dup(comm, &h->comm));
    MPI_OK(MPI_Comm_set_errhandler(h->comm, MPI_ERRORS_RETURN));
    MPI_OK(MPI_Comm_rank(h->comm, &h->me));
    MPI_OK(MPI_Comm_size(h->comm, &h->n));
    h->said = memory_take((size_t)h->n, sizeof *h->said, "agreement on a stop");
    h->request = memory_take(2 * (size_t)h->n, sizeof *h->request, "agreement on a stop");
    for (int i = 0; i < h->n; i++) {
        h->said[i] = NOTHING;
        h->request[i] = h->request[h->n + i] = MPI_REQUEST_NULL;
        if (i != h->me) MPI_OK(MPI_Irecv(&h->said[i], 1, MPI_LONG, i, 0, h->comm, &h->request[i]));
    }
    return h;
}

void halt_free(struct halt *h)
{
    if (!h) return;
    halt_agree(h);
    MPI_OK(MPI_Comm_free(&h->comm));
    free(h->said);
    free(h->request);
    free(h);
}

bool halt_heard(struct halt *h)
{
    bool heard = false;
    for (int i = 0; i < h->n; i++) {
        int done = 0;
        if (i == h->me) continue;
        MPI_OK(MPI_Test(&h->request[i], &done, MPI_STATUS_IGNORE));
        heard = heard || done;
    }
    return heard;
}

void halt_announce(struct halt *h, long step)
{
    if (h->said[h->me] != NOTHING) return;
    INVARIANT(step >= 0, "step %ld", step);
    h->said[h->me] = step;
    for (int i = 0; i < h->n; i++)
        if (i != h->me)
            MPI_OK(MPI_Isend(&h->said[h->me], 1, MPI_LONG, i, 0, h->comm, &h->request[h->n + i]));
}

long halt_agree(struct halt *h)
{
    long last = NOTHING;
    INVARIANT(h->said[h->me] != NOTHING, "group %d has not announced", h->me);
    die_place("agreeing with the other sites on a step to stop at");
    world_wait(h->request, 2 * h->n);
    die_place(NULL);
    for (int i = 0; i < h->n; i++) last = h->said[i] > last ? h->said[i] : last;
    return last;
}
