/* JSON read from left to right without building a tree: what is read of it costs no memory but the
 * text of its strings, so that a header of 100 MB cannot ask for a multiple of its size (P11). The
 * first mistake stays in `why`, every later read fails. Local. */
#ifndef DUET_TRAINER_CHECKPOINT_HF_JSON_SCAN_H
#define DUET_TRAINER_CHECKPOINT_HF_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_scan {
    const unsigned char *begin, *at, *end;
    char *text;      /* where strings go, each with a 0 behind it: room for one byte more than is
                        read */
    const char *why; /* NULL: no mistake so far */
};

/* false; keeps `why` when it is the first. */
bool json_scan_fail(struct json_scan *s, const char *why);
/* Skips white space, then: is the next character c? json_scan_take also goes past it,
 * json_scan_need fails without it. */
bool json_scan_is(struct json_scan *s, char c);
bool json_scan_take(struct json_scan *s, char c);
bool json_scan_need(struct json_scan *s, char c, const char *why);
/* A string, decoded, NUL-terminated. Refuses what is not UTF-8 (also overlong forms and lone
 * surrogates), control characters and NUL. NULL: a mistake. */
const char *json_scan_string(struct json_scan *s);
/* A whole number from 0 to 2^64 - 1: digits alone. */
bool json_scan_u64(struct json_scan *s, uint64_t *value);
/* Passes over any value that is nested at most `depth` deep; its strings take room. */
bool json_scan_skip(struct json_scan *s, int depth);

#endif
