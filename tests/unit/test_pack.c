/* Packing: a partition of the sequences within capacity for random lengths, the same every time; and what a micro-batch of three
 * sequences holds, by hand. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/rng.h"
#include "trainer/data/pack.h"

enum { MOST = 300, MOST_BINS = 2000 };

struct deal {
    int rows[MOST], n, T_max, multiple, least;
    int bin_of[MOST], order[MOST], load[MOST_BINS], bins;
};

static int draw(struct rng_stream *r, int low, int high)
{
    return low + (int)rng_next_below(r, (uint32_t)(high - low + 1));
}

/* Lengths of several kinds: even, mostly full, mostly short, all the same. */
static void deal_make(struct deal *d, struct rng_stream *r)
{
    d->n = draw(r, 0, MOST);
    d->T_max = draw(r, 16, 128);
    d->multiple = draw(r, 1, 8);
    d->least = draw(r, 1, 20);
    int kind = draw(r, 0, 3), same = draw(r, 1, d->T_max);
    for (int i = 0; i < d->n; i++)
        d->rows[i] = kind == 0   ? draw(r, 1, d->T_max)
                     : kind == 1 ? draw(r, d->T_max * 3 / 4, d->T_max)
                     : kind == 2 ? draw(r, 1, d->T_max / 4)
                                 : same;
}

static size_t total_of(const struct deal *d)
{
    size_t total = 0;
    for (int i = 0; i < d->n; i++) total += (size_t)d->rows[i];
    return total;
}

static void deal_run(struct deal *d)
{
    memset(d->bin_of, 0xff, sizeof d->bin_of);
    d->bins =
        pack_deal(d->bin_of, d->rows, d->n, d->T_max, d->multiple, d->least, d->order, d->load);
}

static void check_partition(const struct deal *d)
{
    int load[MOST_BINS] = {0};
    for (int i = 0; i < d->n; i++) {
        ck_assert(d->bin_of[i] >= 0 && d->bin_of[i] < d->bins);
        load[d->bin_of[i]] += d->rows[i];
    }
    for (int b = 0; b < d->bins; b++) ck_assert_int_le(load[b], d->T_max);
}

static void check_count(const struct deal *d)
{
    int bound = pack_bound(total_of(d), d->T_max, d->multiple, d->least);
    ck_assert_int_eq(d->bins % d->multiple, 0);
    ck_assert_int_ge(d->bins, d->least);
    ck_assert_int_le(d->bins, bound);
    /* memory is planned for a longer step than this one: the bound must not shrink with the rows */
    ck_assert_int_le(bound, pack_bound(total_of(d) + 1000, d->T_max, d->multiple, d->least));
}

START_TEST(random_lengths)
{
    struct rng_stream r = {.seed = 5, .at = {.purpose = RNG_TEST}};
    for (int round = 0; round < 400; round++) {
        struct deal d = {0}, again;
        deal_make(&d, &r);
        deal_run(&d);
        check_partition(&d);
        check_count(&d);
        again = d;
        deal_run(&again);
        ck_assert_int_eq(again.bins, d.bins);
        ck_assert(memcmp(again.bin_of, d.bin_of, sizeof d.bin_of) == 0);
    }
}
END_TEST

/* Nothing but bins of more than half: one a sequence, the worst case of the bound. */
START_TEST(worst_case)
{
    struct deal d = {.n = 100, .T_max = 32, .multiple = 4, .least = 2};
    for (int i = 0; i < d.n; i++) d.rows[i] = 17;
    deal_run(&d);
    check_partition(&d);
    check_count(&d);
    ck_assert_int_eq(d.bins, 100);
}
END_TEST

START_TEST(by_hand)
{
    struct deal d = {.n = 6, .T_max = 10, .multiple = 1, .least = 1, .rows = {3, 8, 5, 5, 7, 2}};
    deal_run(&d);
    /* 30 rows need 3 bins: 8 | 7 | 5, the other 5 into the emptiest (5), 3 onto the 7, 2 onto the 8 */
    static const int expected[] = {1, 0, 2, 2, 1, 0};
    ck_assert_int_eq(d.bins, 3);
    for (int i = 0; i < d.n; i++) ck_assert_int_eq(d.bin_of[i], expected[i]);
    d.least = 5;
    d.multiple = 4; /* eight bins: a sequence each, longest first, of equals the first first */
    static const int one_each[] = {4, 0, 2, 3, 1, 5};
    deal_run(&d);
    ck_assert_int_eq(d.bins, 8);
    for (int i = 0; i < d.n; i++) ck_assert_int_eq(d.bin_of[i], one_each[i]);
}
END_TEST

/* --- filling --- */

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
    arena_back(&a, a.used);
    micro_batch_place(&m, 8, &a);
    static const int bin_of[] = {0, 1, 0};
    for (int round = 0; round < 2; round++) { /* filling again leaves nothing of what was there */
        micro_batch_fill(&m, sequences, weights, bin_of, 3, 1);
        ck_assert_int_eq(m.rows.T, 1);
        ck_assert_int_eq(m.rows.seg.n, 1);
        ints_are("target", m.target, (int[]){21}, 1);
        floats_are("weight", m.weight, (float[]){0.5f}, 1);
        floats_are("old_logp", m.old_logp, (float[]){-0.3f}, 1);
        floats_are("advantage", m.advantage, (float[]){-1}, 1);
        for (int t = 0; t < 8; t++) m.ref_logp[t] = 9;
        micro_batch_fill(&m, sequences, weights, bin_of, 3, 0);
        check_first_bin(&m);
    }
    micro_batch_fill(&m, sequences, weights, bin_of, 3, 2); /* an empty bin */
    ck_assert_int_eq(m.rows.T, 0);
    ck_assert_int_eq(m.rows.seg.n, 0);
    ck_assert_int_eq(m.rows.seg.start[0], 0);
    arena_free(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pack");
    TCase *c = tcase_create("pack");
    tcase_add_test(c, random_lengths);
    tcase_add_test(c, worst_case);
    tcase_add_test(c, by_hand);
    tcase_add_test(c, fill_by_hand);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
