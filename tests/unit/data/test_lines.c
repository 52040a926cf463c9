/* Lines of a file, piece by piece: whatever the pieces, each line is of just one. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "trainer/data/lines.h"
#include "tests/support/check_unit.h"

enum { MANY = 300 };

/* What lines_piece handed on, piece after piece. */
struct heard {
    int n, before; /* lines that are not blank; lines of the pieces before */
    int number[MANY];
    uint64_t at[MANY];
    size_t length[MANY];
    char first[MANY];
};

static bool hear(void *ctx, const struct line *line)
{
    struct heard *h = ctx;
    ck_assert_int_lt(h->n, MANY);
    h->number[h->n] = h->before + line->number;
    h->at[h->n] = line->at;
    h->length[h->n] = line->n;
    h->first[h->n++] = line->text[0];
    return true;
}

static void write_bytes(char path[64], const char *text, size_t n)
{
    snprintf(path, 64, "/tmp/duet-lines-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_eq(write(fd, text, n), (ssize_t)n);
    close(fd);
}

static void open_lines(struct lines *l, const char *path)
{
    struct problems p = {0};
    const struct input in = {path, "data.file", NULL};
    ck_assert(lines_open(l, &in, &p));
}

/* In pieces of `size` bytes, joined. */
static void hear_pieces(struct heard *h, struct lines *l, uint64_t size)
{
    char why[LINES_WHY];
    *h = (struct heard){.n = 0};
    for (uint64_t from = 0; from < l->bytes; from += size) {
        struct lines_piece piece = {.from = from,
                                    .to = from + size < l->bytes ? from + size : l->bytes};
        ck_assert(lines_piece(l, &piece, hear, h, why));
        h->before += piece.n;
        lines_join(l, &piece);
    }
    lines_settle(l);
}

/* Line i has i * i % 37 letters, some end with CRLF, some are blank, the last may lack its break.
 */
static size_t make_text(char *text, bool broken)
{
    size_t n = 0;
    memcpy(text, "\xef\xbb\xbf", 3);
    n += 3;
    for (int i = 0; i < 200; i++) {
        for (int k = 0; k < i * i % 37; k++) text[n++] = (char)('a' + i % 26);
        if (i % 3 == 0) text[n++] = '\r';
        if (i < 199 || broken) text[n++] = '\n';
    }
    return n;
}

/* Counted by hand: a walk over the bytes. */
static void hear_plainly(struct heard *h, const char *text, size_t n)
{
    *h = (struct heard){.n = 0};
    for (size_t at = 3, number = 1; at < n; number++) {
        size_t end = at;
        while (end < n && text[end] != '\n') end++;
        size_t length = end > at && text[end - 1] == '\r' ? end - at - 1 : end - at;
        if (length > 0) {
            h->number[h->n] = (int)number;
            h->at[h->n] = at;
            h->length[h->n] = length;
            h->first[h->n++] = text[at];
        }
        at = end + 1;
        h->before = (int)number;
    }
}

START_TEST(pieces_of_any_size)
{
    static char text[20000];
    static struct heard plain, heard;
    for (int broken = 0; broken < 2; broken++) {
        char path[64];
        size_t n = make_text(text, broken);
        write_bytes(path, text, n);
        hear_plainly(&plain, text, n);
        for (uint64_t size = 4; size < n + 9; size += size < 50 ? 1 : 389) {
            struct lines l;
            open_lines(&l, path);
            hear_pieces(&heard, &l, size);
            ck_assert_msg(memcmp(&plain, &heard, sizeof plain) == 0,
                          "pieces of %d bytes: %d lines, not %d", (int)size, heard.n, plain.n);
            ck_assert_int_eq(l.n, plain.before);
            for (int i = 0; i < plain.n; i += 7) {
                uint64_t at;
                size_t length;
                lines_numbered(&l, plain.number[i], &at, &length);
                ck_assert(at == plain.at[i] && length == plain.length[i]);
            }
            lines_close(&l);
        }
        unlink(path);
    }
}
END_TEST

/* Longer than pieces are, and than what is read at a time. */
START_TEST(a_line_across_pieces)
{
    enum { LONG = 12 << 20 };
    static struct heard heard;
    char path[64], *text = malloc(LONG + 20);
    memcpy(text, "first\n", 6);
    memset(text + 6, 'x', LONG);
    memcpy(text + 6 + LONG, "\nlast", 5);
    write_bytes(path, text, LONG + 11);
    struct lines l;
    open_lines(&l, path);
    hear_pieces(&heard, &l, LINES_PIECE);
    ck_assert_int_eq(heard.n, 3);
    ck_assert_uint_eq(heard.length[1], LONG);
    ck_assert_uint_eq(heard.at[2], LONG + 7);
    ck_assert_int_eq(l.n, 3);
    ck_assert_uint_eq(l.marks, 2); /* the second line begins within 16 KiB of the first */
    lines_close(&l);
    unlink(path);
    free(text);
}
END_TEST

START_TEST(what_has_become_shorter)
{
    struct lines l;
    struct heard heard = {.n = 0};
    char path[64], why[LINES_WHY];
    write_bytes(path, "one\ntwo\n", 8);
    open_lines(&l, path);
    struct lines_piece piece = {.to = l.bytes};
    ck_assert_int_eq(truncate(path, 5), 0);
    ck_assert(!lines_piece(&l, &piece, hear, &heard, why));
    ck_assert_str_eq(why, "cannot be read from byte 0 on: it has become shorter");
    lines_close(&l);
    unlink(path);
}
END_TEST

#define TESTS(X)            \
    X(pieces_of_any_size)   \
    X(a_line_across_pieces) \
    X(what_has_become_shorter)

UNIT_MAIN("lines")
