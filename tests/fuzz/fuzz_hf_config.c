/* Any bytes as config.json or generation_config.json: problems, or settings within their ranges
 * that settings_check can take. */
#include <stdlib.h>
#include <stdint.h>
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct settings s;
    struct problems p = {0};
    settings_defaults(&s);
    hf_generation_apply(&s, bytes, n, "generation_config.json", &p);
    problems_free(&p);
    bool ok = hf_config_apply(&s, bytes, n, "config.json", &p);
    if (ok != (p.n == 0)) abort();
    const struct model_settings *m = &s.model;
    if (ok && (m->layers < 1 || m->hidden < 8 || m->heads < 1 || m->max_context < 16 ||
               m->max_context > 1 << 20 || m->vocabulary < 0))
        abort();
    problems_free(&p);
    if (ok) settings_check(&s, 1, &p);
    problems_free(&p);
    settings_free(&s);
    return 0;
}
