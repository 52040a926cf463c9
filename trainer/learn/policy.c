#include "trainer/learn/policy.h"

#include <math.h>
#include "trainer/learn/grpo.h"

/* --- an answer's tokens together --- */

static double within(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* GMPO clips one side in log space: sgn(A) min(sgn(A) log r, bound). */
static double one_sided(const struct objective *g, double log_ratio, float advantage)
{
    double high = log1p((double)g->clip_high), low = log1p(-(double)g->clip_low);
    if (advantage > 0) return log_ratio > high ? high : log_ratio;
    return log_ratio < low ? low : log_ratio;
}

/* M of DeepSeek-V3.2: an answer that shall become less likely, and already is by this much. */
static bool left_the_policy(const struct objective *g, float advantage, double mean)
{
    return g->mask_above > 0 && advantage < 0 && -mean > (double)g->mask_above;
}

/* Tokens without a weight are no part of the answer. */
struct answer_ratio answer_ratio_of(const struct objective *g, const struct answer_rows *a)
{
    double sum = 0, bounded = 0, clipped = 0, n = 0;
    float advantage = 0;
    for (int t = 0; t < a->n; t++) {
        if (a->weight[t] == 0) continue;
        double log_ratio = (double)a->logp[t] - (double)a->old_logp[t];
        advantage = a->advantage[t];
        sum += log_ratio;
        bounded += within(log_ratio, -20, 20);
        clipped += one_sided(g, log_ratio, advantage);
        n++;
    }
    if (n == 0) return (struct answer_ratio){1, 1, 0, false};
    return (struct answer_ratio){.mean = (float)exp(sum / n),
                                 .clipped = (float)exp(clipped / n),
                                 .log_sum = (float)bounded,
                                 .masked = left_the_policy(g, advantage, sum / n)};
}

/* --- J of a token --- */

/* PPO, GRPO: DeepSeek-R1 (arXiv 2501.12948v1) eq. 1. */
static struct policy_term token_clip(const struct objective *g, const struct policy_token *t)
{
    return grpo_clip(g, t->ratio, t->advantage);
}

/* GSPO (arXiv 2507.18071) eq. 5 to 7: s = (pi(o)/pi_old(o))^(1/|o|), and ds/dlogp = s/|o|, which
 * over the answer's tokens, weighed alike, is s for each. */
static struct policy_term sequence_clip(const struct objective *g, const struct policy_token *t)
{
    return grpo_clip(g, t->answer->mean, t->advantage);
}

/* CISPO (MiniMax-M1, arXiv 2506.13585, eq. 4, 5): sg(clip(r)) A log pi. No token loses its
 * gradient. */
static struct policy_term cispo(const struct objective *g, const struct policy_token *t)
{
    float weight = grpo_bounded(g, t->ratio) * t->advantage;
    return (struct policy_term){weight * t->logp, weight, false};
}

/* GMPO (arXiv 2507.20673): A times the geometric mean of ratios clipped on one side. */
static struct policy_term gmpo(const struct objective *g, const struct policy_token *t)
{
    double log_ratio = (double)t->logp - (double)t->old_logp;
    bool clipped = one_sided(g, log_ratio, t->advantage) != log_ratio;
    float j = t->answer->clipped * t->advantage;
    return (struct policy_term){j, clipped ? 0 : j, clipped};
}

/* SAPO (arXiv 2511.20347): (4/tau) sigmoid(tau (r - 1)) A; the gate's slope 4 s (1 - s) is 1 at
 * ratio 1, and 0 in any float beyond ratios of thousands. */
static struct policy_term sapo(const struct objective *g, const struct policy_token *t)
{
    float tau = t->advantage > 0 ? g->gate_pos : g->gate_neg;
    float s = 1 / (1 + expf(-tau * (t->ratio - 1)));
    float slope = t->ratio < 1e4f ? 4 * s * (1 - s) * t->ratio : 0;
    return (struct policy_term){4 / tau * s * t->advantage, slope * t->advantage, false};
}

/* VESPO (arXiv 2602.10693): sg(phi(W)) A log pi with phi(W) = W^k e^(lambda (1 - W)) of the
 * answer's ratio W, which is kept in [1e-8, e^20]. */
static struct policy_term vespo(const struct objective *g, const struct policy_token *t)
{
    const double *shape = t->advantage >= 0 ? g->vespo_pos : g->vespo_neg;
    double log_w = within((double)t->answer->log_sum, log(1e-8), 20);
    float phi = (float)exp(shape[0] * log_w + shape[1] * (1 - exp(log_w)));
    float weight = phi * t->advantage;
    return (struct policy_term){weight * t->logp, weight, false};
}

/* DPPO, binary total variation (arXiv 2602.04879): a token whose probability has moved too far the
 * way the advantage wants is dropped; clip_low and clip_high bound probabilities here. */
static struct policy_term dppo(const struct objective *g, const struct policy_token *t)
{
    float moved = expf(t->logp) - expf(t->old_logp);
    bool dropped = t->advantage > 0 ? moved > g->clip_high : moved < -g->clip_low;
    float j = dropped ? 0 : t->ratio * t->advantage;
    return (struct policy_term){j, j, dropped};
}

/* Kimi K2.5 (arXiv 2602.02276): clip(r) A, without a gradient outside whatever the sign of A. */
static struct policy_term window(const struct objective *g, const struct policy_token *t)
{
    float clipped = grpo_bounded(g, t->ratio);
    bool outside = clipped != t->ratio;
    return (struct policy_term){clipped * t->advantage, outside ? 0 : clipped * t->advantage,
                                outside};
}

/* --- loss and gradient --- */

struct kl_term policy_kl(int estimator, float logp, float ref_logp, float ratio)
{
    float d = ref_logp - logp;
    const struct kl_term k3 = grpo_kl(logp, ref_logp);
    switch (estimator) {
    case KL_K1: return (struct kl_term){-d, 1};
    case KL_K2: return (struct kl_term){d * d / 2, -d};
    case KL_UNBIASED: return (struct kl_term){ratio * k3.value, -ratio * d};
    default: return k3;
    }
}

/* At ratio 1 without a KL each term beside J is 0 exactly. */
struct policy_loss policy_loss(const struct objective *g, const struct policy_term *j,
                               const struct policy_token *t, float ref_logp, float weight)
{
    struct kl_term kl = {0, 0};
    float beside = 0, dbeside = 0;
    if (g->kl > 0) {
        kl = policy_kl(g->kl_estimator, t->logp, ref_logp, t->ratio);
        beside = g->kl * kl.value;
        dbeside = g->kl * kl.slope;
    }
    if (g->ratio_penalty > 0) {
        float log_ratio = t->logp - t->old_logp;
        beside += g->ratio_penalty * log_ratio * log_ratio;
        dbeside += g->ratio_penalty * 2 * log_ratio;
    }
    return (struct policy_loss){.loss = weight * (beside - j->objective),
                                .dlogp = weight * (dbeside - j->dobjective),
                                .kl = kl.value};
}

/* A NaN shows, as infinity: that stays the largest, here and in MPI_MAX. */
static void add_deviation(struct loss *l, float ratio)
{
    float deviation = fabsf(ratio - 1);
    if (!(deviation <= l->max_deviation))
        l->max_deviation = isnan(deviation) ? INFINITY : deviation;
}

/* Sums are exact, so that metrics are the same on every mesh. */
static void answer(struct loss *l, const struct answer_rows *a, policy_term *term)
{
    const struct objective *g = &l->objective;
    const struct answer_ratio whole = answer_ratio_of(g, a);
    for (int i = 0; i < a->n; i++) {
        struct policy_token t = {.logp = a->logp[i],
                                 .ratio = expf(a->logp[i] - a->old_logp[i]),
                                 .old_logp = a->old_logp[i],
                                 .advantage = a->advantage[i],
                                 .answer = &whole};
        struct policy_term j = whole.masked ? (struct policy_term){0, 0, true} : term(g, &t);
        struct policy_loss p = policy_loss(g, &j, &t, a->ref_logp[i], a->weight[i]);
        a->dlogp[i] = p.dlogp;
        exact_add(&l->sum[SUM_LOSS], (double)p.loss);
        exact_add(&l->sum[SUM_CLIPPED], j.clipped ? 1 : 0);
        exact_add(&l->sum[SUM_KL], (double)p.kl);
        add_deviation(l, t.ratio);
    }
}

/* --- the table --- */

#define SHAPE(term)                                                        \
    static void term##_answer(struct loss *l, const struct answer_rows *a) \
    {                                                                      \
        answer(l, a, term);                                                \
    }
SHAPE(token_clip)
SHAPE(sequence_clip)
SHAPE(cispo)
SHAPE(gmpo)
SHAPE(sapo)
SHAPE(vespo)
SHAPE(dppo)
SHAPE(window)

#define ROW(term, called, all)                                                        \
    {                                                                                 \
        {.name = called, .answer = term##_answer, .learns = true, .whole = all},      \
            {.name = called, .answer = term##_answer, .learns = true, .whole = true}, \
    }
const struct loss_shape policy_shapes[POLICIES][2] = {
    [POLICY_CLIP] = ROW(token_clip, "clip loss", false),
    [POLICY_GSPO] = ROW(sequence_clip, "gspo loss", true),
    [POLICY_CISPO] = ROW(cispo, "cispo loss", false),
    [POLICY_GMPO] = ROW(gmpo, "gmpo loss", true),
    [POLICY_SAPO] = ROW(sapo, "sapo loss", false),
    [POLICY_VESPO] = ROW(vespo, "vespo loss", true),
    [POLICY_DPPO] = ROW(dppo, "dppo loss", false),
    [POLICY_WINDOW] = ROW(window, "window loss", false),
};

const struct loss_shape *policy_shape(const struct phase_settings *k)
{
    return &policy_shapes[k->policy_loss][k->off_policy_mask > 0];
}
