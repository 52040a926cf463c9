/* See line.h. */
#include "trainer/reward/plugin/line.h"
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/utf8.h"
#include "trainer/data/scan.h"

enum { ID_AT = 7, ID_BYTES = 16, NUMBER_BYTES = 64 };

/* A line that is being written: counts on where it no longer fits. */
struct writer {
    char *out;
    size_t size, n;
};

static void put(struct writer *w, const char *at, size_t n)
{
    if (n > 0 && w->n <= w->size && n <= w->size - w->n) memcpy(w->out + w->n, at, n);
    w->n += n;
}

static void put_text(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_escaped(struct writer *w, unsigned char c)
{
    char text[8];
    if (c == '\n')
        put_text(w, "\\n");
    else if (c == '"' || c == '\\')
        put(w, (char[]){'\\', (char)c}, 2);
    else
        put(w, text, (size_t)snprintf(text, sizeof text, "\\u%04x", c));
}

/* Runs of plain characters go out whole: answers are long, and most of them is plain. */
static void put_string(struct writer *w, struct span s)
{
    size_t from = 0, i = 0;
    put_text(w, "\"");
    while (i < s.n) {
        unsigned char c = (unsigned char)s.at[i];
        size_t bytes = c < 0x80 ? 1 : utf8_character(s.at + i, s.n - i);
        if (bytes > 0 && c >= ' ' && c != '"' && c != '\\') {
            i += bytes;
            continue;
        }
        if (i > from) put(w, s.at + from, i - from);
        if (bytes > 0) {
            put_escaped(w, c);
            i++;
        } else {
            int cut;
            put_text(w, UTF8_REPLACEMENT);
            i += utf8_broken(s.at + i, s.n - i, &cut);
        }
        from = i;
    }
    if (s.n > from) put(w, s.at + from, s.n - from);
    put_text(w, "\"");
}

/* A line break between tokens of JSON would end the line. */
static void put_json(struct writer *w, struct span s)
{
    for (size_t i = 0; i < s.n; i++) put(w, s.at[i] == '\n' || s.at[i] == '\r' ? " " : s.at + i, 1);
}

/* The id comes first and is always as long: line_name puts another in its place for each try. */
size_t line_write(char *out, size_t size, const struct line_request *r)
{
    struct writer w = {out, size, 0};
    const struct {
        const char *key;
        struct span text;
    } strings[] = {{",\"expected\":", r->expected},
                   {",\"prompt\":", r->prompt},
                   {",\"language\":", r->language}};
    put_text(&w, "{\"id\":\"0000000000000000\",\"answer\":");
    put_string(&w, r->answer);
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        if (!strings[i].text.at) continue;
        put_text(&w, strings[i].key);
        put_string(&w, strings[i].text);
    }
    if (r->tests.at) {
        put_text(&w, ",\"tests\":");
        put_json(&w, r->tests);
    }
    put_text(&w, "}\n");
    return w.n;
}

static void id_text(char out[ID_BYTES + 1], uint64_t id)
{
    snprintf(out, ID_BYTES + 1, "%016" PRIx64, id);
}

void line_name(char *line, uint64_t id)
{
    char text[ID_BYTES + 1];
    id_text(text, id);
    memcpy(line + ID_AT, text, ID_BYTES);
}

char *line_printable(char *out, size_t size, struct span text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n && n + 1 < size; i++) {
        unsigned char c = (unsigned char)text.at[i];
        out[n++] = c >= ' ' && c < 0x7f ? (char)c : '?';
    }
    if (size > 0) out[n] = '\0';
    return out;
}

/* The members of a reply; of one that is given twice the last. */
struct members {
    struct span id, reward, error, why;
};

/* A line counts as a whole or not at all: what stands before a mistake says nothing. */
static bool read_members(struct members *m, struct span line)
{
    struct scan s = scan_of(line);
    struct span key, value;
    bool first = true;
    *m = (struct members){.id = {NULL, 0}};
    if (!scan_opens(&s, '{')) return false;
    for (;;) {
        enum scan_step step = scan_member(&s, &first, &key);
        if (step == SCAN_END) return scan_done(&s);
        if (step == SCAN_WRONG || !scan_value(&s, &value)) return false;
        struct span *to = scan_key_is(key, "id")       ? &m->id
                          : scan_key_is(key, "reward") ? &m->reward
                          : scan_key_is(key, "error")  ? &m->error
                          : scan_key_is(key, "why")    ? &m->why
                                                       : NULL;
        if (to) *to = value;
    }
}

/* Is the value this id, as a string? */
static bool names(struct span value, const char *id)
{
    return value.n == ID_BYTES + 2 && value.at[0] == '"' && memcmp(value.at + 1, id, ID_BYTES) == 0;
}

static bool has(struct span line, const char *word)
{
    return span_find(line, word) < line.n;
}

/* A JSON number is what strtod takes; the value is not ended by a 0, so it is copied. */
static bool read_number(struct span value, double *out)
{
    char text[NUMBER_BYTES];
    bool number = value.n > 0 && value.n < sizeof text &&
                  (value.at[0] == '-' || (value.at[0] >= '0' && value.at[0] <= '9'));
    if (value_is(value, 't') || value_is(value, 'f')) {
        *out = value_is(value, 't');
        return true;
    }
    if (!number) return false;
    memcpy(text, value.at, value.n);
    text[value.n] = '\0';
    *out = strtod(text, NULL);
    return isfinite((float)*out);
}

static struct span inside(struct span value)
{
    bool string = value_is(value, '"');
    return string ? (struct span){value.at + 1, value.n - 2} : value;
}

/* What has id and reward in it and is no verdict (NaN, as Python's json writes it; a reward that is
 * a text) is one that went wrong: nobody waits for another. A request that is printed is none. */
void line_read(struct line_reply *out, uint64_t id, struct span line)
{
    struct members m;
    char own[ID_BYTES + 1];
    id_text(own, id);
    bool read = read_members(&m, line), mine = read && names(m.id, own);
    *out = (struct line_reply){.kind = LINE_GARBAGE};
    struct span said = line;
    if (mine && m.error.at) {
        out->kind = LINE_ERROR;
        said = inside(m.error);
    } else if (mine && m.reward.at && read_number(m.reward, &out->reward)) {
        out->kind = LINE_REWARD;
        said = inside(m.why);
    } else if (mine ? m.reward.at != NULL : !read && has(line, own) && has(line, "reward")) {
        out->kind = LINE_BAD;
    } else if (read && m.id.at && (m.reward.at || m.error.at)) {
        out->kind = LINE_OTHER;
    }
    line_printable(out->why, sizeof out->why, said);
}
