#include "trainer/observe/record.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/die.h"

void record_begin(struct record *r, long step, const char *phase)
{
    r->step = step;
    r->n = 0;
    snprintf(r->phase, sizeof r->phase, "%s", phase);
}

void record_add(struct record *r, const char *name, double value)
{
    INVARIANT(strlen(name) < METRIC_NAME, "metric name of more than %d bytes: %s", METRIC_NAME - 1,
              name);
    INVARIANT(r->n < RECORD_MOST, "more than %d metrics in a line", RECORD_MOST);
    for (int i = 0; i < r->n; i++)
        INVARIANT(strcmp(r->name[i], name) != 0, "metric %s twice in a line", name);
    strcpy(r->name[r->n], name);
    r->value[r->n++] = value;
}

/* --- as text --- */

struct record_line {
    char *text;
    size_t used;
};

static void add_text(struct record_line *l, const char *text)
{
    const size_t n = strlen(text);
    INVARIANT(l->used + n + 3 < RECORD_TEXT, "a line of metrics is longer than %d bytes",
              RECORD_TEXT);
    memcpy(l->text + l->used, text, n + 1);
    l->used += n;
}

/* Names and phases are ours or the recipe's; what JSON would need escaped becomes '_'. */
static void add_string(struct record_line *l, const char *text)
{
    char quoted[METRIC_NAME + 3];
    size_t n = 0;
    quoted[n++] = '"';
    for (; *text && n <= METRIC_NAME; text++) {
        const unsigned char c = (unsigned char)*text;
        quoted[n++] = (char)(c < 0x20 || c == '"' || c == '\\' ? '_' : c);
    }
    quoted[n++] = '"';
    quoted[n] = 0;
    add_text(l, quoted);
}

/* The shortest of three precisions that reads back to the same bits; 17 digits always do. */
static void add_number(struct record_line *l, double value)
{
    char text[40] = "null";
    if (isfinite(value))
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, value);
            const double back = strtod(text, NULL);
            if (memcmp(&back, &value, sizeof value) == 0) break;
        }
    add_text(l, text);
}

/* Without the closing brace: a checkpoint may hold an open line, which is continued after a resume.
 */
size_t record_text(const struct record *r, char *text)
{
    struct record_line l = {text, 0};
    char head[64];
    snprintf(head, sizeof head, "{\"step\":%ld,\"phase\":", r->step);
    add_text(&l, head);
    add_string(&l, r->phase);
    for (int i = 0; i < r->n; i++) {
        add_text(&l, ",");
        add_string(&l, r->name[i]);
        add_text(&l, ":");
        add_number(&l, r->value[i]);
    }
    return l.used;
}

/* --- and back --- */

/* As add_string writes it: nothing that it would change. */
static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == '"' || *c == '\\') return false;
    return strlen(text) < METRIC_NAME;
}

/* A whole number that a double holds exactly. */
static bool is_step(const json_t *value)
{
    const double step = json_is_number(value) ? json_number_value(value) : -1;
    return step >= 0 && step <= 0x1p53 && step == floor(step);
}

/* The members behind step and phase, in their order. */
static bool parse_members(struct record *r, json_t *o)
{
    const char *name;
    json_t *value;
    int at = 0;
    json_object_foreach(o, name, value)
    {
        if (at++ < 2) continue;
        if (!json_is_number(value) && !json_is_null(value)) return false;
        if (!is_plain(name)) return false;
        if (r) record_add(r, name, json_is_null(value) ? (double)NAN : json_number_value(value));
    }
    return true;
}

/* A number may have been written in a shorter way than ours ("1e14"): text has n bytes, that of the
 * record must have room for as many as all of them could take, and for more numbers. */
static bool has_room(size_t n, size_t members)
{
    enum { NUMBER = 24, MORE = 4096 };
    return members <= RECORD_MOST + 2 && n + NUMBER * members + MORE < RECORD_TEXT;
}

static bool parse_object(struct record *r, json_t *o, size_t n)
{
    const json_t *step = json_object_get(o, "step"), *phase = json_object_get(o, "phase");
    if (!is_step(step) || !json_is_string(phase) || !is_plain(json_string_value(phase)))
        return false;
    if (!has_room(n, json_object_size(o))) return false;
    if (r) record_begin(r, (long)json_number_value(step), json_string_value(phase));
    return parse_members(r, o);
}

/* A half-written line of a checkpoint: closed with a brace, it must be one of ours. */
bool record_parse(struct record *r, const char *text)
{
    static const char head[] = "{\"step\":";
    const size_t n = strlen(text);
    char *whole = NULL;
    json_t *o = NULL;
    if (n < RECORD_TEXT && strncmp(text, head, sizeof head - 1) == 0) whole = malloc(n + 2);
    if (whole) {
        memcpy(whole, text, n);
        memcpy(whole + n, "}", 2);
        o = json_loads(whole, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
    }
    const bool ok = o && parse_object(r, o, n);
    json_decref(o);
    free(whole);
    return ok;
}
