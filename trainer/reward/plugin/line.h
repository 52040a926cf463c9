/* What a plug-in grader and we say to each other: JSON Lines, one for each answer, one back.
 *
 *   we       {"id":"9f3c...","answer":"...","expected":"...","prompt":"...","tests":[...],
 *             "language":"python"}      what the problem has not is left out
 *   grader   {"id":"9f3c...","reward":0.5}, or {"id":"9f3c...","error":"no such unit"}
 *
 * Other members are passed over, and "why" is kept. An id is drawn for each try and used once:
 * whatever text of the model a grader prints, no answer can know the id that its verdict needs.
 * docs/REWARDS.md tells users of it. Fuzzed (tests/fuzz/fuzz_grader_line.c). */
#ifndef DUET_TRAINER_REWARD_PLUGIN_LINE_H
#define DUET_TRAINER_REWARD_PLUGIN_LINE_H

#include <stddef.h>
#include <stdint.h>
#include "trainer/data/completion.h"

/* Any bytes. A member whose `at` is NULL is left out. */
struct line_request {
    struct span answer, expected, prompt, language;
    struct span tests; /* JSON, as it stands in the data */
};

/* Writes the line, its '\n' included, where it fits into size; returns its length either way. The
 * id is line_name's. Bytes that are no UTF-8 become U+FFFD. Local, allocates nothing. */
size_t line_write(char *out, size_t size, const struct line_request *r);
/* Gives a line of line_write another id. */
void line_name(char *line, uint64_t id);

enum line_kind {
    LINE_REWARD,  /* a verdict for id */
    LINE_ERROR,   /* the grader says that it cannot grade this answer */
    LINE_BAD,     /* it names id, but there is no reward that is a finite number */
    LINE_OTHER,   /* a verdict for another request */
    LINE_GARBAGE, /* anything else */
    LINE_KINDS
};
enum { LINE_WHY = 160 };
struct line_reply {
    enum line_kind kind;
    double reward;
    char why[LINE_WHY]; /* what the grader says to it, or the beginning of the line; printable */
};
/* Reads a line, without its '\n', as the reply to request `id`. Any bytes; local, allocates
 * nothing. */
void line_read(struct line_reply *out, uint64_t id, struct span line);
/* Text for a message: cut to size, what is not printable as '?'. Returns out. */
char *line_printable(char *out, size_t size, struct span text);

#endif
