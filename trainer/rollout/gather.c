#include "trainer/rollout/gather.h"
#include <string.h>

/* One message of ints: log-probabilities travel as their bits. */
static int pack_mine(struct rollout *r, int answers)
{
    int *out = r->gather_send, n = 0;
    for (int i = 0; i < answers; i++) {
        if (!r->mine[i]) continue;
        const struct answer *a = &r->answer[i];
        out[n++] = i;
        out[n++] = a->n;
        out[n++] = a->truncated;
        memcpy(out + n, a->token, (size_t)a->n * sizeof(int));
        n += a->n;
        memcpy(out + n, a->logp, (size_t)a->n * sizeof(float));
        n += a->n;
    }
    return n;
}

/* A rank's own answers are among them and are written over with the same bits. */
static int unpack_all(struct rollout *r, int words)
{
    const int *in = r->gather_all;
    int found = 0;
    for (int n = 0; n < words; found++) {
        struct answer *a = &r->answer[in[n]];
        a->n = in[n + 1];
        a->truncated = in[n + 2] != 0;
        n += 3;
        memcpy(a->token, in + n, (size_t)a->n * sizeof(int));
        n += a->n;
        memcpy(a->logp, in + n, (size_t)a->n * sizeof(float));
        n += a->n;
    }
    return found;
}

/* Only a job that was stopped may have fewer answers than were asked for. */
long gather_answers(struct rollout *r, int answers)
{
    int mine = pack_mine(r, answers), total = 0;
    MPI_OK(MPI_Allgather(&mine, 1, MPI_INT, r->gather_count, 1, MPI_INT, r->world->comm));
    for (int i = 0; i < r->world->size; i++) {
        r->gather_offset[i] = total;
        total += r->gather_count[i];
    }
    MPI_OK(MPI_Allgatherv(r->gather_send, mine, MPI_INT, r->gather_all, r->gather_count,
                          r->gather_offset, MPI_INT, r->world->comm));
    int found = unpack_all(r, total);
    INVARIANT(found == answers || r->job->stop, "%d answers of %d", found, answers);
    long tokens = 0;
    for (int i = 0; i < answers; i++) tokens += r->answer[i].n;
    return tokens;
}
