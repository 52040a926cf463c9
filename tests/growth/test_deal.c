/* Dealing a step's sequences over up to 16,384 pipelines, eight of them each: its work grows as
 * their number times its logarithm does, whether their lengths are near each other, far apart or
 * equal, and however many micro-batches stay empty. */
#include <stdlib.h>
#include "comm/base/rng.h"
#include "tests/support/check_unit.h"
#include "tests/support/growth.h"
#include "trainer/data/deal.h"

enum { EACH = 8, T = 8192 };

static int near_each_other(struct rng_stream *r)
{
    return 200 + (int)rng_next_below(r, 1600);
}

static int far_apart(struct rng_stream *r)
{
    int u = 1 + (int)rng_next_below(r, 1000);
    return u > 224 ? 200 * 1000000 / (u * u) : 4000;
}

static int all_equal(struct rng_stream *r)
{
    return r->seed > 0 ? 1200 : 0;
}

/* Steps of the deal's inner loops, a micro-batch of each pipeline and direction at least. */
static long long steps_of(int pipelines, int least, int (*draw)(struct rng_stream *r))
{
    struct rng_stream r = {.seed = 3, .at = {.purpose = RNG_TEST}};
    const struct deal_shape shape = {T, pipelines, 2, least, 1000};
    int n = EACH * pipelines, *rows = malloc((size_t)n * sizeof *rows);
    size_t total = 0;
    struct arena a = {0};
    struct deal d;
    for (int i = 0; i < n; i++) total += (size_t)(rows[i] = draw(&r));
    for (int placing = 0; placing < 2; placing++) {
        deal_place(&d, n, deal_bound(&shape, total), &a);
        if (!placing) arena_back(&a, &device_host, a.used);
    }
    deal_run(&d, &shape, rows, n);
    arena_free(&a);
    free(rows);
    return d.steps;
}

static void check_steps(const char *what, int least, int (*draw)(struct rng_stream *r))
{
    struct growth steps = {.n = 0};
    for (int pipelines = 256; pipelines <= 16384; pipelines *= 4) {
        double n = (double)EACH * pipelines;
        growth_add(&steps, growth_n_log_n(n), (double)steps_of(pipelines, least, draw));
    }
    growth_at_most(&steps, what, 1.1);
}

START_TEST(steps_of_a_deal)
{
    check_steps("dealing lengths near each other", 2, near_each_other);
    check_steps("dealing lengths far apart", 2, far_apart);
    check_steps("dealing equal lengths", 2, all_equal);
    check_steps("dealing where many micro-batches are empty", 16, far_apart);
}
END_TEST

#define TESTS(X) X(steps_of_a_deal)

UNIT_MAIN("deal", .timeout_s = 300)
