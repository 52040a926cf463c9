/* The open messages of a p2p: a fixed table in which nothing is searched.
 *
 * Free rows form a list. Pieces of messages with equal peer, tag and direction match in the order
 * of posting, so such messages stand in line: only the first of a line hands pieces over, and
 * leaves it when all of its are. Lines are found by a hash of the three. Local; nothing is
 * allocated after message_table_make. */
#ifndef DUET_COMM_MESSAGE_TABLE_H
#define DUET_COMM_MESSAGE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NO_ROW = -1, MESSAGE_TAGS = 1 << 20 };

struct p2p_step;
struct p2p_owner;
struct message {
    bool used, send, most; /* most: a receive that a shorter message may end */
    int peer, tag;         /* tag below MESSAGE_TAGS */
    unsigned char *buf;
    size_t bytes;
    size_t pieces, posted;        /* of `pieces`, `posted` have been handed over, in order */
    int open;                     /* handed over and not complete */
    struct p2p_owner *owner;      /* whom to tell when it is through; NULL: nobody */
    const struct p2p_step *until; /* whose work must be done before any is; NULL: none */

    /* the table's own */
    uint64_t key; /* of its line */
    int behind;   /* in the line or among the free rows; NO_ROW: none */
    int last;     /* of a line's first: the line's last */
    int beside;   /* of a line's first: the first of the next line of the same hash */
};

struct message_table {
    struct message *row; /* (rows) */
    int rows, used, free;
    int *line;            /* (lines) by hash: the first of a line */
    int shift;            /* lines = 2^(64 - shift) */
    unsigned long looked; /* at rows, by all calls so far: tests/growth */
};

void message_table_make(struct message_table *t, int rows);
void message_table_free(struct message_table *t);
/* The row that m has from now on, NO_ROW: the table is full. *first: m is the first of its line. */
int message_add(struct message_table *t, struct message m, bool *first);
/* All pieces of the first of a line are handed over: it leaves. The row that is first now, NO_ROW
 * when the line has ended. */
int message_line_next(struct message_table *t, int row);
/* Is the row, which has pieces left, the first of its line? */
bool message_is_first(struct message_table *t, int row);
/* The row, which stands in no line any more, is free. */
void message_drop(struct message_table *t, int row);

#endif
