/* The lines of a file that may be larger than memory: gone through once from its beginning, then
 * read one by one from wherever they stand. Only pread: what is read lies in the page cache, which
 * the ranks of a host share; a file that is cut while it is read is an error, never a signal. */
#ifndef DUET_TRAINER_DATA_LINES_H
#define DUET_TRAINER_DATA_LINES_H

#include <stdint.h>
#include "trainer/data/input.h"

struct lines {
    const char *path;
    int fd;
    uint64_t bytes; /* of the file */
    int n;          /* lines, blank ones counted */
    size_t longest; /* bytes */
    uint64_t sum;   /* XXH64 of the whole file */
    struct line_mark {
        uint64_t at;
        int number;
    } * mark; /* (marks) one line about each MiB: where it begins, its number */
    size_t marks;
    char *buffer; /* (room) the line that lines_at gave */
    size_t room;
};

/* Opens it; false and a problem, as input_read says it, when it cannot be. Local. */
bool lines_open(struct lines *l, const struct input *in, struct problems *p);
void lines_close(struct lines *l);

/* Calls `line` for each line that is not blank, in order, without its line break (LF or CRLF) and
 * without a byte order mark: n bytes that stand at byte `at` of the file, line `number` from 1.
 * Stops when it returns false. Feeds the watchdog and tells every few seconds how far it is.
 * Memory: the longest line and 16 bytes for each MiB of the file. false: the file could not be read
 * to its end, which is a problem. Local. */
bool lines_each(struct lines *l,
                bool (*line)(void *ctx, const char *text, size_t n, uint64_t at, int number),
                void *ctx, struct problems *p);

/* The line that begins at a byte that lines_each named, whole; valid until the next call. Ends the
 * job when it can no longer be read. Local. */
const char *lines_at(struct lines *l, uint64_t at, size_t *n);
/* Its number, from 1. */
int lines_number(struct lines *l, uint64_t at);

#endif
