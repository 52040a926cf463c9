/* See jsonl.h. */
#include "trainer/data/jsonl.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/data/example.h"

enum { COMPLAINTS = 20 }; /* a file in another format should not fill the screen */

struct jsonl_reading {
    struct records *out;
    int capacity, bad;
    const char *file;
    struct fields fields;
    struct example line;
    struct problems *problems;
};

static void record_add(struct jsonl_reading *l, int line)
{
    if (l->out->n == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 64;
        l->out->r = realloc(l->out->r, (size_t)l->capacity * sizeof *l->out->r);
        SYS_OK(l->out->r, "give the job more memory", "no memory for %d records of %s", l->capacity,
               l->file);
    }
    const struct example *r = &l->line;
    const char *answer = r->turns > 0 ? r->turn[r->turns - 1].text : r->answer;
    l->out->r[l->out->n++] = (struct problem_record){memory_copy_text(r->prompt, l->file),
                                                     memory_copy_text(answer, l->file), line};
}

static bool line_read(struct jsonl_reading *l, int line, const char *at, size_t n)
{
    char why[EXAMPLE_WHY];
    bool ok = example_read(&l->line, at, n, &l->fields, why);
    if (ok)
        record_add(l, line);
    else
        problems_add(l->problems, l->file, line, "%s", why);
    return ok;
}

static bool line_is_blank(const char *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (at[i] != ' ' && at[i] != '\t' && at[i] != '\r') return false;
    return true;
}

static void lines_read(struct jsonl_reading *l, const char *at, const char *end)
{
    if (end - at >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) at += 3;
    for (int line = 1; at < end && l->bad < COMPLAINTS && line < INT32_MAX; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        if (!line_is_blank(at, length)) l->bad += !line_read(l, line, at, length);
        at = stop ? stop + 1 : end;
    }
    if (l->bad == COMPLAINTS && at < end)
        problems_add(l->problems, l->file, 0, "%d bad lines; the rest was not read", COMPLAINTS);
}

void records_parse(struct records *out, const void *bytes, size_t n, const struct jsonl *from,
                   struct problems *p)
{
    struct jsonl_reading l = {.out = out, .file = from->file, .problems = p};
    *out = (struct records){0};
    if (n > 0 && fields_parse(&l.fields, from->fields, p))
        lines_read(&l, bytes, (const char *)bytes + n);
    fields_free(&l.fields);
    example_free(&l.line);
}

void records_free(struct records *r)
{
    for (int i = 0; i < r->n; i++) {
        free(r->r[i].prompt);
        free(r->r[i].answer);
    }
    free(r->r);
    *r = (struct records){0};
}
