#include "trainer/data/jinja_pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "trainer/data/jinja.h"

struct pool_piece {
    struct pool_piece *before;
    size_t used, room;
    _Alignas(16) char bytes[];
};

void pool_fail(struct pool *p, const char *fmt, ...)
{
    if (p->failed) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->why, JINJA_WHY, fmt, args);
    va_end(args);
    p->failed = true;
}

bool pool_step(struct pool *p)
{
    if (p->steps-- <= 0) pool_fail(p, "the template runs for too long");
    return !p->failed;
}

/* Zeroed, and aligned for any type. One bound for the whole template: nothing is given back before
 * its end. */
void *pool_take(struct pool *p, size_t bytes)
{
    enum { PIECE = 16384 };
    size_t n = (bytes + 15) & ~(size_t)15;
    if (n < bytes || p->used > p->most || n > p->most - p->used) {
        pool_fail(p, "the template takes too much memory");
        return NULL;
    }
    struct pool_piece *at = p->last;
    if (!at || at->room - at->used < n) {
        size_t room = n > PIECE ? n : PIECE;
        at = calloc(1, sizeof *at + room);
        if (!at) {
            pool_fail(p, "no memory");
            return NULL;
        }
        at->room = room;
        at->before = p->last;
        p->last = at;
    }
    void *taken = at->bytes + at->used;
    at->used += n;
    p->used += n;
    return taken;
}

void pool_free(struct pool *p)
{
    while (p->last) {
        struct pool_piece *before = p->last->before;
        free(p->last);
        p->last = before;
    }
}
