/* ranks: 1 2 4 */
/* Nobody holds all answers: each stays with the rank that sampled it, and a pipeline that is faster
 * than the others takes no more of them than it has room for. */
#include <time.h>
#include "tests/support/check_mpi.h"
#include "tests/support/small_answers.h"

enum { QUESTIONS = 3 };
static struct small_questions questions;

static void questions_make(void)
{
    small_questions_make(&questions, (const int[QUESTIONS]){40, 1, 16}, QUESTIONS);
}

static struct small_shape shape_of(int pipelines)
{
    return (struct small_shape){.model = "qk_norm: true",
                                .precision = PRECISION_FP32,
                                .dp = pipelines,
                                .pp = 1,
                                .schedule = SCHEDULE_1F1B,
                                .layers = 8,
                                .max_context = SMALL_CONTEXT,
                                .micro_batch_tokens = SMALL_CONTEXT,
                                .micro_batches = 16 / pipelines,
                                .decode_slots = 2};
}

enum { ASKED = 16, SHORT = 2 }; /* questions with one answer each; its tokens */
static int held;

/* All ranks but one are slow. */
static void hold(void *slow, int index, const struct answer *a)
{
    (void)index, (void)a;
    held++;
    if (slow) nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

/* The fast pipeline takes no more than twice its share: it has no room for more. */
START_TEST(a_share_each)
{
    static struct question question[ASKED];
    for (int q = 0; q < ASKED; q++) question[q] = questions.question[q % QUESTIONS];
    for (int fast = 0; fast < ck_world.size && ck_world.size > 1; fast++) {
        struct small t;
        small_make(&t, &ck_world, shape_of(ck_world.size));
        struct rollout *r =
            rollout_new(&t.stage, &ck_world, (struct rollout_room){ASKED, 1, SHORT});
        struct rollout_job j = small_rollout_job(&questions, 1, SHORT);
        bool slow = ck_world.rank != fast;
        int most = 2 * ASKED / ck_world.size;
        j.question = question;
        j.questions = ASKED;
        j.listener = (struct rollout_listener){hold, slow ? &held : NULL};
        held = 0;
        const struct answer *a = rollout_run(r, &j, NULL);
        ck_all(rollout_whole(r) == ASKED, "%d answers", rollout_whole(r));
        ck_all(held <= most, "rank %d holds %d of %d", ck_world.rank, held, most);
        int here = 0;
        for (int i = 0; i < ASKED; i++) {
            here += a[i].token != NULL;
            ck_all((a[i].token != NULL) == (a[i].rank == ck_world.rank), "answer %d", i);
        }
        ck_all(here == held, "%d answers here, %d were told", here, held);
        rollout_free(r);
        small_free(&t);
    }
}
END_TEST

#define TESTS(X) X(a_share_each)

MPI_MAIN("answer shares", .before_all = questions_make)
