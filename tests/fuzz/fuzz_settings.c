/* Any bytes as a recipe: refused or read, printed and read again; never a crash (P11). Built by
 * `make fuzz`. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/config/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct settings s, again;
    struct problems p = {0};
    settings_defaults(&s);
    settings_defaults(&again);
    if (settings_parse(&s, data, n, "fuzz", &p)) {
        settings_check(&s, 4, &p);
        char *yaml = settings_yaml(&s);
        problems_free(&p);
        if (!settings_parse(&again, yaml, strlen(yaml), "again", &p)) problems_print(&p);
        INVARIANT(p.n == 0, "the printed recipe has %d mistakes", p.n);
        free(yaml);
    }
    problems_free(&p);
    settings_free(&s);
    settings_free(&again);
    return 0;
}
