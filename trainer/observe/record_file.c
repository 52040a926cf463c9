/* A file of lines that only grows. What was written after the last checkpoint is cut off when
 * the run is resumed, and the lines come out again the same (promise P5); a killed run ends in a
 * whole line, since each leaves in one write(2). */
#include "trainer/observe/record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm/base/checksum.h"
#include "comm/base/die.h"
#include "comm/base/file.h"
#include "comm/base/log.h"

/* The checksum follows each write: a checkpoint stores it with the length. */
void record_file_write(struct record_file *f, const char *bytes, size_t n)
{
    SYS_OK(file_put(f->fd, bytes, n),
           "free space on that disk, then restart the run with --resume auto",
           "cannot write %s: %s", f->path, strerror(errno));
    checksum_add(f->sum, bytes, n);
    f->bytes += (long)n;
}

/* Bytes up to the end of the last whole line of a file of `bytes` bytes. */
static long whole_lines(const struct record_file *f, long bytes)
{
    char c;
    while (bytes > 0 && pread(f->fd, &c, 1, bytes - 1) == 1 && c != '\n') bytes--;
    return bytes;
}

/* Cuts the file to what the checkpoint recorded. A file that is shorter (moved, edited, lost
 * with a machine) does not stop the run: the numbers of the model are in the checkpoint, only
 * the record of some steps is gone. */
static long keep(const struct record_file *f, long recorded)
{
    struct stat st;
    SYS_OK(fstat(f->fd, &st) == 0, NULL, "cannot examine %s: %s", f->path, strerror(errno));
    if ((long)st.st_size >= recorded) return recorded;
    const long kept = whole_lines(f, (long)st.st_size);
    log_warn("%s has %ld bytes, but had %ld when the checkpoint was saved: the lines between are "
             "lost; the run continues and appends its lines after byte %ld. To keep those lines, "
             "put the complete file back and resume again",
             f->path, (long)st.st_size, recorded, kept);
    return kept;
}

/* Adds the first `bytes` bytes of a file to a checksum; false: it cannot be read, or is shorter. */
static bool sum_prefix(struct checksum *sum, int fd, long bytes)
{
    char piece[16384];
    for (long at = 0; at < bytes;) {
        const size_t want = bytes - at < (long)sizeof piece ? (size_t)(bytes - at) : sizeof piece;
        const ssize_t got = pread(fd, piece, want, at);
        if (got <= 0) return false;
        checksum_add(sum, piece, (size_t)got);
        at += got;
    }
    return true;
}

/* What the run wrote must still be there, byte for byte; lines after it are cut. */
static void check_prefix(int fd, const char *path, const struct record_mark *m, struct problems *p)
{
    static const char out[] =
        "restore the file, or move it away: a new one then begins with the next step";
    struct stat st;
    struct checksum *sum = checksum_new();
    if (fstat(fd, &st) != 0)
        problems_add(p, path, 0, "cannot be examined: %s", strerror(errno));
    else if ((long)st.st_size < m->bytes)
        problems_add(p, path, 0,
                     "has %ld bytes, but had %ld when the checkpoint was saved: lines are missing; "
                     "%s",
                     (long)st.st_size, m->bytes, out);
    else if (!sum_prefix(sum, fd, m->bytes))
        problems_add(p, path, 0, "cannot be read: %s", strerror(errno));
    else if (m->summed && checksum_value(sum) != m->xxh64)
        problems_add(p, path, 0,
                     "its first %ld bytes differ from what the run wrote: lines were changed after "
                     "the checkpoint was saved; %s",
                     m->bytes, out);
    checksum_free(sum);
}

/* Before anything is changed: a resume that is refused leaves the files alone. */
void record_file_check(const char *run_folder, const char *name, const struct record_mark *m,
                       struct problems *p)
{
    char path[PATH_BYTES];
    const int n = snprintf(path, sizeof path, "%s/%s", run_folder, name);
    const int fd = n < (int)sizeof path && m->bytes > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (m->bytes <= 0 || (fd < 0 && errno == ENOENT))
        return; /* record_file_open says what is lost */
    if (fd < 0)
        problems_add(p, path, 0, "cannot be opened: %s", strerror(errno));
    else
        check_prefix(fd, path, m, p);
    if (fd >= 0) close(fd);
}

/* O_APPEND: lines that another program adds are not overwritten. */
void record_file_open(struct record_file *f, const char *folder, const char *name, long recorded)
{
    const int length = snprintf(f->path, sizeof f->path, "%s/%s", folder, name);
    SYS_OK(length > 0 && (size_t)length < sizeof f->path, "choose a shorter `out`",
           "the path of the run folder is too long: %s", folder);
    f->fd = open(f->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    SYS_OK(f->fd >= 0, "check that the run folder exists and is yours", "cannot open %s: %s",
           f->path, strerror(errno));
    f->bytes = recorded < 0 ? 0 : keep(f, recorded);
    SYS_OK(ftruncate(f->fd, f->bytes) == 0, NULL, "cannot cut %s to %ld bytes: %s", f->path,
           f->bytes, strerror(errno));
    f->sum = checksum_new();
    SYS_OK(sum_prefix(f->sum, f->fd, f->bytes), NULL, "cannot read %s: %s", f->path,
           strerror(errno));
}

void record_file_sync(const struct record_file *f)
{
    /* EINVAL: not a file that can be synced (a pipe, /dev/null). */
    SYS_OK(fsync(f->fd) == 0 || errno == EINVAL, "free space on that disk",
           "cannot write %s to the disk: %s", f->path, strerror(errno));
}

/* What another hand has added or taken away in mid-run: it stays, and is part of what a resumed
 * run finds. */
void record_file_notice(struct record_file *f)
{
    struct stat st;
    char last = '\n';
    SYS_OK(fstat(f->fd, &st) == 0, NULL, "cannot examine %s: %s", f->path, strerror(errno));
    if (!S_ISREG(st.st_mode) || (long)st.st_size == f->bytes) return;
    log_warn(
        "%s: another program is writing to it: it has %ld bytes instead of %ld; nothing is removed",
        f->path, (long)st.st_size, f->bytes);
    f->bytes = (long)st.st_size;
    checksum_restart(f->sum);
    SYS_OK(sum_prefix(f->sum, f->fd, f->bytes), NULL, "cannot read %s: %s", f->path,
           strerror(errno));
    if (f->bytes > 0 && pread(f->fd, &last, 1, f->bytes - 1) == 1 && last != '\n')
        record_file_write(f, "\n", 1);
}

/* Where the open file is now, as Linux knows it. */
static void find_again(const struct record_file *f, char *out, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", f->fd);
    const ssize_t n = readlink(link, out, size - 1);
    out[n > 0 ? n : 0] = 0;
}

#define STILL_OK(cond, ...)                                                                     \
    do {                                                                                        \
        if (!(cond))                                                                            \
            die_fmt(__FILE__, __LINE__, EXIT_WORLD, "looking for the run's own files",          \
                    "restore the run folder, then restart the run with --resume auto; what it " \
                    "wrote after its last checkpoint is lost",                                  \
                    __VA_ARGS__);                                                               \
    } while (0)

/* A writer whose file was deleted or moved away hears of no error: its lines go to a file that
 * nobody finds. */
void record_file_look(const struct record_file *f)
{
    struct stat opened, named;
    char now[PATH_BYTES];
    STILL_OK(fstat(f->fd, &opened) == 0, "cannot examine %s: %s", f->path, strerror(errno));
    if (!S_ISREG(opened.st_mode)) return;
    const bool there = stat(f->path, &named) == 0;
    STILL_OK(there || errno == ENOENT, "cannot examine %s: %s", f->path, strerror(errno));
    find_again(f, now, sizeof now);
    STILL_OK(there,
             "%s is gone: it or the run folder was deleted or renamed while the run was writing to "
             "it (it is now %s)",
             f->path, now);
    STILL_OK(named.st_ino == opened.st_ino && named.st_dev == opened.st_dev,
             "%s is not the file that the run was writing to (that one is now %s)", f->path, now);
}

void record_file_close(struct record_file *f)
{
    SYS_OK(close(f->fd) == 0, "free space on that disk", "cannot close %s: %s", f->path,
           strerror(errno));
    checksum_free(f->sum);
}

uint64_t record_file_sum(const struct record_file *f)
{
    return checksum_value(f->sum);
}
