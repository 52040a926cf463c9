/* Prompts of a step, with as many questions a rank: what a rank keeps of them. Of every question
 * it knows some bytes, whatever its length; tokens are those of one prompt at a time, so that with
 * longer contexts a rank needs the same more whatever the batch is. */
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "trainer/rollout/scratch.h"

enum { EACH = 8, CONTEXT = 32768, KNOWN = 32 }; /* questions a rank; bytes of each */

static double bytes(int ranks, int context)
{
    const struct extent e = {.answers = 1, .sequences = 1, .questions = EACH * ranks};
    return (double)scratch_bytes(&e, context);
}

START_TEST(prompts_held)
{
    struct growth held = {.n = 0}, all = {.n = 0};
    for (int ranks = 2; ranks <= 16384; ranks *= ranks < 8 ? 2 : 8) {
        growth_add(&held, ranks, bytes(ranks, CONTEXT) - bytes(ranks, 1));
        growth_add(&all, ranks, 4.0 * EACH * ranks * CONTEXT);
    }
    growth_at_most(&held, "bytes of prompts held", 0.02);
    ck_assert_double_le(held.count[held.n - 1], 4.0 * CONTEXT + 64);
    ck_assert_msg(growth_exponent(&all) > 0.9, "room for all grows with the power %.2f only",
                  growth_exponent(&all));
}
END_TEST

START_TEST(prompts_known)
{
    for (int ranks = 64; ranks <= 16384; ranks *= 4) {
        double more = bytes(2 * ranks, CONTEXT) - bytes(ranks, CONTEXT);
        ck_assert_double_le(more, (double)KNOWN * EACH * ranks);
    }
}
END_TEST

#define TESTS(X)    \
    X(prompts_held) \
    X(prompts_known)

UNIT_MAIN("prompts")
