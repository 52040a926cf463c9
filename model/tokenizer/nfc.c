/* utf8proc knows the decompositions, the classes and the compositions. The order of marks is made
 * here, because its own takes time quadratic in a run of marks. */
#include "model/tokenizer/nfc.h"

#include <string.h>
#include <utf8proc.h>
#include "comm/base/die.h"
#include "comm/base/utf8.h"

enum { CLASSES = 256, FEW = 16, DECOMPOSED_MOST = 4 };

/* Below U+0300 (bytes below 0xcc) nothing changes, and nothing there joins what stands before it.
 */
static bool is_plain(char c)
{
    return (unsigned char)c < 0xcc;
}

bool nfc_is_plain(const char *text, size_t n)
{
    unsigned char most = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        most = c > most ? c : most;
    }
    return most < 0xcc;
}

/* Marks that Unicode 10 to 15 added. The tables of `tokenizers` are of Unicode 9, so a model has
 * learned with them as characters that nothing joins (tests/oracle/unicode.py). */
static bool is_new_mark(utf8proc_int32_t c)
{
    static const struct {
        utf8proc_int32_t first, last;
    } rows[] = {
        {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},
        {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x1715, 0x1715},
        {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},   {0x10d24, 0x10d27},
        {0x10eab, 0x10eac}, {0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85},
        {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e}, {0x11839, 0x1183a},
        {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34},
        {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45},
        {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f},
        {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows && rows[i].first <= c; i++)
        if (c <= rows[i].last) return true;
    return false;
}

/* The one pair that Unicode 10 to 15 made one character. */
enum { NEW_WHOLE = 0x11938, NEW_SECOND = 0x11930 };

static unsigned class_of(utf8proc_int32_t c)
{
    unsigned k = (unsigned)utf8proc_get_property(c)->combining_class;
    return k > 0 && is_new_mark(c) ? 0 : k;
}

/* A character that joins nothing before it, other than utf8proc thinks. */
static bool begins_part(utf8proc_int32_t c)
{
    return c == NEW_SECOND || (utf8proc_get_property(c)->combining_class > 0 && class_of(c) == 0);
}

/* A run of marks of classes above 0 in the order of their classes, equals as they stood. */
static void order_run(utf8proc_int32_t *c, utf8proc_int32_t *sorted, size_t n)
{
    size_t at[CLASSES] = {0}, sum = 0;
    if (n <= FEW) {
        for (size_t i = 1; i < n; i++) {
            utf8proc_int32_t x = c[i];
            size_t j = i;
            for (; j > 0 && class_of(c[j - 1]) > class_of(x); j--) c[j] = c[j - 1];
            c[j] = x;
        }
        return;
    }
    for (size_t i = 0; i < n; i++) at[class_of(c[i])]++;
    for (size_t k = 0; k < CLASSES; k++) {
        size_t here = at[k];
        at[k] = sum;
        sum += here;
    }
    for (size_t i = 0; i < n; i++) sorted[at[class_of(c[i])]++] = c[i];
    memcpy(c, sorted, n * sizeof *c);
}

static void order(utf8proc_int32_t *c, utf8proc_int32_t *sorted, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t run = 0;
        while (i + run < n && class_of(c[i + run]) > 0) run++;
        if (run > 1) order_run(c + i, sorted, run);
        i += run ? run : 1;
    }
}

/* c has room for DECOMPOSED_MOST points a byte. NEW_WHOLE stays whole: Unicode 9 did not know its
 * parts. */
static size_t decompose(utf8proc_int32_t *c, const char *text, size_t n)
{
    size_t count = 0;
    for (size_t i = 0, bytes; i < n; i += bytes) {
        bytes = utf8_character(text + i, n - i);
        utf8proc_int32_t point = (utf8proc_int32_t)utf8_point(text + i, bytes);
        int boundary = 0;
        utf8proc_ssize_t more = 1;
        if (point == NEW_WHOLE)
            c[count] = point;
        else
            more = utf8proc_decompose_char(point, c + count, DECOMPOSED_MOST,
                                           UTF8PROC_STABLE | UTF8PROC_COMPOSE, &boundary);
        INVARIANT(more > 0 && more <= DECOMPOSED_MOST, "%zd code points of one", (size_t)more);
        count += (size_t)more;
    }
    return count;
}

static void compose(struct room *out, utf8proc_int32_t *c, size_t n)
{
    utf8proc_ssize_t left =
        utf8proc_normalize_utf32(c, (utf8proc_ssize_t)n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    INVARIANT(left >= 0, "utf8proc error %d", (int)left);
    for (utf8proc_ssize_t i = 0; i < left; i++) {
        char bytes[4];
        room_put(out, bytes, utf8_put((unsigned)c[i], bytes));
    }
}

/* Text between two characters below U+0300, the first of them included. */
static void put_run(struct room *out, struct room *points, const char *text, size_t n)
{
    room_reserve(points, 2 * DECOMPOSED_MOST * n * sizeof(utf8proc_int32_t));
    utf8proc_int32_t *c = (utf8proc_int32_t *)(void *)points->at, *sorted = c + DECOMPOSED_MOST * n;
    size_t count = decompose(c, text, n);
    order(c, sorted, count);
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && !begins_part(c[end]);) end++;
        compose(out, c + i, end - i);
    }
}

/* Plain text is copied; only the runs around other characters are decomposed and composed. */
void nfc_put(struct room *out, struct room *points, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t plain = i;
        while (plain < n && is_plain(text[plain])) plain++;
        if (plain < n && plain > i) { /* the mark at `plain` may join the character before it */
            plain--;
            while (plain > i && ((unsigned char)text[plain] & 0xc0) == 0x80) plain--;
        }
        room_put(out, text + i, plain - i);
        size_t end = plain < n ? plain + 1 : n;
        while (end < n && (unsigned char)text[end] >= 0x80) end++;
        if (end > plain) put_run(out, points, text + plain, end - plain);
        i = end;
    }
}
