/* The user's files of problems: where each record stands, which split it is of, in which order they
 * come. Only that is kept in memory, a byte for each thousand of the files and 2.2 bits a line;
 * texts are read when they are asked for. */
#ifndef DUET_TRAINER_DATA_COLLECTION_H
#define DUET_TRAINER_DATA_COLLECTION_H

#include "trainer/config/settings.h"
#include "trainer/data/problem.h"
#include "trainer/data/example.h"
#include "trainer/data/together.h"

struct collection;
/* read: splits whose files are opened (bits 1 << SPLIT_...). Every bad line is a problem with
 * file:line, or with data.bad_lines: skip a warning. NULL on problems, of this rank or another.
 * Collective over t->world, or, with t NULL, local. */
struct collection *collection_open(const struct settings *set, unsigned read,
                                   const struct together *t, struct problems *p);
void collection_free(struct collection *c);

/* Records of a split, in the order of the files. */
int collection_count(const struct collection *c, enum split split);
/* Record number i of a split. Its text stays while at most PROBLEMS_HELD - 1 others are taken after
 * it. */
void collection_take(struct collection *c, enum split split, int i, struct problem *out);
/* Record number i in the order of training: each file's, or all in one, permuted anew each time
 * round, by a key. */
void collection_draw(struct collection *c, enum split split, uint64_t seed, uint32_t index,
                     struct problem *out);
/* The whole record of a problem, valid until the next call of any of these. */
const struct example *collection_example(struct collection *c, const struct problem *p);
/* Where it stands; *line is counted on demand. */
const char *collection_place(struct collection *c, const struct problem *p, int *line);
/* Goes on without those whose keep[i] is false. */
void collection_keep(struct collection *c, enum split split, const bool *keep);
/* The checksum of a split's records, in their order. */
uint64_t collection_sum(struct collection *c, enum split split);
/* The checksum of the files' bytes. */
uint64_t collection_bytes_sum(const struct collection *c);

/* So much that it is not gone through record by record before a run: only a sample of the training
 * split is, and its held-out tenth ends at LARGE_HELDOUT (index.h). */
bool collection_is_large(const struct collection *c);
bool collection_is_known(const struct collection *c); /* its index was kept */
/* The index of large files as it was when they were opened, where it was not found then, as the
 * file t->index. A failure is no harm: the next start reads the files again. Local, of rank 0. */
void collection_keep_index(struct collection *c, const char *path);
/* Records read, of all splits; the first file's name, and how many more there are. */
int collection_records(const struct collection *c);
const char *collection_first(const struct collection *c, enum split split, int *more);
bool collection_apart(const struct collection *c);
/* What is kept of the files; what this rank has read of them. */
size_t collection_bytes(const struct collection *c);
uint64_t collection_read(const struct collection *c);

#endif
