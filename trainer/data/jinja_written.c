#include "trainer/data/jinja_written.h"

#include <string.h>
#include "trainer/data/rendered.h"

bool written_equal(struct written a, struct written b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.text, b.text, a.n) == 0);
}

size_t written_search(struct written a, struct written b, size_t from)
{
    if (b.n == 0) return from <= a.n ? from : a.n;
    while (from + b.n <= a.n) {
        const char *at = memchr(a.text + from, b.text[0], a.n - b.n - from + 1);
        if (!at) break;
        from = (size_t)(at - a.text);
        if (memcmp(at, b.text, b.n) == 0) return from;
        from++;
    }
    return a.n;
}

struct written written_part(struct written s, size_t from, size_t to)
{
    if (from >= to) return (struct written){s.text, NULL, 0};
    return (struct written){s.text + from, s.who ? s.who + from : NULL, to - from};
}

size_t written_character(struct written s, size_t at)
{
    size_t n = 1;
    while (at + n < s.n && ((unsigned char)s.text[at + n] & 0xc0) == 0x80) n++;
    return n;
}

size_t written_characters(struct written s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.text[i] & 0xc0) != 0x80;
    return n;
}

size_t written_byte(struct written s, size_t i)
{
    size_t at = 0;
    for (; i > 0 && at < s.n; i--) at += written_character(s, at);
    return at;
}

/* --- putting texts together --- */

/* Room doubles; what is left behind in the pool is at most as much again. */
void builder_add(struct builder *b, const char *text, const unsigned char *who, size_t n)
{
    if (n == 0 || b->p->failed) return;
    if (n > b->room - b->n) {
        size_t room = 2 * (b->n + n) + 64;
        char *wider = pool_take(b->p, room);
        unsigned char *whose = pool_take(b->p, room);
        if (!wider || !whose) return;
        if (b->n) memcpy(wider, b->text, b->n);
        if (b->n) memcpy(whose, b->who, b->n);
        b->text = wider;
        b->who = whose;
        b->room = room;
    }
    memcpy(b->text + b->n, text, n);
    if (who)
        memcpy(b->who + b->n, who, n);
    else
        memset(b->who + b->n, WHO_TEMPLATE, n);
    b->n += n;
}

void builder_add_written(struct builder *b, struct written s)
{
    builder_add(b, s.text, s.who, s.n);
}

struct written builder_written(const struct builder *b)
{
    return (struct written){b->n ? b->text : "", b->who, b->p->failed ? 0 : b->n};
}
