#include "trainer/learn/denominator.h"

struct counting counting_of(const struct phase_settings *k)
{
    return (struct counting){.aggregate = k->aggregate,
                             .keep = k->zero_spread == ZERO_SPREAD_KEEP,
                             .kl = k->kl > 0 || k->ratio_penalty > 0,
                             .longest = k->max_new};
}

bool counting_has(const struct counting *rule, struct counted_answer a)
{
    return !a.masked && (a.spread || rule->keep);
}

void denominator_add(struct denominator *d, const struct counting *rule, struct counted_answer a)
{
    if (!counting_has(rule, a)) return;
    d->answers++;
    d->tokens += a.length;
}
