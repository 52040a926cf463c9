/* Files: how long a path may be; reading and writing to the last byte. */
#ifndef DUET_COMM_BASE_FILE_H
#define DUET_COMM_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PATH_BYTES = 1280, FILE_WHY = 128 };

/* FILE_REGULAR refuses folders, pipes and devices, without waiting for anybody to write to them. */
enum file_kind { FILE_ANY, FILE_REGULAR };

/* The whole file, malloc'ed, with a 0 behind its *n bytes. NULL when it cannot be read or has
 * more than `most` bytes; `why` then says what is wrong: "Permission denied", "not a file",
 * "longer than 256 bytes". Memory is bounded by twice the file. Local. */
char *file_read(const char *path, enum file_kind kind, size_t most, size_t *n, char why[FILE_WHY]);
/* The same for what is left of an open file, which stays open. */
char *file_read_open(int fd, size_t most, size_t *n, char why[FILE_WHY]);
/* n bytes from byte `from` of an open file, as many reads as it takes: how many there were (fewer
 * only at its end), or -1 with errno. Local. */
ssize_t file_read_at(int fd, void *out, size_t n, uint64_t from);
/* All n bytes to an open file, as many writes as it takes. false: errno says why; ENOSPC where the
 * system takes nothing and does not say. Local. */
bool file_put(int fd, const void *bytes, size_t n);

#endif
