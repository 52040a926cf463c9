#include "trainer/rollout/gather.h"

/* n, truncated, rank + 1 */
enum { TRUNCATED_BIT = 31, RANK_BIT = 32 };

static uint64_t tell(const struct rollout *r, const struct answer *a)
{
    uint64_t rank = (uint64_t)r->world->rank + 1, truncated = a->truncated;
    return (uint64_t)a->n | truncated << TRUNCATED_BIT | rank << RANK_BIT;
}

static void hear(struct answer *a, uint64_t told)
{
    a->n = (int)(told & (((uint64_t)1 << TRUNCATED_BIT) - 1));
    a->truncated = told >> TRUNCATED_BIT & 1;
    a->rank = (int)(told >> RANK_BIT) - 1;
}

/* Each is told by one rank, so that their sum is what it said. Only a job that was stopped may have
 * fewer answers than were asked for. */
long gather_answers(struct rollout *r, int answers)
{
    MPI_Request sum;
    int found = 0;
    long tokens = 0;
    for (int i = 0; i < answers; i++) r->told[i] = r->answer[i].token ? tell(r, &r->answer[i]) : 0;
    die_place("rollout: lengths of all answers");
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, r->told, answers, MPI_UINT64_T, MPI_SUM, r->world->comm,
                          &sum));
    world_wait(&sum, 1);
    die_place(NULL);
    for (int i = 0; i < answers; i++) {
        found += r->told[i] != 0;
        hear(&r->answer[i], r->told[i]);
        tokens += r->answer[i].n;
    }
    INVARIANT(found == answers || r->job->stop, "%d answers of %d", found, answers);
    return tokens;
}
