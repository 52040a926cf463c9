/* The lines of a file that may be larger than memory: gone through once piece by piece, then
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
    uint64_t sum;           /* XXH64 of the sums of its pieces */
    struct line_mark *mark; /* (marks) */
    size_t marks;
    bool lent;    /* the marks are another's */
    char *buffer; /* (room) */
    size_t room, have;
    uint64_t from;              /* the buffer holds have bytes of the file from there on */
    uint64_t read;              /* bytes read so far, what was read again counted */
    struct line_mark last_line; /* that lines_numbered found: the next one is not far */
};

/* Opens it; false and a problem, as input_read says it, when it cannot be. Local. */
bool lines_open(struct lines *l, const struct input *in, struct problems *p);
void lines_close(struct lines *l);

/* The lines that begin at bytes from .. to-1 of a file, at most LINES_PIECE of them; the first
 * piece has at least 4 (a byte order mark) where the file does. */
enum { LINES_PIECE = 2 << 20, LINES_STRIDE = 16 << 10, LINES_WHY = 256 };
struct lines_piece {
    uint64_t from, to;
    int n;     /* lines, blank ones counted */
    int marks; /* their numbers count from the piece's first line, which is 1 */
    struct line_mark mark[LINES_PIECE / LINES_STRIDE + 1];
};
struct line {
    const char *text; /* without its line break (LF or CRLF), without a byte order mark */
    size_t n;
    uint64_t at; /* the byte where it begins */
    int number;  /* from 1, in its piece */
};
static inline uint64_t lines_pieces(const struct lines *l)
{
    return l->bytes ? (l->bytes + LINES_PIECE - 1) / LINES_PIECE : 1;
}

/* Calls `line` for each line of a piece that is not blank, in order; stops when it returns false.
 * Fills in n and the marks. Memory: the piece and the longest line. false: the file could not be
 * read, `why` says why. Local. */
bool lines_piece(struct lines *l, struct lines_piece *piece,
                 bool (*line)(void *ctx, const struct line *line), void *ctx, char why[LINES_WHY]);
/* Behind lines_piece: the bytes of the piece. */
const char *lines_piece_bytes(const struct lines *l, const struct lines_piece *piece);
/* The piece behind those joined before it: its lines are known from then on. */
void lines_join(struct lines *l, const struct lines_piece *piece);
/* Lists and buffers that grew by doubling become as large as they must be. */
void lines_settle(struct lines *l);
/* In place of its own marks these, which stay another's and must outlive it. */
void lines_lend(struct lines *l, struct line_mark *mark, size_t marks);

/* A line, whole: that of a number from 1, whose place goes to *at; that which begins at a byte. The
 * text is valid until the next call. End the job when it can no longer be read. Local. */
const char *lines_numbered(struct lines *l, int number, uint64_t *at, size_t *n);
const char *lines_at(struct lines *l, uint64_t at, size_t *n);
/* The number, from 1, of the line that begins at a byte. */
int lines_number(struct lines *l, uint64_t at);

#endif
