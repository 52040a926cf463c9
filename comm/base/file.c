#include "comm/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void say_why(char why[FILE_WHY], const char *what)
{
    snprintf(why, FILE_WHY, "%s", what);
}

static bool say_too_long(char why[FILE_WHY], size_t most)
{
    snprintf(why, FILE_WHY, "longer than %zu bytes", most);
    return false;
}

struct whole {
    char *bytes;
    size_t n, room;
};

/* At least two bytes are free behind what there is: one for more, which may prove too much, one
 * for the 0. */
static bool has_room(struct whole *w, char why[FILE_WHY])
{
    enum { FIRST = 65536 };
    if (w->room - w->n >= 2) return true;
    size_t room = w->room < SIZE_MAX / 2 ? 2 * w->room + FIRST : 0;
    char *bytes = room ? realloc(w->bytes, room) : NULL;
    if (!bytes) {
        say_why(why, "no memory");
        return false;
    }
    w->bytes = bytes;
    w->room = room;
    return true;
}

/* Reads on to the end even where fstat gave a size: a file may grow, and a pipe has none. */
static bool read_rest(struct whole *w, int fd, size_t most, char why[FILE_WHY])
{
    while (has_room(w, why)) {
        ssize_t got = read(fd, w->bytes + w->n, w->room - w->n - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) say_why(why, strerror(errno));
        if (got <= 0) return got == 0;
        w->n += (size_t)got;
        if (w->n > most) return say_too_long(why, most);
    }
    return false;
}

/* The size is only a first guess for the buffer; `most` is checked again while reading. */
char *file_read_open(int fd, size_t most, size_t *n, char why[FILE_WHY])
{
    struct stat st;
    struct whole w = {0};
    *n = 0;
    bool measured = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
    if (measured && (uintmax_t)st.st_size > most) {
        say_too_long(why, most);
        return NULL;
    }
    if (measured) w.bytes = malloc(w.room = (size_t)st.st_size + 2);
    if (!w.bytes) w.room = 0;
    if (!read_rest(&w, fd, most, why)) {
        free(w.bytes);
        return NULL;
    }
    w.bytes[w.n] = '\0';
    *n = w.n;
    return w.bytes;
}

static bool is_regular(int fd, char why[FILE_WHY])
{
    struct stat st;
    bool looked = fstat(fd, &st) == 0;
    say_why(why, looked ? "not a file" : strerror(errno));
    return looked && S_ISREG(st.st_mode);
}

/* O_NONBLOCK, so that opening a FIFO that nobody writes to fails by its kind instead of hanging. */
char *file_read(const char *path, enum file_kind kind, size_t most, size_t *n, char why[FILE_WHY])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | (kind == FILE_REGULAR ? O_NONBLOCK : 0));
    *n = 0;
    if (fd < 0) {
        say_why(why, strerror(errno));
        return NULL;
    }
    char *bytes = NULL;
    if (kind == FILE_ANY || is_regular(fd, why)) bytes = file_read_open(fd, most, n, why);
    close(fd);
    return bytes;
}

ssize_t file_read_at(int fd, void *out, size_t n, uint64_t from)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(fd, (char *)out + done, n - done, (off_t)(from + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

bool file_put(int fd, const void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t wrote = write(fd, (const char *)bytes + done, n - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote == 0) errno = ENOSPC;
        if (wrote <= 0) return false;
        done += (size_t)wrote;
    }
    return true;
}
