/* A line of JSON, looked at in place: no tree, no memory. Strict (RFC 8259, valid UTF-8, no NUL, no
 * half of a surrogate pair), so that what is wrong with a line is found by whoever goes through it
 * once. Fuzzed, and held against jansson there. */
#ifndef DUET_TRAINER_DATA_SCAN_H
#define DUET_TRAINER_DATA_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include "trainer/data/completion.h"

struct scan {
    const char *at, *end;
};

static inline struct scan scan_of(struct span s)
{
    return (struct scan){s.at, s.n ? s.at + s.n : s.at};
}

enum scan_step { SCAN_WRONG, SCAN_END, SCAN_MORE };

/* Nothing but white space is left. */
bool scan_done(struct scan *s);
/* Whether an object or an array begins here ('{' or '['); goes behind that character if so. */
bool scan_opens(struct scan *s, char open);
/* Behind '{', or behind the value of a member: the next member's key as it is written, between its
 * quotes; s then stands before its value. SCAN_END: the '}' was there. *first: true before the
 * first. */
enum scan_step scan_member(struct scan *s, bool *first, struct span *key);
/* The same for arrays: s then stands before the element. */
enum scan_step scan_element(struct scan *s, bool *first);
/* Any value, whole, with no white space around; at most 2048 levels deep. false: it is wrong. */
bool scan_value(struct scan *s, struct span *value);

/* What a value is. */
static inline bool value_is(struct span v, char first)
{
    return v.n > 0 && v.at[0] == first;
}
/* A string's characters, of a value of scan_value or of a key with its quotes put back: writes at
 * most value.n bytes, returns how many. */
size_t scan_unescape(struct span value, char *out);
/* Is the key this word, however it is escaped? */
bool scan_key_is(struct span key, const char *word);
bool scan_key_is_span(struct span key, struct span word);

#endif
