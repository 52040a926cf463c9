/* Efficiency: of a right answer, the share of the FLOPs that the longest answer would have taken
 * and that it has saved; 0 of a wrong one, which must not gain by ending early. FLOPs are the
 * model's own count (model/flops.h). */
#include "trainer/reward/grader.h"

/* n tokens behind a prompt: each a row through the layers, looking back at all before it. */
static double flops(const struct completion *c, double n)
{
    return n * c->flops_row + c->flops_key * (n * c->n_prompt + n * (n - 1) / 2);
}

static float grade(const struct completion *c, const struct phase_settings *k)
{
    double most = flops(c, k->max_new), spent = flops(c, c->n);
    if (c->verdict.why != REASON_RIGHT || !(spent < most)) return 0;
    return (float)(1 - spent / most);
}

static double weight(const struct phase_settings *k)
{
    return k->reward_efficiency;
}

const struct grader grader_efficiency = {
    .name = "efficiency",
    .help = "of a right answer, 1 - its FLOPs / those of the longest; else 0",
    .needs = NEEDS_VERDICT | NEEDS_COUNT,
    .weight = weight,
    .grade = grade};
