/* Any bytes as a line of the user's JSON Lines, by recognition or by the mapping that stands before
 * its first line break; and as JSON, where jansson is the oracle. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/data/example.h"
#include "trainer/data/scan.h"

static void read_line(const char *line, size_t n, const char *mapping)
{
    struct problems p = {0};
    struct fields f;
    struct example e = {.turns = 0};
    char why[EXAMPLE_WHY] = "";
    if (fields_parse(&f, mapping, &p)) {
        bool ok = example_read(&e, line, n, &f, why);
        if (ok && (!e.prompt || (!e.answer && e.turns == 0))) abort();
        if (!ok && !*why) abort();
        size_t bytes = ok ? strlen(e.prompt) : 0;
        for (int i = 0; ok && i < e.turns; i++) bytes += strlen(e.turn[i].text);
        if (bytes > 4 * n + 16) abort();
    }
    example_free(&e);
    fields_free(&f);
    problems_free(&p);
}

/* What the scanner takes jansson takes, but for numbers that are too large for it; what jansson
 * takes the scanner takes, but for what stands behind a NUL, which jansson takes for the end. */
static void compare(const char *line, size_t n)
{
    struct scan s = {line, line + n};
    struct span value;
    json_error_t error;
    if (n > 0 && memchr(line, '\0', n)) return;
    json_t *json = json_loadb(line, n, JSON_DECODE_ANY, &error);
    bool ours = scan_value(&s, &value) && scan_done(&s);
    bool overflow = !json && json_error_code(&error) == json_error_numeric_overflow;
    if (ours != (json != NULL) && !overflow) abort();
    if (ours && json_is_string(json)) {
        char *text = malloc(value.n);
        if (!text || scan_unescape(value, text) != json_string_length(json)) abort();
        if (memcmp(text, json_string_value(json), json_string_length(json)) != 0) abort();
        free(text);
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    const char *text = (const char *)bytes;
    const char *stop = n > 0 ? memchr(text, '\n', n) : NULL;
    compare(text, n);
    read_line(text, n, NULL);
    if (!stop) return 0;
    char *mapping = strndup(text, (size_t)(stop - text));
    if (!mapping) return 0;
    read_line(stop + 1, n - (size_t)(stop + 1 - text), mapping);
    free(mapping);
    return 0;
}
