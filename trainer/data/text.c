#include "trainer/data/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void text_add(struct text *t, const char *fmt, ...)
{
    size_t room = t->size - t->n;
    va_list args;
    va_start(args, fmt);
    int n = room ? vsnprintf(t->at + t->n, room, fmt, args) : 0;
    va_end(args);
    bool fits = n >= 0 && (size_t)n < room;
    if (!fits) t->cut = true;
    t->n += fits ? (size_t)n : room ? room - 1 : 0;
}

void text_add_bytes(struct text *t, const char *bytes, size_t n)
{
    size_t room = t->size > t->n + 1 ? t->size - t->n - 1 : 0, kept = n < room ? n : room;
    if (kept < n) t->cut = true;
    while (kept < n && kept > 0 && ((unsigned char)bytes[kept] & 0xc0) == 0x80) kept--;
    if (kept) memcpy(t->at + t->n, bytes, kept);
    t->n += kept;
    if (t->n < t->size) t->at[t->n] = '\0';
}
