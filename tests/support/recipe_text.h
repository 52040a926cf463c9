/* Recipes written in tests. Header only: each test is one file. */
#ifndef DUET_TESTS_SUPPORT_RECIPE_TEXT_H
#define DUET_TESTS_SUPPORT_RECIPE_TEXT_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "comm/base/die.h"
#include "comm/base/problems.h"
#include "trainer/config/settings.h"

/* Every section, every kind of value, every kind of phase. */
static const char *const RECIPE_OF_ALL = "seed: 7\n"
                                         "out: 'runs/x'\n"
                                         "precision: fp32\n"
                                         "model:\n"
                                         "  layers: 6   # six\n"
                                         "  heads: 8\n"
                                         "  tied: true\n"
                                         "  norm_eps: 1e-5\n"
                                         "mesh: {dp: 2, pp: 2}\n"
                                         "data:\n"
                                         "  task: equations\n"
                                         "phases:\n"
                                         "  - kind: sft\n"
                                         "    steps: 500\n"
                                         "    lr: 2e-4\n"
                                         "  - steps: 50\n"
                                         "    advantage: mean\n"
                                         "    kind: grpo\n"
                                         "  - {kind: grpo, name: late, temperature: 0.7}\n"
                                         "  - {kind: eval, samples: 4}\n";

/* What the text says over the defaults; false with problems that call it r.yaml. settings_free
 * either way. */
static inline bool recipe_parse(struct settings *s, const char *yaml, struct problems *p)
{
    settings_defaults(s);
    return settings_parse(s, yaml, strlen(yaml), "r.yaml", p);
}

/* The same of a recipe that is right, written as printf does. With ranks > 0 it is also checked for
 * that many, and zeros are resolved. A recipe that is not right is the test's mistake, and ends it.
 */
__attribute__((format(printf, 2, 3))) static inline struct settings recipe_of(int ranks,
                                                                              const char *format,
                                                                              ...)
{
    char yaml[2048];
    struct settings s;
    struct problems p = {0};
    va_list values;
    va_start(values, format);
    int n = vsnprintf(yaml, sizeof yaml, format, values);
    va_end(values);
    INVARIANT(n >= 0 && (size_t)n < sizeof yaml, "a recipe of %d characters", n);
    bool right = recipe_parse(&s, yaml, &p) && (ranks == 0 || settings_check(&s, ranks, &p));
    INVARIANT(right, "%s", p.n ? p.text[0] : "?");
    return s;
}

#endif
