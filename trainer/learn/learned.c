#include "trainer/learn/learned.h"

#include <math.h>

/* NAN: metrics that nothing gave a value are left out or null. */
struct learned learned_nothing(void)
{
    return (struct learned){.loss = NAN,
                            .entropy = NAN,
                            .clip_fraction = NAN,
                            .kl = NAN,
                            .balance = NAN,
                            .bubble_fraction = NAN,
                            .exposed_fraction = NAN,
                            .grad_norm = NAN,
                            .lr = NAN,
                            .imbalance = NAN,
                            .load_max = NAN,
                            .rounds = NAN,
                            .first_deviation = NAN,
                            .later_deviation = NAN};
}

/* x of weight w into the mean of what weighs `before`; what weighs nothing was not measured. */
static void mean_add(double *mean, double before, double x, double w)
{
    if (w == 0) return;
    *mean = before == 0 ? x : *mean + (x - *mean) * (w / (before + w));
}

/* The larger; what was not measured gives way, but infinity stays (of a deviation it stands for
 * NaN, loss.c). */
static void largest(double *most, double x)
{
    if (!isnan(x) && !(*most >= x)) *most = x;
}

/* Means are weighted by what they are means over: updates, tokens, rows or seconds. */
void learned_add(struct learned *l, const struct step_stats *u)
{
    double tokens = (double)l->tokens, rows = (double)l->rows, made = l->updates - l->skipped;
    mean_add(&l->loss, l->updates, u->loss, 1);
    mean_add(&l->entropy, tokens, u->entropy, (double)u->tokens);
    mean_add(&l->clip_fraction, tokens, u->clip_fraction, (double)u->tokens);
    mean_add(&l->kl, tokens, u->k3, (double)u->tokens);
    mean_add(&l->balance, rows, u->balance, (double)u->rows);
    mean_add(&l->bubble_fraction, l->seconds, u->bubble_fraction, u->seconds);
    mean_add(&l->exposed_fraction, l->seconds, u->exposed_fraction, u->seconds);
    if (!u->skipped) {
        mean_add(&l->grad_norm, made, u->grad_norm, 1);
        l->lr = u->lr;
    }
    largest(&l->imbalance, u->imbalance);
    largest(&l->load_max, u->load_max);
    largest(&l->rounds, u->rounds);
    largest(l->updates == 0 ? &l->first_deviation : &l->later_deviation, u->max_deviation);
    l->tokens += u->tokens;
    l->rows += u->rows;
    l->seconds += u->seconds;
    l->reduce_seconds += u->reduce_seconds;
    l->reduce_exposed += u->reduce_exposed;
    l->skipped += u->skipped;
    l->updates++;
}
