/* Files: how long a path may be, and reading one whole. */
#ifndef DUET_COMM_BASE_FILE_H
#define DUET_COMM_BASE_FILE_H

#include <stddef.h>

enum { PATH_BYTES = 1280, FILE_WHY = 128 };

/* FILE_REGULAR refuses folders, pipes and devices, without waiting for anybody to write to them. */
enum file_kind { FILE_ANY, FILE_REGULAR };

/* The whole file, malloc'ed, with a 0 behind its *n bytes. NULL when it cannot be read or has
 * more than `most` bytes; `why` then says what is wrong: "Permission denied", "not a file",
 * "longer than 256 bytes". Memory is bounded by twice the file. Local. */
char *file_read(const char *path, enum file_kind kind, size_t most, size_t *n, char why[FILE_WHY]);
/* The same for what is left of an open file, which stays open. */
char *file_read_open(int fd, size_t most, size_t *n, char why[FILE_WHY]);

#endif
