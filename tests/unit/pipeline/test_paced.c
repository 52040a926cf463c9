/* How long the rows of the paced device take when nothing is late, counted by hand. */

#include "pipeline/paced.h"
#include "tests/support/check_unit.h"

static void near(double is, double should)
{
    ck_assert_msg(is > should - 1e-9 && is < should + 1e-9, "%g, not %g", is, should);
}

START_TEST(without_exchanges_times_add_up)
{
    struct paced_times t =
        paced_predict(&(struct paced_costs){.layers = 3, .f = 1, .b = 2, .w = 4});
    near(t.f, 1);
    near(t.b, 2);
    near(t.w, 4);
    near(t.bw, 6);
    near(t.pair, 7);
}
END_TEST

/* Alone, a pass waits for its exchanges; with W between, only for the first. In turn nothing is
 * waited for: with exchanges of one half (1/8 each) the wire is never behind. The forward ends
 * before the last eighth, a weight gradient. */
START_TEST(exchanges_as_long_as_computing)
{
    struct paced_times t = paced_predict(&(struct paced_costs){4, 1, 1, 1, 1, 1});
    near(t.f, 2);
    near(t.b, 2);
    near(t.w, 1);
    near(t.bw, 2 + 1.0 / 8);
    near(t.pair, 3);
    near(t.pair_f, 3 - 1.0 / 8);
}
END_TEST

/* Exchanges of three computings each keep the one wire busy from the start; after the last combine
 * nothing is left but a weight gradient. */
START_TEST(the_wire_is_the_limit)
{
    struct paced_costs c = {1, 1, 1, 1, 3, 3};
    struct paced_times t = paced_predict(&c);
    near(t.f, 4);
    near(t.b, 4);
    near(t.pair, 6 + 0.5);
}
END_TEST

/* Two unpaired passes take what both compute, plus the first exchange where both begin by posting
 * one (1/8) and it has nothing to hide under; weight gradients fill all waiting. */
START_TEST(unpaired_passes_in_turn)
{
    struct paced_costs c = {4, 1, 1, 1, 1, 1};
    struct sim_interleaved both = paced_interleaved(&c, PLAN_F, &c, PLAN_F);
    near(both.takes, 2 + 1.0 / 8);
    near(both.done[0], 2);
    near(both.done[1], both.takes);
    near(paced_interleaved(&c, PLAN_F, &c, PLAN_B).takes, 2);
    near(paced_interleaved(&c, PLAN_F, &c, PLAN_W).takes, 2);
    both = paced_interleaved(&c, PLAN_B, &c, PLAN_W);
    near(both.takes, 2);
    near(both.done[1], 2 - 1.0 / 8);
    struct paced_costs none = {4, 1, 2, 4, 0, 0};
    near(paced_interleaved(&none, PLAN_B, &none, PLAN_W).takes, 6);
}
END_TEST

#define TESTS(X)                      \
    X(without_exchanges_times_add_up) \
    X(exchanges_as_long_as_computing) \
    X(the_wire_is_the_limit)          \
    X(unpaired_passes_in_turn)

UNIT_MAIN("paced")
