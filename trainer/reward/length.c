/* Length: a penalty for answers that come near the limit, or a value of right and wrong answers by
 * how long they are. */
#include <math.h>
#include "trainer/reward/grader.h"

/* R = 0 up to L_max - L_cache tokens, then falling to -1 at L_max (DAPO, arXiv 2503.14476, eq. 13).
 * DAPO's cache is 4,096 of 20,480: a fifth, where length_cache is 0. */
static double overlong(double n, double most, double cache)
{
    double from = most - cache;
    return n <= from ? 0 : n <= most ? (from - n) / cache : -1;
}

/* From `at_zero` of an empty answer to `at_most` of the longest along half a cosine (arXiv
 * 2502.03373, section 4.2). */
static double cosine(double n, double most, double at_zero, double at_most)
{
    static const double pi = 3.14159265358979323846;
    return at_most + (at_zero - at_most) / 2 * (1 + cos(pi * n / most));
}

/* Right: 1 to 0.5, the shorter the better. Wrong: -1 to -0.5, the longer the better, since it may
 * still come to think of it. Cut: -1. */
static float grade(const struct completion *c, const struct phase_settings *k)
{
    const double most = k->max_new, n = c->n < most ? c->n : most;
    const double cache = k->length_cache > 0 ? k->length_cache : (double)k->max_new / 5;
    if (c->truncated) return -1;
    if (k->length_shape == LENGTH_OVERLONG) return (float)overlong(n, most, cache);
    bool right = c->verdict.why == REASON_RIGHT;
    return (float)(right ? cosine(n, most, 1, 0.5) : cosine(n, most, -1, -0.5));
}

static double weight(const struct phase_settings *k)
{
    return k->reward_length;
}

const struct grader grader_length = {
    .name = "length",
    .help = "-1 to 0 near the longest answer (overlong), or by length of right and wrong (cosine)",
    .needs = NEEDS_VERDICT | NEEDS_COUNT,
    .weight = weight,
    .grade = grade};
