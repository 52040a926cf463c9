/* What check.c and check_model.c say: a problem with the line, or --set, that it is about. */
#include "trainer/config/check.h"

#include <stdarg.h>
#include <stdio.h>

void complain(const struct check *c, int line, const char *fmt, ...)
{
    char text[1024];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    problems_add(c->p, line == LINE_SET ? "--set" : c->s->file, line > 0 ? line : 0, "%s", text);
}
