/* zb1p: 1f1b with the weight parts moved to where a rank would idle (ZB-H1; Qi et al., Zero Bubble
 * Pipeline Parallelism, ICLR'24, section 2.2; sail-sg/zero-bubble-pipeline-parallelism).
 *
 *   step 1   x w          F                w = min(P-1-r, M), as in 1f1b
 *   step 2   x M-w        F ; I ; W*       steady state
 *   step 3   x w          I ; W*
 *   step 4   x min(r, M)  W
 *
 * I is the input part of a backward, W the oldest waiting weight part, W* the same once more than r
 * wait. Gradients climb by input parts alone, so the first backward returns to the top sooner; and
 * rank r, which has r micro-batches fewer on their way than rank 0, keeps r weight parts to fill
 * the end. So a rank holds at most P micro-batches until their W, as in 1f1b, and idles
 * (P-1)(F+B-2W), B = I + W. On rank 0 no stage waits for I, so it does both parts at once. */
#include "pipeline/simulate.h"

/* Zero Bubble's ZB-H1: rank r delays r weight passes, which fill its bubble at the end; rank 0 has
 * none to delay, so its backwards stay whole. */
void plan_make_zb1p(struct plan_part *part)
{
    const struct plan_cell none = {0};
    int P = part->of.stages, M = part->of.micro_batches, r = part->rank;
    int w = P - 1 - r < M ? P - 1 - r : M;
    for (int i = 0; i < M + w; i++) {
        int b = i - w;
        if (i < M) plan_part_add(part, PLAN_F, (struct plan_cell){0, r, i}, none);
        if (b < 0) continue;
        plan_part_add(part, r == 0 ? PLAN_BW : PLAN_B, none, (struct plan_cell){0, r, b});
        if (r > 0 && b >= r) plan_part_add(part, PLAN_W, none, (struct plan_cell){0, r, b - r});
    }
    for (int b = M > r ? M - r : 0; r > 0 && b < M; b++)
        plan_part_add(part, PLAN_W, none, (struct plan_cell){0, r, b});
}

double plan_idle_zb1p(int chunks, int micro_batches, const struct plan_costs *c)
{
    (void)micro_batches;
    return (chunks - 1) * (c->f + c->b - c->w);
}
