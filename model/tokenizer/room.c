#include "model/tokenizer/room.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/die.h"

void room_reserve(struct room *r, size_t n)
{
    if (n <= r->size) return;
    r->size = n + n / 2 + 64;
    r->at = realloc(r->at, r->size);
    SYS_OK(r->at, "give the job more memory", "no memory for %zu bytes of text", n);
}

void room_put(struct room *r, const char *bytes, size_t n)
{
    room_reserve(r, r->n + n);
    if (n) memcpy(r->at + r->n, bytes, n);
    r->n += n;
}

void room_free(struct room *r)
{
    free(r->at);
    *r = (struct room){0};
}
