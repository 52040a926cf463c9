#include "trainer/data/unknown.h"
#include <stdio.h>
#include <string.h>

/* Only the first UNKNOWN_KINDS characters are told apart; the others are counted together. */
static void count(struct unknown *u, const char *at, size_t bytes, long times)
{
    int i = 0;
    u->n += times;
    while (i < u->kinds && (strlen(u->kind[i].text) != bytes || memcmp(u->kind[i].text, at, bytes)))
        i++;
    if (i == UNKNOWN_KINDS) return;
    if (i == u->kinds) {
        u->kinds++;
        memcpy(u->kind[i].text, at, bytes);
        u->kind[i].text[bytes] = '\0';
    }
    u->kind[i].n += times;
}

bool unknown_scan(struct unknown *u, const struct tokenizer *t, struct span text, bool special)
{
    size_t bytes = 1, at = 0;
    long before = u->n;
    while ((at = tokenizer_unknown(t, text.at, text.n, special, at, &bytes)) < text.n) {
        count(u, text.at + at, bytes, 1);
        at += bytes;
    }
    return u->n > before;
}

/* What b does not tell apart is known by its number only. */
void unknown_join(struct unknown *a, const struct unknown *b)
{
    long known = 0;
    for (int i = 0; i < b->kinds; i++) {
        count(a, b->kind[i].text, strlen(b->kind[i].text), b->kind[i].n);
        known += b->kind[i].n;
    }
    a->n += b->n - known;
}

/* Bytes of a character of valid UTF-8. */
static unsigned code_point(const char *s)
{
    const unsigned char *c = (const unsigned char *)s;
    size_t n = strlen(s);
    unsigned point = n == 1 ? c[0] : c[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) point = point << 6 | (c[i] & 0x3f);
    return point;
}

/* Control characters are named by their number only: they would disturb a terminal. */
static void name_one(const char *s, struct text *out)
{
    unsigned char first = (unsigned char)s[0];
    bool single = s[1] == '\0', control = (single && (first < 0x20 || first == 0x7f)) ||
                                          (first == 0xc2 && (unsigned char)s[1] < 0xa0);
    if (single && first >= 0x80)
        text_add(out, "byte 0x%02x", first);
    else if (control)
        text_add(out, "U+%04X", code_point(s));
    else
        text_add(out, "\"%s\" (U+%04X)", s, code_point(s));
}

/* For messages: each character with its code point and how often it came. */
void unknown_name(const struct unknown *u, struct text *out)
{
    long named = 0;
    for (int i = 0; i < u->kinds; i++) {
        text_add(out, i ? ", " : "");
        name_one(u->kind[i].text, out);
        if (u->kind[i].n == 1)
            text_add(out, " once");
        else
            text_add(out, " %ld times", u->kind[i].n);
        named += u->kind[i].n;
    }
    if (named < u->n) text_add(out, ", others %ld times", u->n - named);
}
