#include "trainer/checkpoint/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm/base/checksum.h"
#include "comm/base/die.h"

void path_make(char out[PATH_BYTES], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(out, PATH_BYTES, fmt, args);
    va_end(args);
    if (n < 0 || n >= PATH_BYTES)
        die_fmt(__FILE__, __LINE__, EXIT_USER, "making the path of a file", "choose a shorter path",
                "%.200s... has more than %d characters", out, PATH_BYTES - 1);
}

enum path_kind path_look(const char *path, struct failure *f)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return S_ISREG(st.st_mode) ? PATH_FILE : S_ISDIR(st.st_mode) ? PATH_FOLDER : PATH_OTHER;
    const bool nothing = errno == ENOENT;
    if (nothing && lstat(path, &st) != 0 && errno == ENOENT) return PATH_ABSENT;
    failure_note(f, nothing ? "it is a dangling link" : strerror(errno), "looking at %s", path);
    return PATH_UNKNOWN;
}

/* In pieces: a shard may be larger than what memory the job has left. */
static bool sum_open(int fd, const char *path, struct file_sum *sum, struct failure *f)
{
    enum { PIECE = 1 << 20 };
    unsigned char *piece = malloc(PIECE);
    struct checksum *all = checksum_new();
    ssize_t got = -1;
    if (piece) {
        sum->bytes = 0;
        while ((got = read(fd, piece, PIECE)) > 0) {
            checksum_add(all, piece, (size_t)got);
            sum->bytes += (uint64_t)got;
        }
        sum->xxh64 = checksum_value(all);
    }
    if (got < 0) failure_note(f, strerror(errno), "reading %s", path);
    checksum_free(all);
    free(piece);
    return got == 0;
}

bool file_sum_of(const char *path, struct file_sum *sum, struct failure *f)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        failure_note(f, strerror(errno), "opening %s", path);
        return false;
    }
    const bool ok = sum_open(fd, path, sum, f);
    close(fd);
    return ok;
}

/* fsync of a file or folder by its path: Linux syncs the inode, whichever process wrote it. */
static bool path_sync(const char *path, struct failure *f)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok && fd >= 0 && errno == EINVAL) ok = true; /* some file systems cannot sync folders */
    if (!ok) failure_note(f, strerror(errno), "syncing %s to the disk", path);
    if (fd >= 0) close(fd);
    return ok;
}

bool path_rename(const char *from, const char *to, const char *folder, struct failure *f)
{
    if (rename(from, to) != 0) {
        failure_note(f, strerror(errno), "renaming %s to %s", from, to);
        return false;
    }
    return path_sync(folder, f);
}

bool file_commit(const char *folder, const char *name, struct failure *f)
{
    char tmp[PATH_BYTES], path[PATH_BYTES];
    path_make(tmp, "%s/%s.tmp", folder, name);
    path_make(path, "%s/%s", folder, name);
    return path_sync(tmp, f) && path_rename(tmp, path, folder, f);
}

/* A failed write takes its .tmp away, so that a full disk does not stay full. Network file systems
 * may report the error only at close. */
bool file_write(const char *folder, const char *name, const void *bytes, size_t n,
                struct failure *f)
{
    char tmp[PATH_BYTES];
    path_make(tmp, "%s/%s.tmp", folder, name);
    const int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && file_put(fd, bytes, n);
    if (!ok) failure_note(f, strerror(errno), "writing %s", tmp);
    if (fd >= 0 && close(fd) != 0) {
        failure_note(f, strerror(errno), "closing %s", tmp);
        ok = false;
    }
    if (ok && file_commit(folder, name, f)) return true;
    unlink(tmp);
    return false;
}

char *path_read(const char *path, size_t most, size_t *n, struct failure *f)
{
    char why[FILE_WHY], *bytes = file_read(path, FILE_REGULAR, most, n, why);
    if (!bytes) failure_note(f, why, "reading %s", path);
    return bytes;
}

bool folder_make_one(const char *path, struct failure *f)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return true;
    failure_note(f, strerror(errno), "making the folder %s", path);
    return false;
}

bool folder_make(const char *path, struct failure *f)
{
    char part[PATH_BYTES];
    path_make(part, "%s", path);
    for (char *c = part + 1; *c; c++) {
        if (*c != '/') continue;
        *c = 0;
        if (!folder_make_one(part, f)) return false;
        *c = '/';
    }
    return folder_make_one(part, f);
}

/* Goes on behind a file that cannot be removed: as much room as possible is freed. rmdir then
 * fails. */
bool folder_remove(const char *path, struct failure *f)
{
    DIR *d = opendir(path);
    if (!d && errno == ENOENT) return true;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        char file[PATH_BYTES];
        path_make(file, "%s/%s", path, e->d_name);
        if (unlink(file) != 0) failure_note(f, strerror(errno), "removing %s", file);
    }
    if (d) closedir(d);
    if (rmdir(path) == 0) return true;
    failure_note(f, strerror(errno), "removing the folder %s", path);
    return false;
}
