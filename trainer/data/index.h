/* Which lines of the user's files are records of which split. Files are cut into pieces of 2 MiB:
 * of several ranks each reads every size-th one (index_part.c), and one joins what all have found
 * (index_join.c). The same comes out whoever read which piece. */
#ifndef DUET_TRAINER_DATA_INDEX_H
#define DUET_TRAINER_DATA_INDEX_H

#include "trainer/data/fields.h"
#include "trainer/data/lines.h"
#include "trainer/data/number_set.h"

/* The held-out tenth of large files ends there. */
enum { LARGE_HELDOUT = 65536 };

struct data_index {
    struct lines *file;         /* (files) open; those of the training split first */
    int files, training;        /* of them of the training split, or of both */
    uint64_t *lines;            /* (files + 1) lines of the files before it */
    struct number_set split[2]; /* lines, counted from 0 over all files */
    int records;                /* read, of all splits */
};

struct index_job {
    const struct fields *fields;
    bool apart; /* the split is the file's, not the prompt's */
    bool skip;  /* bad lines */
    bool large; /* collection_is_large */
};

/* What every size-th piece of the files holds, from number `rank` on, as bytes of the heap (*n of
 * them, a multiple of 8). Feeds the watchdog and tells every few seconds how far it is. Memory: a
 * piece or the longest line, a byte in a thousand of its pieces, 2 bits a line, 16 bytes for each
 * held-out record. Local. */
unsigned char *index_part(struct data_index *x, const struct index_job *job, int rank, int size,
                          size_t *n);

/* Parts of all ranks, one behind the other, rank r's from byte offset[r] on. */
struct index_parts {
    const unsigned char *bytes;
    const size_t *offset; /* (size) */
    int size;
};
/* Makes the index of them. Every bad line is a problem with file:line, or, with skip, a warning.
 * false: there were problems. Local. */
bool index_join(struct data_index *x, const struct index_job *job, const struct index_parts *parts,
                struct problems *p);
void index_free(struct data_index *x);

#endif
