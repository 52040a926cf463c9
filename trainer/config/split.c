/* How the recipe cuts the model into chunks. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include "trainer/config/settings.h"

int settings_split(const struct settings *s, int *layers, int room)
{
    const char *at = s->mesh.split;
    int n = 0;
    if (!*at) return 0;
    for (;; at++) {
        char *end;
        errno = 0;
        long value = strtol(at, &end, 10);
        if (end == at || errno || value < 0 || value > INT_MAX) return -1;
        if (n < room) layers[n] = (int)value;
        n++;
        at = end;
        if (!*at) return n;
        if (*at != ',') return -1;
    }
}
