/* AdamW (arXiv 1711.05101): moments, bias correction, decoupled decay; one pass over six arrays. */
#include <math.h>
#include "model/cpu/vec.h"

enum { BLOCK = 64 };

/* What is constant in a call. */
struct rule {
    float b1, b2, a1, a2, scale, eps, keep, step, root;
};

static void ahead(const void *p, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64) memory_ahead((const unsigned char *)p + at);
}

static inline void step_some(real *restrict p, float *restrict w, float *restrict mean,
                             float *restrict square, const float *restrict dw, size_t n,
                             const struct rule *r)
{
    for (size_t i = 0; i < n; i++) {
        float g = dw[i] * r->scale;
        mean[i] = r->b1 * mean[i] + r->a1 * g;
        square[i] = r->b2 * square[i] + r->a2 * (g * g);
        w[i] = r->keep * w[i] - r->step * mean[i] / (sqrtf(square[i]) * r->root + r->eps);
        p[i] = real_put(w[i]);
    }
}

/* AdamW (Loshchilov and Hutter, 2019). Constants are formed in double and rounded once, so that all
 * instruction sets start from the same floats. */
void OP(adamw_step)(void *param, float *master, float *m, float *v, const float *grad, size_t n,
                    const struct adamw *h)
{
    const struct rule r = {.b1 = h->beta1,
                           .b2 = h->beta2,
                           .a1 = (float)(1.0 - (double)h->beta1),
                           .a2 = (float)(1.0 - (double)h->beta2),
                           .scale = h->grad_scale,
                           .eps = h->eps,
                           .keep = (float)(1.0 - (double)h->lr * (double)h->weight_decay),
                           .step = (float)((double)h->lr / (double)h->correction1),
                           .root = (float)(1.0 / sqrt((double)h->correction2))};
    real *p = param;
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        ahead(grad + i, BLOCK * sizeof *grad);
        ahead(master + i, BLOCK * sizeof *master);
        ahead(m + i, BLOCK * sizeof *m);
        ahead(v + i, BLOCK * sizeof *v);
        ahead(p + i, BLOCK * sizeof *p);
        step_some(p + i, master + i, m + i, v + i, grad + i, BLOCK, &r);
    }
    step_some(p + i, master + i, m + i, v + i, grad + i, n - i, &r);
}
