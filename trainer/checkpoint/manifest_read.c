#include "trainer/checkpoint/manifest_read.h"

#include <stdarg.h>
#include <stdio.h>

bool manifest_bad(const struct manifest_reader *r, const char *fmt, ...)
{
    char why[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    problems_add(r->p, r->file, 0, "%s; use another checkpoint, or restore a copy of this one",
                 why);
    return false;
}
