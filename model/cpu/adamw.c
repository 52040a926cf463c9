/* AdamW (arXiv 1711.05101): moments, bias correction, decoupled decay; one pass over six arrays. */
#include <math.h>
#include "model/cpu/real.h"

/* AdamW (Loshchilov and Hutter, 2019). Constants are formed in double and rounded once, so that all
 * instruction sets start from the same floats. */
void OP(adamw_step)(void *param, float *master, float *m, float *v, const float *grad, size_t n,
                    const struct adamw *h)
{
    real *restrict p = param;
    float *restrict w = master, *restrict mean = m, *restrict square = v;
    const float *restrict dw = grad;
    const float b1 = h->beta1, b2 = h->beta2, scale = h->grad_scale, eps = h->eps;
    const float a1 = (float)(1.0 - (double)b1), a2 = (float)(1.0 - (double)b2);
    const float keep = (float)(1.0 - (double)h->lr * (double)h->weight_decay);
    const float step = (float)((double)h->lr / (double)h->correction1);
    const float root = (float)(1.0 / sqrt((double)h->correction2));
    for (size_t i = 0; i < n; i++) {
        float g = dw[i] * scale;
        mean[i] = b1 * mean[i] + a1 * g;
        square[i] = b2 * square[i] + a2 * (g * g);
        w[i] = keep * w[i] - step * mean[i] / (sqrtf(square[i]) * root + eps);
        p[i] = real_put(w[i]);
    }
}
