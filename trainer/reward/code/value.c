#include "trainer/reward/code/value.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void write_text(FILE *out, char kind, const char *text, size_t n)
{
    fputc(kind, out);
    for (size_t i = 0; i < n; i++) fprintf(out, "%02x", (unsigned char)text[i]);
}

static void write_real(FILE *out, double x)
{
    uint64_t bits;
    if (x == 0) x = 0; /* -0.0 */
    memcpy(&bits, &x, sizeof bits);
    fprintf(out, "d%016" PRIx64, bits);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Bytes of UTF-8 have the order of their hexadecimal digits. */
static void write_object(FILE *out, const json_t *value)
{
    const size_t n = json_object_size(value);
    const char **name = calloc(n + 1, sizeof *name), *key;
    json_t *member;
    size_t i = 0;
    json_object_foreach((json_t *)(uintptr_t)value, key, member) if (name) name[i++] = key;
    if (name) qsort(name, i, sizeof *name, by_name);
    fputc('{', out);
    for (size_t k = 0; name && k < i; k++) {
        if (k > 0) fputc(',', out);
        write_text(out, 's', name[k], strlen(name[k]));
        fputc(':', out);
        value_write(out, json_object_get(value, name[k]));
    }
    fputc('}', out);
    free(name);
}

/* How deep it goes is bounded where tests are read (DEPTH_MAX), not here. */
void value_write(FILE *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL: fputc('n', out); return;
    case JSON_TRUE: fputc('t', out); return;
    case JSON_FALSE: fputc('f', out); return;
    case JSON_INTEGER: fprintf(out, "i%" JSON_INTEGER_FORMAT, json_integer_value(value)); return;
    case JSON_REAL: write_real(out, json_real_value(value)); return;
    case JSON_STRING:
        write_text(out, 's', json_string_value(value), json_string_length(value));
        return;
    case JSON_ARRAY:
        fputc('[', out);
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i > 0) fputc(',', out);
            value_write(out, json_array_get(value, i));
        }
        fputc(']', out);
        return;
    case JSON_OBJECT: write_object(out, value); return;
    }
}
