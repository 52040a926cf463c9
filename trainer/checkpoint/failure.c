#include "trainer/checkpoint/failure.h"

#include <stdarg.h>
#include <stdio.h>

void failure_note(struct failure *f, const char *why, const char *what_fmt, ...)
{
    if (failed(f)) return;
    va_list args;
    va_start(args, what_fmt);
    vsnprintf(f->what, sizeof f->what, what_fmt, args);
    va_end(args);
    snprintf(f->why, sizeof f->why, "%s", why);
}
