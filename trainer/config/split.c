/* Settings that are lists of numbers: how the recipe cuts the model into chunks, layers that stay
 * dense, tokens that end an answer. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include "trainer/config/settings.h"

/* Returns how many there are even beyond `room`, -1 when it is not such a list. */
static int numbers(const char *at, int *number, int room)
{
    int n = 0;
    if (!at || !*at) return 0;
    for (;; at++) {
        char *end;
        errno = 0;
        long value = strtol(at, &end, 10);
        if (end == at || errno || value < 0 || value > INT_MAX) return -1;
        if (n < room) number[n] = (int)value;
        n++;
        at = end;
        if (!*at) return n;
        if (*at != ',') return -1;
    }
}

int settings_split(const struct settings *s, int *layers, int room)
{
    return numbers(s->mesh.split, layers, room);
}

int settings_dense_layers(const struct settings *s, int *layers, int room)
{
    return numbers(s->model.dense_layers, layers, room);
}

int settings_end_tokens(const struct settings *s, int *ids, int room)
{
    return numbers(s->model.end_tokens, ids, room);
}
