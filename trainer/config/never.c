#include "trainer/config/never.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

/* "7" or "7-9" at *at, which goes behind it and a comma. false: neither. */
static bool take_range(const char **at, int rows, struct share *out)
{
    char *end;
    errno = 0;
    if (**at < '0' || **at > '9') return false;
    long first = strtol(*at, &end, 10), last = first;
    if (*end == '-' && end[1] >= '0' && end[1] <= '9') last = strtol(end + 1, &end, 10);
    bool more = *end == ',' && end[1];
    if (errno || first > last || last >= rows || (*end && !more)) return false;
    *at = end + more;
    *out = (struct share){(int)first, (int)(last - first + 1)};
    return true;
}

static int by_first(const void *a, const void *b)
{
    const struct share *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Ranges that touch or overlap become one: the head fills columns range by range. */
static void join_ranges(struct never_tokens *t)
{
    int kept = 0;
    qsort(t->range, (size_t)t->n, sizeof *t->range, by_first);
    for (int i = 0; i < t->n; i++) {
        struct share *last = kept ? &t->range[kept - 1] : NULL, is = t->range[i];
        if (!last || is.first > last->first + last->n)
            t->range[kept++] = is;
        else if (is.first + is.n > last->first + last->n)
            last->n = is.first + is.n - last->first;
    }
    t->n = kept;
}

/* A list of n ranges has n - 1 commas, hence the room. */
bool never_parse(struct never_tokens *t, const char *text, int rows, const char *file,
                 struct problems *p)
{
    const char *at = text;
    size_t room = 1;
    for (const char *c = text; *c; c++) room += *c == ',';
    *t = (struct never_tokens){.range = memory_take(room, sizeof *t->range, "tokens not sampled")};
    while (*at && take_range(&at, rows, &t->range[t->n])) t->n++;
    bool ok = !*at;
    if (!ok)
        problems_add(p, file, 0,
                     "model.never_tokens %.60s is not a list of token ids below %d, or ranges of "
                     "them, like 7,20-31",
                     text, rows);
    join_ranges(t);
    if (ok && t->n == 1 && t->range[0].n == rows) {
        problems_add(p, file, 0, "model.never_tokens %.60s leaves no token to sample", text);
        ok = false;
    }
    return ok;
}

bool never_has(const struct never_tokens *t, int id)
{
    for (int i = 0; i < t->n; i++)
        if (id >= t->range[i].first && id - t->range[i].first < t->range[i].n) return true;
    return false;
}

/* Neighbours become ranges: rows without a token mostly stand together at the end. */
char *never_text(const unsigned char *masked, int rows)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    SYS_OK(f, "free memory", "no memory for a setting");
    for (int i = 0, end; i < rows; i = end) {
        for (end = i + 1; end < rows && masked[end] && masked[i]; end++) continue;
        if (!masked[i]) continue;
        fprintf(f, "%s%d", ftell(f) > 0 ? "," : "", i);
        if (end > i + 1) fprintf(f, "-%d", end - 1);
    }
    SYS_OK(fclose(f) == 0, "free memory", "no memory for a setting");
    return text;
}

void never_free(struct never_tokens *t)
{
    free(t->range);
    *t = (struct never_tokens){0};
}
