/* The lines of a file that may be larger than memory: gone through once from its beginning, then
 * read one by one from wherever they stand. Only pread: what is read lies in the page cache, which
 * the ranks of a host share; a file that is cut while it is read is an error, never a signal. */
#ifndef DUET_TRAINER_DATA_LINES_H
#define DUET_TRAINER_DATA_LINES_H

#include <stdint.h>
#include "trainer/data/input.h"

/* One line in 16 KiB is noted, in a file beyond 16 GiB one in a 2^20th of it: a line is found by
 * reading from the one noted before it to the one behind. */
struct line_mark {
    uint64_t at; /* the byte where it begins */
    int number;  /* from 1 */
};

struct lines {
    const char *path;
    int fd;
    uint64_t bytes;         /* of the file */
    int n;                  /* lines, blank ones counted */
    size_t longest;         /* bytes */
    uint64_t sum;           /* XXH64 of the whole file */
    struct line_mark *mark; /* (marks) */
    size_t marks;
    char *buffer; /* (room) */
    size_t room, have;
    uint64_t from;              /* the buffer holds have bytes of the file from there on */
    struct line_mark last_line; /* that lines_number_at found: the next one is not far */
};

/* Opens it; false and a problem, as input_read says it, when it cannot be. Local. */
bool lines_open(struct lines *l, const struct input *in, struct problems *p);
void lines_close(struct lines *l);

/* Calls `line` for each line that is not blank, in order, without its line break (LF or CRLF) and
 * without a byte order mark: n bytes that stand at byte `at` of the file, line `number` from 1.
 * Stops when it returns false. Feeds the watchdog and tells every few seconds how far it is.
 * Memory: the longest line and 16 bytes for each 16 KiB of the file, at most 16 MiB. false: the
 * file could not be read to its end, which is a problem. Local. */
bool lines_each(struct lines *l,
                bool (*line)(void *ctx, const char *text, size_t n, uint64_t at, int number),
                void *ctx, struct problems *p);

/* A line, whole: that of a number from 1, whose place goes to *at; that which begins at a byte. The
 * text is valid until the next call. End the job when it can no longer be read. Local. */
const char *lines_numbered(struct lines *l, int number, uint64_t *at, size_t *n);
const char *lines_at(struct lines *l, uint64_t at, size_t *n);
/* The number, from 1, of the line that begins at a byte. */
int lines_number(struct lines *l, uint64_t at);

#endif
