/* GRPO against its equations in double precision, against finite differences, and by hand. */
#include <math.h>
#include <stdlib.h>

#include "trainer/config/table.h"
#include "trainer/learn/advantage.h"
#include "trainer/learn/grpo.h"
#include "tests/support/check_unit.h"

/* --- advantages --- */

static void advantages_are(const float *reward, int G, bool by_std, const double *expected)
{
    float adv[8];
    bool equal;
    const struct groups g = {
        .n = 1, .samples = G, .reward = reward, .equal = &equal, .advantage = adv};
    ck_assert(groups_compare(&g) == 0 && !equal);
    grpo_advantage(adv, reward, G, equal, by_std);
    for (int i = 0; i < G; i++)
        ck_assert_msg(fabs((double)adv[i] - expected[i]) < 1e-6, "%d of %d: %g, expected %g", i, G,
                      (double)adv[i], expected[i]);
}

START_TEST(advantage_by_hand)
{
    /* mean 1/2, population std 1/2 */
    advantages_are((float[]){1, 0, 0, 1}, 4, true, (double[]){1, -1, -1, 1});
    advantages_are((float[]){1, 0, 0, 1}, 4, false, (double[]){0.5, -0.5, -0.5, 0.5});
    /* mean 1/4, variance 3/16 */
    double s = sqrt(3) / 4;
    advantages_are((float[]){0, 0, 0, 1}, 4, true,
                   (double[]){-0.25 / s, -0.25 / s, -0.25 / s, 0.75 / s});
    advantages_are((float[]){0, 0, 0, 1}, 4, false, (double[]){-0.25, -0.25, -0.25, 0.75});
    /* mean 2, variance 14/3; the scale of the rewards does not matter */
    s = sqrt(14.0 / 3);
    advantages_are((float[]){-1, 3, 4}, 3, true, (double[]){-3 / s, 1 / s, 2 / s});
    advantages_are((float[]){-1e-6f, 3e-6f, 4e-6f}, 3, true, (double[]){-3 / s, 1 / s, 2 / s});
    advantages_are((float[]){-1e6f, 3e6f, 4e6f}, 3, true, (double[]){-3 / s, 1 / s, 2 / s});
    advantages_are((float[]){2, 0}, 2, true, (double[]){1, -1});
}
END_TEST

START_TEST(equal_rewards)
{
    static const float value[] = {0, 1, 0.1f, -3.3f, 1e-30f, 1e20f};
    for (size_t k = 0; k < sizeof value / sizeof *value; k++)
        for (int by_std = 0; by_std < 2; by_std++) {
            float reward[7], adv[7];
            for (int i = 0; i < 7; i++) reward[i] = value[k], adv[i] = NAN;
            bool equal;
            const struct groups g = {
                .n = 1, .samples = 7, .reward = reward, .equal = &equal, .advantage = adv};
            ck_assert(groups_compare(&g) == 1 && equal);
            grpo_advantage(adv, reward, 7, equal, by_std);
            for (int i = 0; i < 7; i++) ck_assert(adv[i] == 0);
        }
}
END_TEST

/* --- tokens --- */

/* One token as policy.c puts it together. */
struct grpo_token {
    float loss, dlogp, ratio, k3;
    bool clipped;
};
static struct grpo_token grpo_token(const struct objective *g, float logp, float old, float ref,
                                    float adv, float weight)
{
    struct policy_token t = {
        .logp = logp, .ratio = expf(logp - old), .old_logp = old, .advantage = adv};
    struct policy_term j = grpo_clip(g, t.ratio, adv);
    struct policy_loss p = policy_loss(g, &j, &t, ref, weight);
    return (struct grpo_token){p.loss, p.dlogp, t.ratio, p.kl, j.clipped};
}

/* loss = -weight (min(r A, clip(r) A), at least dual A when A < 0; less beta k3), straight from the
 * papers. */
static double loss_of(const struct objective *g, double logp, double old, double ref, double adv,
                      double weight)
{
    double r = exp(logp - old),
           clip = fmin(fmax(r, 1 - (double)g->clip_low), 1 + (double)g->clip_high);
    double objective = fmin(r * adv, clip * adv);
    if (g->dual_clip > 0 && adv < 0) objective = fmax(objective, (double)g->dual_clip * adv);
    double k3 = exp(ref - logp) - (ref - logp) - 1;
    return -weight * (objective - (g->kl > 0 ? (double)g->kl * k3 : 0));
}

/* The gradient vanishes beyond these ratios, and only for one sign of A each. */
static bool clipped_by_rule(const struct objective *g, double ratio, double adv)
{
    if (adv > 0) return ratio > 1 + (double)g->clip_high;
    return ratio < 1 - (double)g->clip_low || (g->dual_clip > 0 && ratio > (double)g->dual_clip);
}

static bool near_kink(const struct objective *g, double ratio)
{
    const double at[] = {1 - (double)g->clip_low, 1 + (double)g->clip_high, (double)g->dual_clip};
    for (int i = 0; i < 3; i++)
        if (fabs(ratio - at[i]) < 1e-3) return true;
    return false;
}

static double apart(double a, double b)
{
    return fabs(a - b) / (1 + fabs(b));
}

static int tokens_checked, tokens_clipped;

static void check_token(const struct objective *g, float logp, float old, float ref, float adv)
{
    const double h = 1e-5, weight = 0.37;
    double lp = (double)logp, o = (double)old, f = (double)ref, A = (double)adv,
           ratio = exp(lp - o);
    if (near_kink(g, ratio)) return;
    struct grpo_token t = grpo_token(g, logp, old, ref, adv, (float)weight);
    double slope =
        (loss_of(g, lp + h, o, f, A, weight) - loss_of(g, lp - h, o, f, A, weight)) / (2 * h);
    double k3 = g->kl > 0 ? exp(f - lp) - (f - lp) - 1 : 0;
    bool ok = apart((double)t.loss, loss_of(g, lp, o, f, A, weight)) < 2e-6 &&
              apart((double)t.dlogp, slope) < 5e-6 && apart((double)t.ratio, ratio) < 1e-6 &&
              apart((double)t.k3, k3) < 2e-6 && t.clipped == clipped_by_rule(g, ratio, A);
    ck_assert_msg(ok,
                  "logp %g old %g ref %g A %g clip %g %g dual %g kl %g: loss %g (%g) dlogp %g (%g) "
                  "ratio %g (%g) k3 %g (%g) clipped %d",
                  lp, o, f, A, (double)g->clip_low, (double)g->clip_high, (double)g->dual_clip,
                  (double)g->kl, (double)t.loss, loss_of(g, lp, o, f, A, weight), (double)t.dlogp,
                  slope, (double)t.ratio, ratio, (double)t.k3, k3, t.clipped);
    tokens_checked++;
    tokens_clipped += t.clipped;
}

static void check_grid(const struct objective *g)
{
    static const float logp[] = {-0.01f, -0.3f, -1.1f, -2.7f, -8};
    static const float moved[] = {-1.5f, -0.4f, -0.1f, 0, 0.15f, 0.3f, 0.9f, 2};
    static const float adv[] = {-2, -0.6f, 0.5f, 1.7f};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 8; j++)
            for (int k = 0; k < 8; k++)
                for (int a = 0; a < 4; a++)
                    check_token(g, logp[i], logp[i] - moved[j], logp[i] + 0.7f * moved[k], adv[a]);
}

START_TEST(token_against_equations)
{
    static const float clip[][2] = {{0.2f, 0.2f}, {0.2f, 0.28f}, {0, 0.5f}, {1, 3}};
    static const float dual[] = {0, 1.4f, 3}, kl[] = {0, 0.04f, 1};
    for (int c = 0; c < 4; c++)
        for (int d = 0; d < 3; d++)
            for (int k = 0; k < 3; k++) {
                struct objective g = {.clip_low = clip[c][0],
                                      .clip_high = clip[c][1],
                                      .dual_clip = dual[d],
                                      .kl = kl[k]};
                check_grid(&g);
            }
    ck_assert_int_gt(tokens_checked, 30000);
    ck_assert_int_gt(tokens_clipped, 3000);
}
END_TEST

START_TEST(exact_at_ratio_one)
{
    struct objective g = {.clip_low = 0.2f, .clip_high = 0.2f, .dual_clip = 3, .kl = 0.04f};
    static const float adv[] = {1, -1, 0.3f, -0.77f, 1.7320508f};
    for (int a = 0; a < 5; a++)
        for (int i = 0; i < 50; i++) {
            float logp = -0.173f * (float)i, weight = 1 / (float)(3 + i);
            struct grpo_token t = grpo_token(&g, logp, logp, logp, adv[a], weight);
            ck_assert(t.ratio == 1 && t.k3 == 0 && !t.clipped);
            ck_assert(t.dlogp == -weight * adv[a]);
            ck_assert(t.loss == -weight * adv[a]);
        }
}
END_TEST

START_TEST(nan_shows)
{
    struct objective g = {.clip_low = 0.2f, .clip_high = 0.2f};
    struct grpo_token t = grpo_token(&g, NAN, -1, -1, 1, 1);
    ck_assert(isnan(t.loss) && isnan(t.dlogp) && isnan(t.ratio));
}
END_TEST

#define TESTS(X)               \
    X(advantage_by_hand)       \
    X(equal_rewards)           \
    X(token_against_equations) \
    X(exact_at_ratio_one)      \
    X(nan_shows)

UNIT_MAIN("grpo")
