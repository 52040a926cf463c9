/* The user's own problems: JSON Lines of {"prompt": string, "answer": string, "demonstration":
 * string (optional)}. */
#ifndef DUET_TRAINER_DATA_JSONL_H
#define DUET_TRAINER_DATA_JSONL_H

#include <stddef.h>
#include "comm/base/problems.h"

struct problem_record {
    char *prompt, *answer, *demonstration; /* demonstration may be NULL */
    int line;
};
struct records {
    struct problem_record *r;
    int n;
};
/* BOM, CRLF and blank lines tolerated; field order and other members do not matter; a bad line is a
 * problem naming file:line. Fuzzed. */
void records_parse(struct records *out, const void *bytes, size_t n, const char *file,
                   struct problems *p);
/* The same for lines whose second member has another name, as "completion" in a run's
 * samples.jsonl: into `answer`. */
void records_parse_as(struct records *out, const void *bytes, size_t n, const char *file,
                      const char *answer, struct problems *p);
void records_free(struct records *r);

#endif
