/* See jsonl.h. One line is one JSON value for jansson, so that a bad line is named by its number
 * and the rest is still read; a line costs memory by a small multiple of its length. */
#include "trainer/data/jsonl.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"

enum { COMPLAINTS = 20 }; /* a file in another format should not fill the screen */

struct lines {
    struct records *out;
    int capacity, bad;
    const char *file, *answer; /* answer: the name of that member */
    struct problems *problems;
};

/* A heap copy of a member, NULL when it is absent; *ok = false with a problem when it is no string,
 * or is missing. */
static char *member_copy(const struct lines *l, int line, const json_t *object, const char *name,
                         bool needed, bool *ok)
{
    const json_t *v = json_object_get(object, name);
    if (json_is_string(v)) {
        size_t n = json_string_length(v);
        char *copy = malloc(n + 1);
        SYS_OK(copy, "give the job more memory", "no memory for line %d of %s", line, l->file);
        memcpy(copy, json_string_value(v), n + 1);
        return copy;
    }
    if (v ? !json_is_null(v) || needed : needed) {
        problems_add(l->problems, l->file, line, v ? "\"%s\" is not a string" : "no \"%s\"", name);
        *ok = false;
    }
    return NULL;
}

static void record_free(struct problem_record *r)
{
    free(r->prompt);
    free(r->answer);
    free(r->demonstration);
}

static void records_grow(struct lines *l)
{
    if (l->out->n < l->capacity) return;
    l->capacity = l->capacity ? 2 * l->capacity : 64;
    l->out->r = realloc(l->out->r, (size_t)l->capacity * sizeof *l->out->r);
    SYS_OK(l->out->r, "give the job more memory", "no memory for %d records of %s", l->capacity,
           l->file);
}

static bool line_read(struct lines *l, int line, const char *at, size_t n)
{
    json_error_t error;
    json_t *object = json_loadb(at, n, JSON_REJECT_DUPLICATES, &error);
    if (!object) {
        problems_add(l->problems, l->file, line, "not JSON: %s (column %d)", error.text,
                     error.column);
        return false;
    }
    bool ok = json_is_object(object);
    if (!ok)
        problems_add(l->problems, l->file, line,
                     "not a JSON object with \"prompt\" and \"answer\"");
    if (ok) {
        struct problem_record r = {.line = line};
        r.prompt = member_copy(l, line, object, "prompt", true, &ok);
        r.answer = member_copy(l, line, object, l->answer, true, &ok);
        r.demonstration = member_copy(l, line, object, "demonstration", false, &ok);
        records_grow(l);
        if (ok)
            l->out->r[l->out->n++] = r;
        else
            record_free(&r);
    }
    json_decref(object);
    return ok;
}

static bool line_is_blank(const char *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (at[i] != ' ' && at[i] != '\t' && at[i] != '\r') return false;
    return true;
}

void records_parse(struct records *out, const void *bytes, size_t n, const char *file,
                   struct problems *p)
{
    records_parse_as(out, bytes, n, file, "answer", p);
}

void records_parse_as(struct records *out, const void *bytes, size_t n, const char *file,
                      const char *answer, struct problems *p)
{
    const char *at = bytes, *end = n ? at + n : at;
    struct lines l = {.out = out, .file = file, .answer = answer, .problems = p};
    *out = (struct records){0};
    if (n >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) at += 3;
    for (int line = 1; at < end && l.bad < COMPLAINTS && line < INT32_MAX; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        if (!line_is_blank(at, length)) l.bad += !line_read(&l, line, at, length);
        at = stop ? stop + 1 : end;
    }
    if (l.bad == COMPLAINTS && at < end)
        problems_add(p, file, 0, "%d bad lines; the rest was not read", COMPLAINTS);
}

void records_free(struct records *r)
{
    for (int i = 0; i < r->n; i++) record_free(&r->r[i]);
    free(r->r);
    *r = (struct records){0};
}
