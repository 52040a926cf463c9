#include "trainer/reward/environment/environment.h"
#include <string.h>

static const struct environment *const environments[] = {&environment_calculator};

const struct environment *environment_named(const char *name)
{
    for (size_t i = 0; i < sizeof environments / sizeof *environments; i++)
        if (strcmp(environments[i]->name, name) == 0) return environments[i];
    return NULL;
}

bool environment_wrap(const char *wrap, struct span *before, struct span *after)
{
    const size_t n = strlen(ENVIRONMENT_OBSERVATION);
    const struct span all = {wrap, strlen(wrap)};
    size_t at = span_find(all, ENVIRONMENT_OBSERVATION);
    if (at == all.n) return false;
    *before = (struct span){wrap, at};
    *after = (struct span){wrap + at + n, all.n - at - n};
    return span_find(*after, ENVIRONMENT_OBSERVATION) == after->n;
}
