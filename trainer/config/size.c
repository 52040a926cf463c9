#include "trainer/config/size.h"

#include <stdlib.h>
#include <string.h>

/* A bare number is refused: it could be bytes as well as gigabytes. */
bool size_parse(const char *text, uint64_t *bytes)
{
    static const struct {
        const char *name;
        double bytes;
    } unit[] = {{"KB", 1e3},     {"MB", 1e6},     {"GB", 1e9},
                {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}};
    char *end;
    double n = strtod(text, &end);
    for (size_t i = 0; end > text && i < sizeof unit / sizeof *unit; i++) {
        if (strcmp(end, unit[i].name) != 0) continue;
        n *= unit[i].bytes;
        *bytes = n >= 1 && n <= 0x1p62 ? (uint64_t)n : 0;
        return *bytes > 0;
    }
    return false;
}
