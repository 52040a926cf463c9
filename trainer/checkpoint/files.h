/* Files that are whole or not there: written under name.tmp, synced, renamed, the folder synced.
 * Local; nothing here dies for the state of a disk, failures are noted. */
#ifndef DUET_TRAINER_CHECKPOINT_FILES_H
#define DUET_TRAINER_CHECKPOINT_FILES_H

#include <stddef.h>
#include <stdint.h>
#include "comm/base/file.h"
#include "trainer/checkpoint/failure.h"

/* printf into a path; one that does not fit ends the job (EXIT_USER). */
void path_make(char out[PATH_BYTES], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What has this name. ABSENT only where the system says that there is nothing (ENOENT); any other
 * error, and a link that leads nowhere (a disk that is not mounted), is UNKNOWN and noted: who
 * mistakes an error for absence starts from scratch over existing files. */
enum path_kind { PATH_ABSENT, PATH_FILE, PATH_FOLDER, PATH_OTHER, PATH_UNKNOWN };
enum path_kind path_look(const char *path, struct failure *f);

struct file_sum {
    uint64_t bytes, xxh64;
};
bool file_sum_of(const char *path, struct file_sum *sum, struct failure *f);

/* folder/name with these bytes, durable. */
bool file_write(const char *folder, const char *name, const void *bytes, size_t n,
                struct failure *f);
/* file_read of a regular file (comm/base/file.h), the failure noted. */
char *path_read(const char *path, size_t most, size_t *n, struct failure *f);
/* folder/name.tmp, closed, becomes folder/name, durable. */
bool file_commit(const char *folder, const char *name, struct failure *f);
/* rename(2), then the folder that holds `to` is synced. */
bool path_rename(const char *from, const char *to, const char *folder, struct failure *f);
/* Makes path and what is missing above it. */
bool folder_make(const char *path, struct failure *f);
/* Makes path in a folder that is there. */
bool folder_make_one(const char *path, struct failure *f);
/* Removes a folder of files; no folders below it are touched. true when it is gone (also: was not
 * there). */
bool folder_remove(const char *path, struct failure *f);

#endif
