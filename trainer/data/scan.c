#include "trainer/data/scan.h"

#include <stdint.h>
#include <string.h>
#include "comm/base/utf8.h"

enum { DEPTH = 2048, KEY_BYTES = 128 };

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

bool scan_done(struct scan *s)
{
    skip_space(s);
    return s->at == s->end;
}

static bool take_byte(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c) return false;
    s->at++;
    return true;
}

bool scan_opens(struct scan *s, char open)
{
    skip_space(s);
    return take_byte(s, open);
}

/* --- strings --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The number behind "\u"; -1: there are no four digits. */
static int hex4(const char *at, const char *end)
{
    int point = 0;
    if (end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) return -1;
        point = point * 16 + digit;
    }
    return point;
}

static bool is_high(int unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(int unit)
{
    return unit >= 0xdc00 && unit < 0xe000;
}

/* Bytes of the escape at s, which begins with a backslash; 0: it is none. */
static size_t escape_length(const char *at, const char *end)
{
    if (end - at < 2) return 0;
    if (at[1] != 'u') return strchr("\"\\/bfnrt", at[1]) && at[1] ? 2 : 0;
    int unit = hex4(at + 2, end);
    if (unit <= 0 || is_low(unit)) return 0;
    if (!is_high(unit)) return 6;
    bool pair = end - at >= 12 && at[6] == '\\' && at[7] == 'u' && is_low(hex4(at + 8, end));
    return pair ? 12 : 0;
}

/* Are all eight bytes plain: ASCII, no quote, no backslash, no control character? Each test sets
 * the highest bit of a byte that fails it, and may set it in bytes above such a one. */
static bool eight_plain(const char *at)
{
    const uint64_t ones = 0x0101010101010101u, tops = ones * 0x80;
    uint64_t x, quote, escape;
    memcpy(&x, at, sizeof x);
    quote = x ^ ones * '"';
    escape = x ^ ones * '\\';
    return ((x | (x - ones * 0x20) | (quote - ones) | (escape - ones)) & tops) == 0;
}

/* From behind the opening quote to behind the closing one. */
static bool scan_string(struct scan *s)
{
    while (s->at < s->end) {
        while (s->end - s->at >= 8 && eight_plain(s->at)) s->at += 8;
        if (s->at == s->end) break;
        unsigned char c = (unsigned char)*s->at;
        size_t n = 1;
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c < 0x20) return false;
        if (c == '\\') n = escape_length(s->at, s->end);
        if (c >= 0x80) n = utf8_character(s->at, (size_t)(s->end - s->at));
        if (n == 0) return false;
        s->at += n;
    }
    return false;
}

/* value has passed scan_string: every escape is whole and every high surrogate has its low one. */
size_t scan_unescape(struct span value, char *out)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    const char *at = value.at + 1, *end = value.at + value.n - 1;
    size_t n = 0;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        size_t plain = (size_t)((escape ? escape : end) - at);
        memmove(out + n, at, plain);
        n += plain;
        at += plain;
        if (at == end) break;
        if (at[1] != 'u') {
            out[n++] = means[strchr(names, at[1]) - names];
            at += 2;
            continue;
        }
        int unit = hex4(at + 2, end);
        bool pair = is_high(unit);
        if (pair) unit = 0x10000 + ((unit - 0xd800) << 10) + (hex4(at + 8, end) - 0xdc00);
        n += utf8_put((unsigned)unit, out + n);
        at += pair ? 12 : 6;
    }
    return n;
}

bool scan_key_is_span(struct span key, struct span word)
{
    char plain[KEY_BYTES];
    if (key.n == word.n && memcmp(key.at, word.at, word.n) == 0) return true;
    if (key.n > sizeof plain || key.n < word.n || !memchr(key.at, '\\', key.n)) return false;
    struct span quoted = {key.at - 1, key.n + 2};
    return scan_unescape(quoted, plain) == word.n && memcmp(plain, word.at, word.n) == 0;
}

bool scan_key_is(struct span key, const char *word)
{
    return scan_key_is_span(key, (struct span){word, strlen(word)});
}

/* --- values --- */

static bool digits(struct scan *s)
{
    const char *from = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') s->at++;
    return s->at > from;
}

static bool scan_number(struct scan *s)
{
    take_byte(s, '-');
    if (!take_byte(s, '0') && !digits(s)) return false;
    if (take_byte(s, '.') && !digits(s)) return false;
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (!take_byte(s, '+')) take_byte(s, '-');
        if (!digits(s)) return false;
    }
    return true;
}

static bool scan_word(struct scan *s)
{
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(s->end - s->at) < n || memcmp(s->at, words[i], n) != 0) continue;
        s->at += n;
        return true;
    }
    return false;
}

static bool scan_scalar(struct scan *s)
{
    if (take_byte(s, '"')) return scan_string(s);
    if (s->at < s->end && (*s->at == '-' || (*s->at >= '0' && *s->at <= '9')))
        return scan_number(s);
    return scan_word(s);
}

/* `"key" :` */
static bool scan_key(struct scan *s, struct span *key)
{
    skip_space(s);
    if (!take_byte(s, '"')) return false;
    key->at = s->at;
    if (!scan_string(s)) return false;
    key->n = (size_t)(s->at - 1 - key->at);
    skip_space(s);
    return take_byte(s, ':');
}

static enum scan_step next(struct scan *s, bool *first, char close)
{
    skip_space(s);
    if (take_byte(s, close)) return SCAN_END;
    bool begins = *first;
    *first = false;
    return begins || take_byte(s, ',') ? SCAN_MORE : SCAN_WRONG;
}

enum scan_step scan_member(struct scan *s, bool *first, struct span *key)
{
    enum scan_step step = next(s, first, '}');
    return step == SCAN_MORE && !scan_key(s, key) ? SCAN_WRONG : step;
}

enum scan_step scan_element(struct scan *s, bool *first)
{
    return next(s, first, ']');
}

/* Objects and arrays that are open, the innermost last: a bit each, 1 for an object. */
struct levels {
    unsigned char object[DEPTH / 8];
    int n;
};

static bool in_object(const struct levels *l)
{
    return l->object[(l->n - 1) / 8] >> (l->n - 1) % 8 & 1;
}

static bool levels_push(struct levels *l, bool object)
{
    if (l->n == DEPTH) return false;
    unsigned char bit = (unsigned char)(1u << l->n % 8), *byte = &l->object[l->n / 8];
    *byte = (unsigned char)(object ? *byte | bit : *byte & ~bit);
    l->n++;
    return true;
}

/* To before the next scalar or opening bracket, over what closes. */
static bool next_value(struct scan *s, struct levels *l, bool *first)
{
    while (l->n > 0) {
        struct span key;
        enum scan_step step = in_object(l) ? scan_member(s, first, &key) : scan_element(s, first);
        if (step != SCAN_END) return step == SCAN_MORE;
        l->n--;
        *first = false;
    }
    return true;
}

/* A loop with one bit a level in place of recursion: a line of brackets must not overflow the
 * stack. */
bool scan_value(struct scan *s, struct span *value)
{
    struct levels l = {.n = 0};
    bool first = false;
    skip_space(s);
    value->at = s->at;
    do {
        skip_space(s);
        bool object = take_byte(s, '{');
        if (object || take_byte(s, '[')) {
            if (!levels_push(&l, object)) return false;
            first = true;
        } else if (!scan_scalar(s)) {
            return false;
        }
        if (!next_value(s, &l, &first)) return false;
    } while (l.n > 0);
    value->n = (size_t)(s->at - value->at);
    return true;
}
