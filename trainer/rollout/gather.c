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

/* With an environment also observed, turns. */
enum { TURNS_BIT = 32 };

static uint64_t tell_turns(const struct rollout *r, const struct answer *a)
{
    (void)r;
    return (uint64_t)a->observed | (uint64_t)a->turns << TURNS_BIT;
}

static void hear_turns(struct answer *a, uint64_t told)
{
    a->observed = (int)(told & (((uint64_t)1 << TURNS_BIT) - 1));
    a->turns = (unsigned short)(told >> TURNS_BIT);
}

/* Each is told by one rank, so that their sum is what it said. */
static void share(struct rollout *r, int answers,
                  uint64_t (*say)(const struct rollout *, const struct answer *))
{
    MPI_Request sum;
    for (int i = 0; i < answers; i++) r->told[i] = r->answer[i].token ? say(r, &r->answer[i]) : 0;
    die_place("rollout: lengths of all answers");
    MPI_OK(MPI_Iallreduce(MPI_IN_PLACE, r->told, answers, MPI_UINT64_T, MPI_SUM, r->world->comm,
                          &sum));
    world_wait(&sum, 1);
    die_place(NULL);
}

/* Only a job that was stopped may have fewer answers than were asked for. */
long gather_answers(struct rollout *r, int answers)
{
    int found = 0;
    long tokens = 0;
    if (r->job->environment.turn_ended) {
        share(r, answers, tell_turns);
        for (int i = 0; i < answers; i++) hear_turns(&r->answer[i], r->told[i]);
    }
    share(r, answers, tell);
    for (int i = 0; i < answers; i++) {
        found += r->told[i] != 0;
        hear(&r->answer[i], r->told[i]);
        tokens += answer_sampled(&r->answer[i]);
    }
    INVARIANT(found == answers || r->job->stop, "%d answers of %d", found, answers);
    return tokens;
}
