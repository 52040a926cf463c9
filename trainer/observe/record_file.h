/* A file of lines that only grows, as a run keeps of its metrics and samples: its length and
 * checksum go into checkpoints, and a resumed run cuts it back to them. Local, all of it. */
#ifndef DUET_TRAINER_OBSERVE_RECORD_FILE_H
#define DUET_TRAINER_OBSERVE_RECORD_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include "comm/base/file.h"
#include "comm/base/problems.h"

struct checksum;
struct record_file {
    int fd;
    long bytes;
    struct checksum *sum; /* of these bytes */
    char path[PATH_BYTES];
};

/* Opens or creates folder/name; recorded: what a checkpoint says was written so far, a longer
 * file is cut there; -1: start anew. A shorter one costs a warning. Dies when it cannot. */
void record_file_open(struct record_file *f, const char *folder, const char *name, long recorded);
/* Whole lines, in one write(2). */
void record_file_write(struct record_file *f, const char *bytes, size_t n);
/* What another program has added or taken away: it stays, and is counted. */
void record_file_notice(struct record_file *f);
void record_file_sync(const struct record_file *f); /* to the disk */
/* Dies when the file is no longer the one that was opened: deleted, replaced, or moved away with
 * its folder. One look at the file system. */
void record_file_look(const struct record_file *f);
uint64_t record_file_sum(const struct record_file *f); /* XXH64 of its bytes */
void record_file_close(struct record_file *f);

/* What a checkpoint says of a file of the run: how long it was, and what its bytes add up to
 * (XXH64), when that was recorded. */
struct record_mark {
    long bytes;
    bool summed;
    uint64_t xxh64;
};
/* A problem when folder/name has no longer what the mark says: it is shorter, or its lines were
 * changed. A file that is not there is none: record_file_open begins a new one. Nothing is
 * touched. */
void record_file_check(const char *folder, const char *name, const struct record_mark *m,
                       struct problems *p);

#endif
