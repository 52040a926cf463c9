#include "trainer/learn/lr.h"

#include <math.h>

double lr_at(const struct lr *s, long update)
{
    if (update < s->warmup) return s->peak * (double)(update + 1) / (double)s->warmup;
    long left = s->updates - s->warmup;
    double x = left > 1 ? (double)(update - s->warmup) / (double)(left - 1) : 1;
    if (x > 1) x = 1;
    double down = s->shape == LR_LINEAR   ? x
                  : s->shape == LR_COSINE ? 0.5 * (1 - cos(acos(-1) * x))
                                          : 0;
    return s->peak * (1 + (s->final - 1) * down);
}

/* Counted in updates: a rollout step may have several. */
struct adamw lr_adamw(const struct phase_settings *k, long per_step, long update)
{
    const struct lr s = {.peak = k->lr,
                         .final = k->lr_final,
                         .shape = k->lr_decay,
                         .warmup = k->warmup * per_step,
                         .updates = k->steps * per_step};
    return (struct adamw){.lr = (float)lr_at(&s, update),
                          .beta1 = (float)k->beta1,
                          .beta2 = (float)k->beta2,
                          .eps = (float)k->adam_eps,
                          .weight_decay = (float)k->weight_decay};
}
