#include "trainer/checkpoint/hf/json_scan.h"

#include <string.h>
#include "comm/base/utf8.h"

bool json_scan_fail(struct json_scan *s, const char *why)
{
    if (!s->why) s->why = why;
    return false;
}

static void skip_space(struct json_scan *s)
{
    while (s->at < s->end && memchr(" \t\n\r", *s->at, 4)) s->at++;
}

bool json_scan_is(struct json_scan *s, char c)
{
    skip_space(s);
    return !s->why && s->at < s->end && *s->at == (unsigned char)c;
}

bool json_scan_take(struct json_scan *s, char c)
{
    bool is = json_scan_is(s, c);
    s->at += is;
    return is;
}

bool json_scan_need(struct json_scan *s, char c, const char *why)
{
    return json_scan_take(s, c) || json_scan_fail(s, why);
}

/* --- strings --- */

/* The four hexadecimal digits behind \u; -1: there are none. */
static int unit_of(struct json_scan *s)
{
    int value = 0;
    if (s->end - s->at < 4) return -1;
    for (int i = 0; i < 4; i++, s->at++) {
        const char *digit = memchr("0123456789abcdefABCDEF", *s->at, 22);
        if (!digit) return -1;
        int v = (int)(digit - "0123456789abcdefABCDEF");
        value = value << 4 | (v > 15 ? v - 6 : v);
    }
    return value;
}

/* NUL is refused since strings are handed out as C's; half a surrogate pair, since UTF-8 has no
 * form of it. */
static bool put_unit(struct json_scan *s)
{
    int high = unit_of(s), low = 0;
    if (high == 0) return json_scan_fail(s, "a string has a NUL in it");
    bool pair = high >= 0xd800 && high < 0xdc00;
    if (pair && s->end - s->at >= 2 && s->at[0] == '\\' && s->at[1] == 'u') {
        s->at += 2;
        low = unit_of(s);
    }
    if (high < 0 || (high >= 0xd800 && high < 0xe000 && !(low >= 0xdc00 && low < 0xe000)))
        return json_scan_fail(s, "a string has a wrong \\u (half of a surrogate pair?)");
    unsigned point = (unsigned)high;
    if (pair) point = 0x10000u + (((unsigned)high - 0xd800u) << 10) + ((unsigned)low - 0xdc00u);
    s->text += utf8_put(point, s->text);
    return true;
}

static bool put_escape(struct json_scan *s)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    if (s->at == s->end) return json_scan_fail(s, "a string does not end");
    unsigned char c = *s->at++;
    if (c == 'u') return put_unit(s);
    const char *at = c ? strchr(names, c) : NULL;
    if (!at) return json_scan_fail(s, "a string has an unknown escape");
    *s->text++ = means[at - names];
    return true;
}

static bool put_character(struct json_scan *s)
{
    if (*s->at < 0x20) return json_scan_fail(s, "a string has a control character in it");
    size_t n = utf8_character((const char *)s->at, (size_t)(s->end - s->at));
    if (n == 0) return json_scan_fail(s, "a string is not UTF-8");
    memcpy(s->text, s->at, n);
    s->text += n;
    s->at += n;
    return true;
}

/* The closing quote pays for the 0 behind the text, so the buffer never outgrows the input. */
const char *json_scan_string(struct json_scan *s)
{
    char *begin = s->text;
    if (!json_scan_need(s, '"', "a string is missing")) return NULL;
    while (!s->why && s->at < s->end && *s->at != '"') {
        bool escaped = *s->at == '\\';
        s->at += escaped;
        if (!(escaped ? put_escape(s) : put_character(s))) return NULL;
    }
    if (s->at == s->end) json_scan_fail(s, "a string does not end");
    if (s->why) return NULL;
    s->at++;
    *s->text++ = 0;
    return begin;
}

/* --- numbers --- */

/* One way to write a number: no sign, fraction, exponent or leading zeros, so that no two readers
 * see different offsets. */
bool json_scan_u64(struct json_scan *s, uint64_t *value)
{
    skip_space(s);
    const unsigned char *from = s->at;
    *value = 0;
    if (s->why) return false;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++) {
        unsigned digit = *s->at - '0';
        if (*value > (UINT64_MAX - digit) / 10)
            return json_scan_fail(s, "a number is larger than 2^64 - 1");
        *value = *value * 10 + digit;
    }
    if (s->at == from || (*from == '0' && s->at > from + 1) ||
        (s->at < s->end && memchr(".eE+-", *s->at, 5)))
        return json_scan_fail(s, "a whole number without sign is needed");
    return true;
}

/* --- what is passed over --- */

/* true, false, null or a number; what it says does not matter. */
static bool skip_word(struct json_scan *s)
{
    const unsigned char *from = s->at;
    while (s->at < s->end && *s->at &&
           memchr("0123456789+-.aeflnrstuE", *s->at, sizeof "0123456789+-.aeflnrstuE" - 1))
        s->at++;
    return s->at > from || json_scan_fail(s, "a value is missing");
}

/* depth bounds the recursion: a file of a million brackets must not overflow the stack. */
bool json_scan_skip(struct json_scan *s, int depth)
{
    bool object = json_scan_is(s, '{');
    if (json_scan_is(s, '"')) return json_scan_string(s) != NULL;
    if (!object && !json_scan_is(s, '[')) return skip_word(s);
    if (depth == 0) return json_scan_fail(s, "it is nested too deeply");
    s->at++;
    char close = object ? '}' : ']';
    if (json_scan_take(s, close)) return true;
    do {
        if (object && (!json_scan_string(s) || !json_scan_need(s, ':', "a : is missing")))
            return false;
        if (!json_scan_skip(s, depth - 1)) return false;
    } while (json_scan_take(s, ','));
    return json_scan_need(s, close, "a , or a closing bracket is missing");
}
