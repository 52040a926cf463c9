/* A line "key value" of the golden files that describe rotary embeddings (tests/oracle/rope.py,
 * families.py). Header only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_ROPE_KEY_H
#define DUET_TESTS_SUPPORT_ROPE_KEY_H

#include <stdbool.h>
#include <string.h>

#include "model/dims.h"

/* What transformers' yarn has beside struct rope: both become one factor of cosines. */
struct rope_mscale {
    double mscale, all;
};

/* false: the key is none of these. */
static inline bool rope_key_read(struct rope *r, struct rope_mscale *m, const char *key,
                                 double value)
{
    const struct {
        const char *key;
        double *to;
    } reals[] = {{"factor", &r->factor}, {"low", &r->low},       {"high", &r->high},
                 {"fast", &r->fast},     {"slow", &r->slow},     {"attention", &r->attention},
                 {"mscale", &m->mscale}, {"mscale_all", &m->all}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (strcmp(key, reals[i].key) == 0) return *reals[i].to = value, true;
    return false;
}

#endif
