/* Characters of UTF-8, as RFC 3629 has them: no overlong forms, no surrogates, at most U+10FFFF. */
#ifndef DUET_COMM_BASE_UTF8_H
#define DUET_COMM_BASE_UTF8_H

#include <stddef.h>

/* What stands for bytes that are no character: U+FFFD. */
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* Bytes of the valid character at text, of which n >= 1 bytes are there; 0 when there is none. */
size_t utf8_character(const char *text, size_t n);
/* Code point of a valid character of `bytes` bytes, and a code point's bytes (returns how many). */
unsigned utf8_point(const char *s, size_t bytes);
size_t utf8_put(unsigned point, char out[4]);
/* Where the first byte stands that begins no valid character; n when all of them do. */
size_t utf8_invalid(const char *s, size_t n);
/* For bytes that begin no valid character: how many of them U+FFFD replaces at once (the longest
 * beginning of a character, or one byte), as the Unicode Standard recommends in chapter 3.9 and
 * WHATWG demands. *cut: all n are the beginning of a character whose rest may still come. */
size_t utf8_broken(const char *text, size_t n, int *cut);

#endif
