/* Differences that are translated: \s (PCRE2 counts U+180E), \p{..} and \d (another version of
 * Unicode), \uHHHH. Refused, because the two read it in different ways or need not agree: \w \b \h
 * \v, ^ and $ outside a class, classes in classes and &&, scripts, back references, a repeated
 * group, + or ? behind {..}. */
#include "model/tokenizer/pattern_translate.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "model/tokenizer/pattern_unicode.h"

#define SPACES \
    "\\t-\\r " \
    "\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

struct translation {
    const char *at; /* what is left of the pattern */
    char *out;
    size_t n, room;
    bool in_class, bad;
    const char *why;
    char what[24];
};

static void put_pattern(struct translation *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void put_pattern(struct translation *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (t->room - t->n < 128) {
        t->room = 2 * t->room + 256;
        t->out = realloc(t->out, t->room);
        SYS_OK(t->out, "give the job more memory", "no memory for a tokenizer");
    }
    t->n += (size_t)vsnprintf(t->out + t->n, t->room - t->n, fmt, args);
    va_end(args);
}

/* n bytes of the pattern are what is refused. */
static void bad(struct translation *t, const char *why, size_t n)
{
    if (t->bad) return;
    t->bad = true;
    t->why = why;
    snprintf(t->what, sizeof t->what, "%.*s", (int)(n < 20 ? n : 20), t->at);
}

/* Is "Lo" of the category "L" or "Lo"? */
static bool belongs(const char *category, const char *name)
{
    return strncmp(category, name, strlen(name)) == 0;
}

/* Those of ASCII by themselves, too: PCRE2 looks them up in a bitmap before it asks for properties,
 * which makes English text half as long again a second. */
static void put_category(struct translation *t, const char *name)
{
    static const char *const ascii[][2] = {{"L", "A-Za-z"},     {"Lu", "A-Z"},
                                           {"Ll", "a-z"},       {"N", "0-9"},
                                           {"Nd", "0-9"},       {"P", "!-#%-*,-\\/:;?@\\[-\\]_{}"},
                                           {"S", "$+<->\\^`|~"}};
    for (size_t i = 0; i < sizeof ascii / sizeof *ascii; i++)
        if (strcmp(ascii[i][0], name) == 0) put_pattern(t, "%s", ascii[i][1]);
    put_pattern(t, "\\p{%s}", name);
    for (const struct unicode_row *r = unicode_new; r->category[0]; r++)
        if (belongs(r->category, name)) put_pattern(t, "\\x{%x}-\\x{%x}", r->first, r->last);
}

/* The general categories but those of characters that are not assigned. */
static bool is_category(const char *name)
{
    static const char *const names[] = {"L",  "M",  "N",  "P",  "S",  "Z",  "Lu", "Ll",
                                        "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                        "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
                                        "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* A set of characters by name, in a class or by itself. */
static void put_set(struct translation *t, bool negated, const char *category)
{
    if (negated && t->in_class) {
        bad(t, "a negated set within [..] is not supported:", 2);
        return;
    }
    if (!t->in_class) put_pattern(t, negated ? "[^" : "[");
    if (category)
        put_category(t, category);
    else
        put_pattern(t, SPACES);
    if (!t->in_class) put_pattern(t, "]");
}

/* \p{X}, at its p. */
static void property(struct translation *t)
{
    const char *end = t->at[2] == '{' ? strchr(t->at, '}') : NULL;
    char name[4] = "";
    size_t n = end ? (size_t)(end - t->at) - 3 : 0;
    if (n >= 1 && n <= 2) memcpy(name, t->at + 3, n);
    if (!end || !is_category(name)) {
        bad(t, "only general categories are supported, not", end ? n + 4 : 4);
        return;
    }
    put_set(t, t->at[1] == 'P', name);
    t->at = end + 1;
}

/* \xHH, \x{H..}, \uHHHH. */
static void code_point(struct translation *t)
{
    const char *digits = t->at + 2;
    bool braces = t->at[1] == 'x' && *digits == '{';
    size_t most = braces ? 6 : t->at[1] == 'x' ? 2 : 4, n = 0;
    if (braces) digits++;
    while (n < most && isxdigit((unsigned char)digits[n])) n++;
    if (n == 0 || (!braces && n != most) || (braces && digits[n] != '}')) {
        bad(t, "a character's code is not well formed:", 8);
        return;
    }
    put_pattern(t, "\\x{%.*s}", (int)n, digits);
    t->at = digits + n + (braces ? 1 : 0);
}

/* An escaped mark stands for itself in both languages; other letters need not mean the same. */
static void escape(struct translation *t)
{
    char c = t->at[1];
    if (c == 'p' || c == 'P') {
        property(t);
    } else if (c == 'x' || c == 'u') {
        code_point(t);
    } else if (c == 's' || c == 'S') {
        put_set(t, c == 'S', NULL);
        t->at += 2;
    } else if (c == 'd' || c == 'D') {
        put_set(t, c == 'D', "Nd");
        t->at += 2;
    } else if (c == 'r' || c == 'n' || c == 't' || c == 'f' || ispunct((unsigned char)c)) {
        put_pattern(t, "\\%c", c);
        t->at += 2;
    } else {
        bad(t, "this escape is not supported:", 2);
    }
}

static void in_class(struct translation *t)
{
    if (t->at[0] == '[')
        bad(t, "a class within a class is not supported:", 8);
    else if (t->at[0] == '&' && t->at[1] == '&')
        bad(t, "an intersection of classes is not supported:", 2);
    else {
        if (t->at[0] == ']') t->in_class = false;
        put_pattern(t, "%c", *t->at++);
    }
}

static void class_opens(struct translation *t)
{
    size_t n = t->at[1] == '^' ? 2 : 1;
    if (t->at[n] == ']') {
        bad(t, "a class is empty:", n + 1);
        return;
    }
    put_pattern(t, "%.*s", (int)n, t->at);
    t->at += n;
    t->in_class = true;
}

static void group_opens(struct translation *t)
{
    static const char *const known[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    size_t n = 1;
    if (t->at[1] == '?' || t->at[1] == '*') {
        n = 0;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strncmp(t->at, known[i], strlen(known[i])) == 0) n = strlen(known[i]);
    }
    if (n == 0) bad(t, "this group is not supported:", 5);
    put_pattern(t, "%.*s", (int)n, t->at);
    t->at += n;
}

/* A group that is repeated may take time exponential in the length of a text. */
static void group_closes(struct translation *t)
{
    if (t->at[1] == '*' || t->at[1] == '+' || t->at[1] == '{')
        bad(t, "a group that is repeated is not supported:", 2);
    put_pattern(t, "%c", *t->at++);
}

static void repeats(struct translation *t)
{
    size_t n = 1, digits = 0;
    for (; isdigit((unsigned char)t->at[n]); n++) digits++;
    if (t->at[n] == ',')
        for (n++; isdigit((unsigned char)t->at[n]);) n++;
    bool formed = digits > 0 && t->at[n] == '}';
    if (!formed || t->at[n + 1] == '+' || t->at[n + 1] == '?') {
        bad(t, "this repetition is not supported:", n + 2);
        return;
    }
    put_pattern(t, "%.*s", (int)(n + 1), t->at);
    t->at += n + 1;
}

static void outside(struct translation *t)
{
    switch (t->at[0]) {
    case '[': class_opens(t); break;
    case '(': group_opens(t); break;
    case ')': group_closes(t); break;
    case '{': repeats(t); break;
    case '^':
    case '$': bad(t, "anchors are not supported:", 1); break;
    default: put_pattern(t, "%c", *t->at++);
    }
}

/* The empty put_pattern makes t.out a text even when the pattern is empty. */
char *pattern_translate(struct parse *p, const char *place, const char *regex)
{
    struct translation t = {.at = regex};
    while (*t.at && !t.bad) {
        if (t.at[0] == '\\')
            escape(&t);
        else if (t.in_class)
            in_class(&t);
        else
            outside(&t);
    }
    put_pattern(&t, "%s", "");
    if (!t.bad) return t.out;
    free(t.out);
    refuse(p, place, t.why, t.what);
    return NULL;
}
