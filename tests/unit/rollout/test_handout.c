/* Numbers handed out down the tree, without messages: every message waits for a random while, every
 * stage takes its numbers at random moments. Whatever the order, each number is handed out once, in
 * turn, none is lost, and all stages end. */
#include "comm/base/rng.h"
#include "comm/base/memory.h"
#include "tests/support/check_unit.h"
#include "trainer/rollout/handout.h"

struct stage_try {
    struct handout handout;
    int asks, gets; /* numbers of the request and reply under way; asks 0: none is */
    bool replied;
    int first;
    bool waits, ended; /* its own: asked for one; got none */
    int taken;
};
static struct stage_try *stage;
static int stages, questions, next;
static bool *handed;

static void share(int s, struct numbers got);

static void seek(int s)
{
    struct stage_try *k = &stage[s];
    int n = handout_ask(&k->handout), left = questions - next;
    if (n == 0) return;
    if (s > 0 && !k->handout.spent) {
        ck_assert_int_eq(k->asks, 0);
        k->asks = n;
        k->replied = false;
    } else if (s > 0) {
        share(s, (struct numbers){0, 0});
    } else {
        struct numbers got = {next, n < left ? n : left};
        next += got.n;
        share(0, got);
    }
}

/* Stage s has them for itself and for those below it. */
static void share(int s, struct numbers got)
{
    struct gift gift[HANDOUT_ASKERS];
    int below[HANDOUT_FAN], n = handout_share(&stage[s].handout, got, gift);
    handout_below(s, stages, below);
    for (int i = 0; i < n; i++) {
        struct numbers to = gift[i].numbers;
        if (gift[i].who == HANDOUT_SELF) {
            stage[s].waits = false;
            stage[s].ended = to.n == 0;
            stage[s].taken += to.n;
            if (to.n > 0) ck_assert(!handed[to.first]);
            if (to.n > 0) handed[to.first] = true;
            continue;
        }
        struct stage_try *k = &stage[below[gift[i].who - HANDOUT_FIRST_BELOW]];
        ck_assert(k->asks > 0 && !k->replied);
        k->replied = true;
        k->gets = to.n;
        k->first = to.first;
    }
}

/* The request of stage s reaches the one above, or its reply comes back. */
static void deliver(int s, bool *arrived)
{
    struct stage_try *k = &stage[s];
    if (k->asks == 0) return;
    int above = handout_above(s);
    if (!arrived[s]) {
        arrived[s] = true;
        handout_want(&stage[above].handout, HANDOUT_FIRST_BELOW + (s - 1) % HANDOUT_FAN, k->asks);
        seek(above);
    } else if (k->replied) {
        arrived[s] = false;
        k->asks = 0;
        share(s, (struct numbers){k->first, k->gets});
        seek(s);
    }
}

static void take(int s)
{
    struct stage_try *k = &stage[s];
    if (k->waits || k->ended) return;
    k->waits = true;
    handout_want(&k->handout, HANDOUT_SELF, 1);
    seek(s);
}

static bool all_ended(void)
{
    for (int s = 0; s < stages; s++)
        if (!stage[s].ended) return false;
    return true;
}

static void hand_out(int n_stages, int n_questions, struct rng_stream *g)
{
    stages = n_stages, questions = n_questions, next = 0;
    stage = memory_take((size_t)stages, sizeof *stage, "a test");
    handed = memory_take((size_t)questions + 1, sizeof *handed, "a test");
    bool *arrived = memory_take((size_t)stages, sizeof *arrived, "a test");
    long events = 0;
    while (!all_ended())
        for (int i = 0; i < stages; i++, events++) {
            int s = (int)rng_next_below(g, (uint32_t)stages);
            if (rng_next_below(g, 3) == 0)
                take(s);
            else
                deliver(s, arrived);
            ck_assert_msg(events < 200L * (questions + 50L * stages), "no end");
        }
    int taken = 0;
    for (int s = 0; s < stages; s++) taken += stage[s].taken;
    ck_assert_int_eq(taken, questions);
    for (int q = 0; q < questions; q++) ck_assert(handed[q]);
    for (int s = 0; s < stages; s++) ck_assert_int_eq(stage[s].asks, 0);
    free(stage), free(handed), free(arrived);
}

START_TEST(each_number_once)
{
    static const int sizes[] = {1, 2, 17, 18, 100, 273, 274, 1000};
    struct rng_stream g = {.seed = 8, .at = {.purpose = RNG_TEST}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int k = 0; k < 12; k++)
            hand_out(sizes[i], (int)rng_next_below(&g, 4 * (uint32_t)sizes[i]), &g);
}
END_TEST

/* Whoever is below a stage has it above, and everybody but stage 0 is below one. */
START_TEST(above_and_below_agree)
{
    enum { MOST = 20000 };
    static int times[MOST];
    for (int s = 0; s < MOST; s++) {
        int below[HANDOUT_FAN], n = handout_below(s, MOST, below);
        for (int i = 0; i < n; i++) {
            ck_assert_int_eq(handout_above(below[i]), s);
            times[below[i]]++;
        }
    }
    for (int s = 0; s < MOST; s++) ck_assert_int_eq(times[s], s > 0);
    ck_assert_int_eq(handout_above(0), -1);
}
END_TEST

#define TESTS(X)        \
    X(each_number_once) \
    X(above_and_below_agree)

UNIT_MAIN("handout")
