/* Log-probability of the target and entropy of softmax(logits / temperature), and their gradient.
 */
#include <math.h>
#include "model/cpu/vec.h"

static inline vec scaled(const float *z, int left, float inv_temp)
{
    return left == LANES ? vec_load(z) * inv_temp : vec_load_n(z, left, -INFINITY) * inv_temp;
}

static float largest(const float *z, float inv_temp, int V)
{
    vec most = vec_all(-INFINITY);
    FOR_VECS(v, left, V, {
        memory_ahead(z + v);
        most = vec_max(most, scaled(z + v, left, inv_temp));
    });
    return vec_largest(most);
}

/* Sum of e^(x - most); also of e^(x - most) (x - most), for the entropy: the lanes past V count as
 * 0. A NaN among the logits makes both NaN. */
static float sum_exp(const float *z, float inv_temp, float most, int V, float *sum_ex)
{
    vec sum = {0}, weighted = {0};
    FOR_VECS(v, left, V, {
        vec x = vec_max(vec_all(-1e30f), scaled(z + v, left, inv_temp) - most), e = vec_exp(x);
        sum += e;
        weighted = vec_fma(e, x, weighted);
    });
    *sum_ex = vec_sum(weighted);
    return vec_sum(sum);
}

/* Rows without a target are skipped: prompts and padding cost nothing in the head. */
void OP(logprob_forward)(float *logp, float *entropy, float *range, const float *logits,
                         const int *target, float inv_temp, int T, int V)
{
    for (int t = 0; t < T; t++) {
        logp[t] = entropy[t] = 0;
        if (target[t] < 0) continue;
        const float *z = logits + (size_t)t * (size_t)V;
        float most = largest(z, inv_temp, V), weighted;
        float sum = sum_exp(z, inv_temp, most, V, &weighted), log_sum = logf(sum);
        logp[t] = z[target[t]] * inv_temp - most - log_sum;
        entropy[t] = log_sum - weighted / sum;
        if (!range) continue;
        range[t] = most;
        range[T + t] = sum;
    }
}

/* target: among these V, or anything else */
static void row_backward(real *dz, const float *z, int target, float inv_temp, float most,
                         float sum, float scale, int V)
{
    float share = -scale / sum;
    FOR_VECS(v, left, V, {
        memory_ahead(z + v);
        vec d = vec_exp(scaled(z + v, left, inv_temp) - most) * share;
        if (target >= v && target < v + left) d[target - v] += scale;
        vec_out(dz + v, d, left);
    });
}

/* Probabilities are formed again: keeping them would take V floats a row. */
void OP(logprob_backward)(void *dlogits, const float *dlogp, const float *range,
                          const float *logits, const int *target, float inv_temp, int T, int V)
{
    for (int t = 0; t < T; t++) {
        real *dz = (real *)dlogits + (size_t)t * (size_t)V;
        const float *z = logits + (size_t)t * (size_t)V;
        if (target[t] < 0) {
            memset(dz, 0, (size_t)V * sizeof *dz);
            continue;
        }
        float unused, most = range ? range[t] : largest(z, inv_temp, V);
        float sum = range ? range[T + t] : sum_exp(z, inv_temp, most, V, &unused);
        row_backward(dz, z, target[t], inv_temp, most, sum, dlogp[t] * inv_temp, V);
    }
}

/* --- for a share of the vocabulary --- */

void OP(logprob_most)(float *most, const float *logits, float inv_temp, int T, int V)
{
    for (int t = 0; t < T; t++) most[t] = largest(logits + (size_t)t * (size_t)V, inv_temp, V);
}

void OP(logprob_sums)(float *sums, const float *most, const float *logits, const int *target,
                      int first, float inv_temp, int T, int V)
{
    for (int t = 0; t < T; t++) {
        const float *z = logits + (size_t)t * (size_t)V;
        int own = target[t] - first;
        sums[t] = sum_exp(z, inv_temp, most[t], V, &sums[T + t]);
        sums[2 * T + t] = own >= 0 && own < V ? z[own] * inv_temp - most[t] : 0;
    }
}

/* As logprob_backward, over this rank's share of the vocabulary; largest logit and sum are those of
 * all ranks. */
void OP(logprob_share_backward)(void *dlogits, const float *dlogp, const float *sum_exp,
                                const float *most, const float *logits, const int *target,
                                int first, float inv_temp, int T, int V)
{
    for (int t = 0; t < T; t++) {
        real *dz = (real *)dlogits + (size_t)t * (size_t)V;
        if (target[t] < 0)
            memset(dz, 0, (size_t)V * sizeof *dz);
        else
            row_backward(dz, logits + (size_t)t * (size_t)V, target[t] - first, inv_temp, most[t],
                         sum_exp[t], dlogp[t] * inv_temp, V);
    }
}

void OP(logprob_join)(float *logp, float *entropy, const float *sums, const int *target, int T)
{
    const float *sum = sums, *weighted = sum + T, *picked = weighted + T;
    for (int t = 0; t < T; t++) {
        float log_sum = logf(sum[t]);
        logp[t] = target[t] < 0 ? 0 : picked[t] - log_sum;
        entropy[t] = target[t] < 0 ? 0 : log_sum - weighted[t] / sum[t];
    }
}
