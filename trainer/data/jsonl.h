/* JSON Lines in memory: prompts with what follows them, for what is small and used once. (A
 * recipe's files: collection.h.) */
#ifndef DUET_TRAINER_DATA_JSONL_H
#define DUET_TRAINER_DATA_JSONL_H

#include <stddef.h>
#include "comm/base/problems.h"

struct problem_record {
    char *prompt, *answer; /* answer: the last turn of what has turns */
    int line;
};
struct records {
    struct problem_record *r;
    int n;
};
struct jsonl {
    const char *file;   /* for messages */
    const char *fields; /* as data.fields; NULL: recognised line by line */
};
/* BOM, CRLF and blank lines tolerated; field order and other members do not matter; a bad line is a
 * problem naming file:line. */
void records_parse(struct records *out, const void *bytes, size_t n, const struct jsonl *from,
                   struct problems *p);
void records_free(struct records *r);

#endif
