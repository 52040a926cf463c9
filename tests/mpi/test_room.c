/* ranks: 1 2 4; on each instruction set: 1 */
/* A cache too small for all answers: the youngest wait and go on later (trainer/rollout/room.h).
 * Tokens and the bits of log-probabilities are those of a cache with room for all, on every way to
 * share the work; a learning step computes the same log-probabilities (P2). */
#include "tests/support/check_mpi.h"
#include "tests/support/small_ways.h"
#include "trainer/rollout/room.h"

/* --- answers --- */

static const struct rollout_room room = {ANSWERS, SAMPLES, MAX_NEW};
static int told[ANSWERS];
static void hear(void *context, int index, const struct answer *a)
{
    (void)context;
    told[index] += a->n > 0;
}

static struct rollout_job job_of(int from)
{
    struct rollout_job job = small_rollout_job(&questions, SAMPLES, MAX_NEW);
    job.question += from;
    job.questions -= from;
    job.step = 3;
    job.first = from;
    job.listener.finished = hear;
    return job;
}

static struct rollout_times answer(struct small_answers *out, struct rollout *r)
{
    struct rollout_times t;
    struct rollout_job j = job_of(0);
    int all[ANSWERS];
    memset(told, 0, sizeof told);
    small_answers_take(out, &ck_world, rollout_run(r, &j, &t), ANSWERS);
    MPI_OK(MPI_Allreduce(told, all, ANSWERS, MPI_INT, MPI_SUM, ck_world.comm));
    for (int i = 0; i < ANSWERS; i++) ck_all(all[i] == 1, "answer %d was told %d times", i, all[i]);
    return t;
}

/* Room for this number of blocks per direction. */
static struct rollout *tight_rollout(struct small *t, int blocks)
{
    t->settings.mesh.cache_tokens = blocks * KV_BLOCK * t->stage.directions;
    return rollout_new(&t->stage, &ck_world, room);
}

static void same(const struct small_answers *a, const struct small_answers *b, const struct way *w,
                 int blocks)
{
    for (int i = 0; i < ANSWERS; i++)
        if (a->n[i] != b->n[i] || memcmp(a->token[i], b->token[i], sizeof a->token[i]) != 0)
            fprintf(stderr, "rank %d: answer %d: %d tokens, not %d\n", ck_world.rank, i, a->n[i],
                    b->n[i]);
    ck_all(memcmp(a, b, sizeof *a) == 0, "%s: other answers with %d blocks", way_text(w), blocks);
}

/* --- the same, and on-policy --- */

static double deviation(struct small *t, const struct small_answers *a)
{
    static struct small_batch b;
    struct step_stats stats;
    struct step_job job = small_answers_job(&b, &questions, a, SAMPLES, ANSWERS);
    learner_step(&t->learner, &job, &stats);
    ck_all(stats.tokens > ANSWERS, "%ld tokens", stats.tokens);
    return stats.max_deviation;
}

/* Twice by the same rollout: the second finds what the first left. */
static void hold_against(const struct small_answers *roomy, struct small *t, const struct way *w,
                         int blocks)
{
    static struct small_answers a;
    struct rollout *r = tight_rollout(t, blocks);
    for (int round = 0; round < 2; round++) {
        struct rollout_times times = answer(&a, r);
        same(&a, roomy, w, blocks);
        bool least = blocks == room_least(SMALL_CONTEXT);
        ck_all(!least || times.waits > 0, "%s: nobody waited", way_text(w));
        ck_all(!least || times.read_again > times.waits, "%s: %ld waits, %ld positions read again",
               way_text(w), times.waits, times.read_again);
    }
    rollout_free(r);
}

START_TEST(same_answers)
{
    struct way way[MESHES];
    static struct small_answers roomy;
    int n = ways_make(way), least = room_least(SMALL_CONTEXT);
    for (int i = 0; i < n; i++) {
        struct small t;
        small_make(&t, &ck_world, shape_of(&way[i]));
        struct rollout *r = rollout_new(&t.stage, &ck_world, room);
        struct rollout_times times = answer(&roomy, r);
        ck_all(times.waits == 0 && times.read_again == 0, "%s: %ld waits without need",
               way_text(&way[i]), times.waits);
        rollout_free(r);
        for (int blocks = least; blocks < 4 * least; blocks += blocks < least + 3 ? 1 : 6)
            hold_against(&roomy, &t, &way[i], blocks);
        double d = deviation(&t, &roomy);
        ck_all(d == 0, "%s: deviation %g", way_text(&way[i]), d);
        small_free(&t);
    }
}
END_TEST

/* --- stopped while answers wait --- */

static int patience, asked;
static int stop_now(void *unused)
{
    (void)unused;
    return ++asked > patience;
}

static int answer_in_parts(struct small_answers *out, struct rollout *r)
{
    int done = 0, stops = 0;
    memset(out, 0, sizeof *out);
    for (int part = 0; done < QUESTIONS; part++) {
        struct rollout_job j = job_of(done);
        j.stop = stop_now;
        j.listener.finished = NULL;
        patience = 9 << part;
        asked = 0;
        const struct answer *a = rollout_run(r, &j, NULL);
        int whole = rollout_whole(r);
        for (int i = 0; i < whole * SAMPLES; i++)
            small_answers_keep(out, done * SAMPLES + i, &a[i]);
        done += whole;
        stops += done < QUESTIONS;
        ck_all(part < 20, "no end of parts");
    }
    small_answers_share(out, &ck_world);
    return stops;
}

START_TEST(stopped_and_gone_on_with)
{
    struct way way[MESHES];
    static struct small_answers roomy, parts;
    int n = ways_make(way);
    for (int i = 0; i < n; i++) {
        struct small t;
        small_make(&t, &ck_world, shape_of(&way[i]));
        struct rollout *r = rollout_new(&t.stage, &ck_world, room);
        answer(&roomy, r);
        rollout_free(r);
        r = tight_rollout(&t, room_least(SMALL_CONTEXT));
        int stops = answer_in_parts(&parts, r);
        ck_all(stops > 1, "%s: stopped %d times", way_text(&way[i]), stops);
        same(&parts, &roomy, &way[i], room_least(SMALL_CONTEXT));
        answer(&parts, r); /* nothing is left of the stop */
        same(&parts, &roomy, &way[i], room_least(SMALL_CONTEXT));
        rollout_free(r);
        small_free(&t);
    }
}
END_TEST

#define TESTS(X)    \
    X(same_answers) \
    X(stopped_and_gone_on_with)

MPI_MAIN("room", .before_all = questions_make)
