/* Which lines of the user's files are records of which split. Files are cut into pieces of 2 MiB:
 * of several ranks each reads every size-th one (index_part.c), one joins what all have found
 * (index_join.c) and hands it to the others (index_bytes.c). The same comes out whoever read which
 * piece. */
#ifndef DUET_TRAINER_DATA_INDEX_H
#define DUET_TRAINER_DATA_INDEX_H

#include "comm/host_copy.h"
#include "trainer/data/fields.h"
#include "trainer/data/lines.h"
#include "trainer/data/number_set.h"
#include "trainer/data/together.h"

#define INDEX_MARK "duet data index\n" /* how its bytes begin */

/* The held-out tenth of large files ends there. */
enum { LARGE_HELDOUT = 65536 };

struct data_index {
    struct lines *file;         /* (files) open; those of the training split first */
    int files, training;        /* of them of the training split, or of both */
    uint64_t *lines;            /* (files + 1) lines of the files before it */
    struct number_set split[2]; /* lines, counted from 0 over all files */
    int records;                /* read, of all splits */
    bool found;                 /* it was kept: nothing was read */
    struct host_copy copy;      /* what all lists lie in, where ranks read together */
};

struct index_job {
    const struct fields *fields;
    const char *named; /* data.fields, of which they were made */
    bool apart;        /* the split is the file's, not the prompt's */
    bool skip;         /* bad lines */
    bool large;        /* collection_is_large */
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

/* What an index follows from: the files by number, size and times, and how they are read. Ranks for
 * which it is equal have the same files, ranks of hosts that share a file system, too. */
uint64_t index_identity(const struct data_index *x, const struct index_job *job);
/* The index as bytes of the heap, *n of them; the index of bytes, where they are whole and of this
 * identity. Any bytes may be given. Local. */
unsigned char *index_bytes(const struct data_index *x, uint64_t identity, size_t *n);
bool index_take(struct data_index *x, uint64_t identity, const unsigned char *bytes, size_t n);
/* Are they an index, of whatever files? */
bool index_whole(const unsigned char *bytes, size_t n);

/* The index as one piece of memory, which index_image_write fills, and an index of the same open
 * files that lies in such a piece; it frees the piece. Between ranks of one program. Local. */
size_t index_image_bytes(const struct data_index *x);
void index_image_write(const void *index, void *to);
void index_lay(struct data_index *x, struct host_copy copy);
/* What rank 0 of comm has, to all of them: once a host where files are large (`node` tells hosts
 * apart), so that a host's memory does not grow with its ranks. Collective over comm. */
void index_share(struct data_index *x, bool large, MPI_Comm comm, int node);

/* The index of open files, by all ranks together that have the same files; of large ones that which
 * t->index holds, where it is of them. false: problems, which all of them have. Collective over
 * t->world, or, with t NULL, local. */
bool index_make(struct data_index *x, const struct index_job *job, const struct together *t,
                struct problems *p);

#endif
