/* What a micro-batch of three sequences holds, by hand. */

#include "trainer/data/pack.h"
#include "tests/support/check_unit.h"

static void ints_are(const char *what, const int *got, const int *expected, int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_msg(got[i] == expected[i], "%s[%d] is %d, expected %d", what, i, got[i],
                      expected[i]);
}

static void floats_are(const char *what, const float *got, const float *expected, int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_msg(got[i] == expected[i], "%s[%d] is %g, expected %g", what, i, (double)got[i],
                      (double)expected[i]);
}

static const int tokens_a[] = {10, 11, 12, 13, 14}; /* prompt 10 11 12, answer 13 14 */
static const int tokens_b[] = {20, 21};             /* prompt 20, answer 21 */
static const int tokens_c[] = {30, 31, 32, 33};     /* prompt 30 31, demonstration 32 33 */
static const float logp_a[] = {-0.1f, -0.2f}, logp_b[] = {-0.3f};
static const struct sequence sequences[] = {
    {.n_prompt = 3, .n = 5, .token = tokens_a, .logp = logp_a, .advantage = 2},
    {.n_prompt = 1, .n = 2, .token = tokens_b, .logp = logp_b, .advantage = -1},
    {.n_prompt = 2, .n = 4, .token = tokens_c, .advantage = 0.5f},
};
static const float weights[] = {0.25f, 0.5f, 0.125f};

/* Those of one bin, in their order. */
static void fill(struct micro_batch *m, const struct sequence *s, const int *bin_of, int n, int bin)
{
    micro_batch_clear(m);
    for (int i = 0; i < n; i++)
        if (bin_of[i] == bin) micro_batch_append(m, &s[i], weights[i]);
}

static void check_first_bin(const struct micro_batch *m)
{
    /* rows of a: 10 11 12 13, the last two predict 13 and 14; then c: 30 31 32 */
    ck_assert_int_eq(m->rows.T, 7);
    ck_assert_int_eq(m->rows.seg.n, 2);
    ints_are("start", m->rows.seg.start, (int[]){0, 4, 7}, 3);
    ints_are("token", m->rows.token, (int[]){10, 11, 12, 13, 30, 31, 32}, 7);
    ints_are("pos", m->rows.pos, (int[]){0, 1, 2, 3, 0, 1, 2}, 7);
    ints_are("target", m->target, (int[]){-1, -1, 13, 14, -1, 32, 33}, 7);
    floats_are("weight", m->weight, (float[]){0, 0, 0.25f, 0.25f, 0, 0.125f, 0.125f}, 7);
    floats_are("advantage", m->advantage, (float[]){2, 2, 2, 2, 0.5f, 0.5f, 0.5f}, 7);
    floats_are("old_logp", m->old_logp, (float[]){0, 0, -0.1f, -0.2f, 0, 0, 0}, 7);
    floats_are("ref_logp", m->ref_logp, (float[]){0, 0, 0, 0, 0, 0, 0}, 7);
}

START_TEST(fill_by_hand)
{
    struct arena a = {0};
    struct micro_batch m;
    micro_batch_place(&m, 8, &a);
    arena_back(&a, &device_host, a.used);
    micro_batch_place(&m, 8, &a);
    static const int bin_of[] = {0, 1, 0};
    for (int round = 0; round < 2; round++) { /* filling again leaves nothing of what was there */
        fill(&m, sequences, bin_of, 3, 1);
        ck_assert_int_eq(m.rows.T, 1);
        ck_assert_int_eq(m.rows.seg.n, 1);
        ints_are("target", m.target, (int[]){21}, 1);
        floats_are("weight", m.weight, (float[]){0.5f}, 1);
        floats_are("old_logp", m.old_logp, (float[]){-0.3f}, 1);
        floats_are("advantage", m.advantage, (float[]){-1}, 1);
        for (int t = 0; t < 8; t++) m.ref_logp[t] = 9;
        fill(&m, sequences, bin_of, 3, 0);
        check_first_bin(&m);
    }
    fill(&m, sequences, bin_of, 3, 2); /* an empty bin */
    ck_assert_int_eq(m.rows.T, 0);
    ck_assert_int_eq(m.rows.seg.n, 0);
    ck_assert_int_eq(m.rows.seg.start[0], 0);
    arena_free(&a);
}
END_TEST

/* A conversation: of what follows its prompt only what is marked is learned. */
START_TEST(turns_are_left_out)
{
    static const unsigned char learn[] = {0, 1, 0, 1, 1};
    static const struct sequence turns[] = {
        {.n_prompt = 1, .n = 5, .token = tokens_a, .learn = learn}};
    static const int bin_of[] = {0};
    struct arena a = {0};
    struct micro_batch m;
    micro_batch_place(&m, 8, &a);
    arena_back(&a, &device_host, a.used);
    micro_batch_place(&m, 8, &a);
    fill(&m, turns, bin_of, 1, 0);
    ints_are("target", m.target, (int[]){11, -1, 13, 14}, 4);
    floats_are("weight", m.weight, (float[]){0.25f, 0, 0.25f, 0.25f}, 4);
    arena_free(&a);
}
END_TEST

/* Answers that come later, each to its room: the same micro-batch. */
START_TEST(answers_from_elsewhere)
{
    static const int prompt_a[] = {10, 11, 12}, prompt_b[] = {20}, prompt_c[] = {30, 31};
    static const int *const prompt[] = {prompt_a, prompt_b, prompt_c};
    static const int bin_of[] = {0, 1, 0};
    struct sequence away[3];
    struct arena a = {0};
    struct micro_batch m;
    micro_batch_place(&m, 8, &a);
    arena_back(&a, &device_host, a.used);
    micro_batch_place(&m, 8, &a);
    for (int i = 0; i < 3; i++) {
        away[i] = sequences[i];
        away[i].token = prompt[i];
        away[i].elsewhere = true;
        away[i].logp = NULL;
    }
    fill(&m, away, bin_of, 3, 0);
    for (int i = 0, at = 0; i < 3; i += 2) {
        const struct sequence *s = &sequences[i];
        size_t n = (size_t)(s->n - s->n_prompt);
        struct answer_room room = micro_batch_answer(&m, s, at);
        memcpy(room.token, s->token + s->n_prompt, n * sizeof(int));
        if (s->logp) memcpy(room.logp, s->logp, n * sizeof(float));
        at += sequence_rows(s);
    }
    micro_batch_answered(&m);
    check_first_bin(&m);
    arena_free(&a);
}
END_TEST

/* Where no tokens are read there are only places and lengths; the head gets answers alone. */
START_TEST(tokens_elsewhere)
{
    static const int bin_of[] = {0, 1, 0};
    struct sequence away[3];
    struct arena a = {0};
    struct micro_batch m;
    micro_batch_place(&m, 8, &a);
    arena_back(&a, &device_host, a.used);
    micro_batch_place(&m, 8, &a);
    for (int i = 0; i < 3; i++) {
        away[i] = sequences[i];
        away[i].token = NULL;
        away[i].logp = NULL;
    }
    fill(&m, away, bin_of, 3, 0);
    ck_assert_int_eq(m.rows.T, 7);
    ints_are("start", m.rows.seg.start, (int[]){0, 4, 7}, 3);
    ints_are("pos", m.rows.pos, (int[]){0, 1, 2, 3, 0, 1, 2}, 7);
    ints_are("target", m.target, (int[]){-1, -1, 0, 0, -1, 0, 0}, 7);
    floats_are("weight", m.weight, (float[]){0, 0, 0.25f, 0.25f, 0, 0.125f, 0.125f}, 7);
    arena_free(&a);
}
END_TEST

/* The prompt 10 11, then 12, the observation 13 14, 15: all are read, 12 and 15 are learned,
 * whether the answer is here or comes later. */
START_TEST(observations_are_read_only)
{
    static const int all[] = {10, 11, 12, 13, 14, 15};
    static const float logp[] = {-0.5f, LOGP_OBSERVED, LOGP_OBSERVED, -0.25f};
    struct sequence s = {.n_prompt = 2, .n = 6, .token = all, .logp = logp, .advantage = 1};
    struct arena a = {0};
    struct micro_batch m;
    micro_batch_place(&m, 8, &a);
    arena_back(&a, &device_host, a.used);
    micro_batch_place(&m, 8, &a);
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        s.elsewhere = elsewhere;
        s.logp = elsewhere ? NULL : logp;
        micro_batch_clear(&m);
        micro_batch_append(&m, &s, 0.5f);
        if (elsewhere) {
            struct answer_room room = micro_batch_answer(&m, &s, 0);
            memcpy(room.token, all + 2, 4 * sizeof(int));
            memcpy(room.logp, logp, sizeof logp);
        }
        if (elsewhere) micro_batch_answered(&m);
        ck_assert_int_eq(m.rows.T, 5);
        ints_are("token", m.rows.token, (int[]){10, 11, 12, 13, 14}, 5);
        ints_are("target", m.target, (int[]){-1, 12, -1, -1, 15}, 5);
        floats_are("weight", m.weight, (float[]){0, 0.5f, 0, 0, 0.5f}, 5);
        floats_are("old_logp", m.old_logp, (float[]){0, -0.5f, 0, 0, -0.25f}, 5);
    }
    arena_free(&a);
}
END_TEST

#define TESTS(X)                  \
    X(fill_by_hand)               \
    X(observations_are_read_only) \
    X(turns_are_left_out)         \
    X(answers_from_elsewhere)     \
    X(tokens_elsewhere)

UNIT_MAIN("pack")
