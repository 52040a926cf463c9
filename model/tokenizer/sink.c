/* Where decoded text goes: as much as there is room for, all of it counted. */
#include "model/tokenizer/kind.h"

#include <string.h>

void sink_put(struct sink *out, const char *text, size_t n)
{
    size_t room = out->n < out->max ? out->max - out->n : 0;
    if (room) memcpy(out->at + out->n, text, n < room ? n : room);
    out->n += n;
}
