/* ranks: 1 2 */
/* Rewards of all ranks: a recipe may use every grader there is. */
#include <string.h>
#include "comm/base/arena.h"
#include "tests/support/check_mpi.h"
#include "trainer/reward/rewards.h"

enum { ANSWERS = 8 };
static const unsigned all_graders = (1u << GRADERS) - 1;

/* Answer i is graded on rank i % size; row j gives it 100 j + i. */
static void grade_own(struct rewards *r, int rank, int size)
{
    rewards_clear(r, all_graders, ANSWERS);
    for (int i = rank; i < ANSWERS; i += size) {
        for (int j = 0; j < GRADERS; j++) r->value[j][i] = (float)(100 * j + i);
        r->vote[i] = (uint64_t)i + 1;
        memset(r->signature[i], i, SIGNATURE);
    }
    for (int j = 0; j < GRADERS; j++) r->lost[j] = r->counts[j][0] = 1;
}

START_TEST(every_grader)
{
    struct arena a = {0};
    struct rewards r = {0};
    rewards_place(&r, all_graders, ANSWERS, &a);
    arena_back(&a, &device_host, a.used);
    rewards_place(&r, all_graders, ANSWERS, &a);
    grade_own(&r, ck_world.rank, ck_world.size);
    rewards_gather(&r, ANSWERS, ck_world.comm);
    for (int i = 0; i < ANSWERS; i++) {
        for (int j = 0; j < GRADERS; j++)
            ck_all(r.value[j][i] == (float)(100 * j + i), "row %d, answer %d", j, i);
        ck_all(r.vote[i] == (uint64_t)i + 1 && r.signature[i][SIGNATURE - 1] == i, "answer %d", i);
    }
    for (int j = 0; j < GRADERS; j++)
        ck_all(r.lost[j] == ck_world.size && r.counts[j][0] == ck_world.size, "row %d", j);
    arena_free(&a);
}
END_TEST

#define TESTS(X) X(every_grader)

MPI_MAIN("rewards")
