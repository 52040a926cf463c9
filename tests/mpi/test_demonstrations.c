/* ranks: 1 2 4 */
/* The demonstrations of a step: every rank knows the lengths of all and makes tokens of its share
 * and of what its pipeline learns from, no more, however many ranks there are. */
#include "tests/support/check_mpi.h"
#include "tests/support/recipe_text.h"
#include "trainer/phases/demonstrations.h"
#include "trainer/phases/phases.h"

enum { EACH = 24, FROM = 7, UPDATES = 3 };

static void open_run(struct run *r, int max_context)
{
    struct settings s = recipe_of(ck_world.size,
                                  "model: {layers: 2, hidden: 16, heads: 2, ffn: 16, "
                                  "max_context: %d}\nmesh: {pp: 1}\nprecision: fp32\n"
                                  "data: {task: arithmetic, micro_batch_tokens: 128}\n"
                                  "phases: [{kind: sft, batch: %d, steps: 1}]\n",
                                  max_context, EACH * ck_world.size);
    run_open(r, &ck_world, s, NULL, extent_of(phase_kinds, &s));
}

/* As one rank would, all by itself: -1 where it does not fit. */
static int plainly(struct run *r, int i, int *token, int *n_prompt)
{
    static char room[1 << 16];
    struct problem problem;
    struct text text = {.at = room, .size = sizeof room};
    source_problem(r->source, SPLIT_TRAIN, (uint32_t)(FROM + i), &problem);
    if (!source_demonstrate(r->source, &problem, (uint32_t)(FROM + i), &text)) return -1;
    return run_encode(r, problem.prompt, text.at, text.n, token, n_prompt);
}

static void check_all(struct run *r, struct demonstrations *d, int count)
{
    int token[1024], n_prompt = 0, k = 0;
    long learned = 0;
    for (int i = 0; i < count; i++) {
        int n = plainly(r, i, token, &n_prompt);
        if (n < 0) continue;
        const struct sequence *s = &r->scratch->sequence[k];
        ck_all(s->n == n && s->n_prompt == n_prompt, "demonstration %d: %d tokens, not %d", i, s->n,
               n);
        s = demonstrations_fetch(d, k++);
        ck_all(s->n == n && memcmp(s->token, token, (size_t)n * sizeof(int)) == 0,
               "demonstration %d has other tokens", i);
        learned += n - n_prompt;
    }
    ck_all(k == d->n && learned == d->tokens, "%d of %d, %ld tokens of %ld", d->n, k, d->tokens,
           learned);
    ck_all(d->too_long + d->n == count, "%d and %d are not %d", d->too_long, d->n, count);
}

static void check_lengths(int max_context, bool all_fit)
{
    struct run r;
    int count = EACH * ck_world.size - 1; /* no multiple of the ranks */
    open_run(&r, max_context);
    struct demonstrations d = demonstrations_look(&r, FROM, count);
    ck_all(d.encoded <= EACH, "%ld texts of a share of %d", d.encoded, EACH);
    ck_all((d.n == count) == all_fit && d.n > 0, "%d of %d fit", d.n, count);
    check_all(&r, &d, count);
    run_close(&r);
}

START_TEST(all_know_all_lengths)
{
    check_lengths(128, true);
    check_lengths(30, false);
}
END_TEST

/* With a pipeline a rank each is learned from on one rank. */
START_TEST(encoded_where_it_is_learned_from)
{
    struct run r;
    int count = EACH * ck_world.size;
    open_run(&r, 128);
    for (int u = 0; u < UPDATES; u++) {
        struct demonstrations d = demonstrations_look(&r, (uint32_t)(u * count), count);
        struct step_stats stats;
        struct step_job job = {.sequence = r.scratch->sequence,
                               .weight = r.scratch->weight,
                               .n = d.n,
                               .loss = &loss_sft,
                               .inv_temperature = 1,
                               .fetch = demonstrations_fetch,
                               .fetch_context = &d};
        learner_step(&r.learner, &job, &stats);
        long all = d.encoded, most = d.encoded;
        MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_LONG, MPI_SUM, ck_world.comm));
        MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_LONG, MPI_MAX, ck_world.comm));
        ck_all(all == count + d.n, "%ld texts made tokens of, %d told, %d learned from", all, count,
               d.n);
        ck_all(most <= 3 * EACH, "%ld texts on a rank, %d each", most, 2 * EACH);
    }
    run_close(&r);
}
END_TEST

#define TESTS(X)            \
    X(all_know_all_lengths) \
    X(encoded_where_it_is_learned_from)

MPI_MAIN("demonstrations")
