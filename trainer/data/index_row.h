/* What a rank has found in a piece of a file, as index_part.c writes it and index_join.c reads it:
 * a row and what follows it. Between ranks of one program only. */
#ifndef DUET_TRAINER_DATA_INDEX_ROW_H
#define DUET_TRAINER_DATA_INDEX_ROW_H

#include "trainer/data/example.h"
#include "trainer/data/lines.h"

enum { COMPLAINTS = 20 };

/* Lines are counted from 1 in the piece. Behind a row:
 *   train      (index_words(lines.n)) which lines are of the training split, as bits from line 1 on
 *   heldout    (heldout)
 *   complaint  (complaints) */
struct index_row {
    struct lines_piece lines;
    uint64_t sum; /* XXH64 of the bytes */
    int records, bad, heldout, complaints;
};
/* Might be held out: none that this rank has met before. */
struct index_heldout {
    uint64_t hash;
    int64_t line;
};
/* A bad line; line 0: the piece cannot be read. */
struct index_complaint {
    int64_t line;
    char why[EXAMPLE_WHY];
};

static inline size_t index_words(int lines)
{
    return ((size_t)lines + 63) / 64;
}

#endif
