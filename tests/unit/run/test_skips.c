/* Skipped updates in the state of a checkpoint: what is put in comes out, what cannot be is damage.
 */
#include "comm/base/problems.h"
#include "trainer/run/position.h"
#include "trainer/run/run.h"
#include "tests/support/check_unit.h"

static json_t *state(void)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:[]}", "phase", 0, "phase_step", 16,
                     "step", 16, "updates", 12, "tokens", 100, "metrics_bytes", 0, "samples_bytes",
                     0, "milestones");
}

/* The phases of a recipe; of the first, updates skipped in a row end the run. */
static struct phase_settings PHASES[] = {{.kind = PHASE_SFT, .max_skips = 10},
                                         {.kind = PHASE_EVAL},
                                         {.kind = PHASE_GRPO, .max_skips = 0},
                                         {.kind = PHASE_EVAL, .max_skips = 10}};
static const struct settings of = {.n_phases = 4, .phases = PHASES};

static bool reads(struct position *q, json_t *state)
{
    struct problems p = {0};
    bool ok = position_read(q, state, "manifest.json", &p);
    ck_assert_int_eq(ok, p.n == 0);
    problems_free(&p);
    json_decref(state);
    return ok;
}

START_TEST(round_trip)
{
    struct skips s = {.in_row = 7, .since = 12, .any_saved = true, .saved = 10}, back;
    struct position q;
    for (int any = 0; any < 2; any++) {
        json_t *o = state();
        s.any_saved = any;
        skips_put(&s, o);
        ck_assert(reads(&q, o));
        back = skips_of(&q, &of);
        ck_assert(back.in_row == 7 && back.since == 12 && back.any_saved == (any != 0) &&
                  back.idle);
        if (any) ck_assert_int_eq(back.saved, 10);
    }
}
END_TEST

/* A state without them: none were skipped, and the checkpoint itself is the last good one. */
START_TEST(none)
{
    struct position q;
    ck_assert(reads(&q, state()));
    struct skips s = skips_of(&q, &of);
    ck_assert(s.in_row == 0 && !s.idle && s.any_saved && s.saved == 16);
}
END_TEST

START_TEST(what_cannot_be)
{
    static const struct skips bad[] = {
        {.in_row = -4, .since = 3, .any_saved = true, .saved = 2},
        {.in_row = 4, .since = -3, .any_saved = true, .saved = 2},
        {.in_row = 4, .since = 16, .any_saved = true, .saved = 2},
        {.in_row = 4, .since = 3, .any_saved = true, .saved = 17},
        {.in_row = 4, .since = 3, .any_saved = true, .saved = -2},
        {.in_row = 4, .since = 1L << 62, .any_saved = true, .saved = 2},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct position q;
        json_t *o = state();
        skips_put(&bad[i], o);
        ck_assert_msg(!reads(&q, o), "row %zu", i);
    }
}
END_TEST

/* Who skipped them, at a position: the phase under way, or the one before that learns. */
START_TEST(guarded)
{
    static const struct {
        long phase, step;
        bool guarded;
    } rows[] = {{0, 3, true},  {1, 0, true},  {2, 0, true}, {2, 1, false},
                {3, 0, false}, {4, 0, false}, {9, 0, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct position q = {
            .phase = rows[i].phase, .phase_step = rows[i].step, .step = 9, .skipped_in_row = 3};
        ck_assert_msg(skips_of(&q, &of).guarded == rows[i].guarded, "row %zu", i);
    }
}
END_TEST

/* A checkpoint behind a step that skipped all is not the last good one. */
START_TEST(saved)
{
    struct skips s = {0};
    s.idle = true;
    skips_saved(&s, 4);
    ck_assert(!s.any_saved);
    s.idle = false;
    skips_saved(&s, 6);
    s.idle = true;
    skips_saved(&s, 8);
    ck_assert(s.any_saved && s.saved == 6);
}
END_TEST

#define TESTS(X)      \
    X(round_trip)     \
    X(none)           \
    X(what_cannot_be) \
    X(guarded)        \
    X(saved)

UNIT_MAIN("skips")
