#include "comm/base/utf8.h"

#include <stdint.h>
#include <string.h>

/* least[] refuses a longer form than needed: one character has one spelling. */
size_t utf8_character(const char *text, size_t n)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80) return 1;
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc0 || s[0] > 0xf7 || length > n) return 0;
    unsigned point = s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        point = point << 6 | (s[i] & 0x3f);
    }
    return point >= least[length] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff)
               ? length
               : 0;
}

unsigned utf8_point(const char *s, size_t bytes)
{
    if (bytes == 1) return (unsigned char)s[0];
    unsigned point = (unsigned char)s[0] & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; i++) point = point << 6 | ((unsigned char)s[i] & 0x3f);
    return point;
}

size_t utf8_put(unsigned point, char out[4])
{
    size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    if (n == 1) {
        out[0] = (char)point;
        return 1;
    }
    for (size_t i = n - 1; i > 0; i--, point >>= 6) out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((0xf00u >> n & 0xff) | point);
    return n;
}

/* Eight bytes at a time while they are ASCII, as most text is. */
size_t utf8_invalid(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= 8 && (memcpy(&eight, s + i, 8), (eight & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        size_t bytes = utf8_character(s + i, n - i);
        if (bytes == 0) return i;
        i += bytes;
    }
    return n;
}

/* 0xc0 and 0xc1 begin only longer forms than needed, bytes above 0xf4 only points that do not
 * exist. */
size_t utf8_broken(const char *text, size_t n, int *cut)
{
    const unsigned char *s = (const unsigned char *)text;
    *cut = 0;
    if (s[0] < 0xc2 || s[0] > 0xf4) return 1;
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    /* The second byte's range is narrower behind some first bytes. */
    unsigned low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    size_t i = 1;
    for (; i < length && i < n; i++, low = 0x80, high = 0xbf)
        if (s[i] < low || s[i] > high) return i;
    *cut = i == n;
    return i;
}
