/* metrics.jsonl and samples.jsonl. A line of metrics is put together in a fixed buffer and leaves in one write(2), so that a
 * killed run ends in a whole line; what was written after the last checkpoint is cut off when the run is resumed, and the
 * lines come out again the same (promise P5). */
#include "trainer/observe/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm/base/checksum.h"
#include "comm/base/die.h"
#include "comm/base/problems.h"
#include "comm/base/file.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "trainer/observe/progress.h"

enum { LINE_BYTES = 64 * 1024, MAX_NAMES = 512, NAME_BYTES = METRIC_NAME };

struct jsonl {
    int fd; /* -1 on ranks that do not write */
    long bytes;
    struct checksum *sum; /* of these bytes */
    char path[PATH_BYTES];
};

struct metrics {
    struct jsonl metrics, samples;
    bool writes, in_line, waits; /* waits: the open line is for the checkpoint to keep */
    char line[LINE_BYTES];
    size_t used;
    char name[MAX_NAMES][NAME_BYTES]; /* of the line being put together */
    int names;
    struct progress_line progress;
};

/* What a clock read: these differ between two runs that are otherwise equal. */
static const struct {
    const char *text;
    bool prefix;
} CLOCKS[] = {
    {"time/", true},
    {"pipeline/", true},
    {"tokens_per_second", false},
    {"mfu", false},
    {"sites/exchange_seconds", false},
    {"sites/exposed_seconds", false},
};

static void jsonl_write(struct jsonl *f, const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t wrote = write(f->fd, bytes, n);
        if (wrote < 0 && errno == EINTR) continue;
        SYS_OK(wrote > 0, "free space on that disk, then start the run again with --resume auto",
               "cannot write %s: %s", f->path, strerror(errno));
        checksum_add(f->sum, bytes, (size_t)wrote);
        bytes += wrote;
        n -= (size_t)wrote;
        f->bytes += wrote;
    }
}

/* Bytes up to the end of the last whole line of a file of `bytes` bytes. */
static long whole_lines(const struct jsonl *f, long bytes)
{
    char c;
    while (bytes > 0 && pread(f->fd, &c, 1, bytes - 1) == 1 && c != '\n') bytes--;
    return bytes;
}

/* Cuts the file to what the checkpoint recorded. A file that is shorter (moved, edited, lost with a machine) does not stop
 * the run: the numbers of the model are in the checkpoint, only the record of some steps is gone. */
static long jsonl_keep(const struct jsonl *f, long recorded)
{
    struct stat st;
    SYS_OK(fstat(f->fd, &st) == 0, NULL, "cannot examine %s: %s", f->path, strerror(errno));
    if ((long)st.st_size >= recorded) return recorded;
    const long kept = whole_lines(f, (long)st.st_size);
    log_warn("%s: holds %ld bytes, but the checkpoint was saved when it had %ld: the lines between "
             "are lost; the run "
             "goes on and adds its lines after byte %ld. To have them, put the complete file back "
             "and resume again",
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

static void check_prefix(int fd, const char *path, const struct record_mark *m, struct problems *p)
{
    static const char out[] =
        "put the file back as it was, or move it away: then a new one begins with the next step";
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
                     "its first %ld bytes are not those that the run wrote: lines were changed "
                     "after the checkpoint was saved; %s",
                     m->bytes, out);
    checksum_free(sum);
}

void metrics_check(const char *run_folder, const char *name, const struct record_mark *m,
                   struct problems *p)
{
    char path[PATH_BYTES];
    const int n = snprintf(path, sizeof path, "%s/%s", run_folder, name);
    const int fd = n < (int)sizeof path && m->bytes > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (m->bytes <= 0 || (fd < 0 && errno == ENOENT)) return; /* metrics_open says what is lost */
    if (fd < 0)
        problems_add(p, path, 0, "cannot be opened: %s", strerror(errno));
    else
        check_prefix(fd, path, m, p);
    if (fd >= 0) close(fd);
}

static void jsonl_open(struct jsonl *f, const char *folder, const char *name, long recorded)
{
    const int length = snprintf(f->path, sizeof f->path, "%s/%s", folder, name);
    SYS_OK(length > 0 && (size_t)length < sizeof f->path, "choose a shorter `out`",
           "the path of the run folder is too long: %s", folder);
    f->fd = open(f->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    SYS_OK(f->fd >= 0, "check that the run folder exists and is yours", "cannot open %s: %s",
           f->path, strerror(errno));
    f->bytes = recorded < 0 ? 0 : jsonl_keep(f, recorded);
    SYS_OK(ftruncate(f->fd, f->bytes) == 0, NULL, "cannot cut %s to %ld bytes: %s", f->path,
           f->bytes, strerror(errno));
    f->sum = checksum_new();
    SYS_OK(sum_prefix(f->sum, f->fd, f->bytes), NULL, "cannot read %s: %s", f->path,
           strerror(errno));
}

static void jsonl_sync(const struct jsonl *f)
{
    /* EINVAL: not a file that can be synced (a pipe, /dev/null). */
    SYS_OK(fsync(f->fd) == 0 || errno == EINVAL, "free space on that disk",
           "cannot write %s to the disk: %s", f->path, strerror(errno));
}

/* What another hand has added or taken away in mid-run: it stays, and is part of what a resumed run finds. */
static void jsonl_notice(struct jsonl *f)
{
    struct stat st;
    char last = '\n';
    SYS_OK(fstat(f->fd, &st) == 0, NULL, "cannot examine %s: %s", f->path, strerror(errno));
    if (!S_ISREG(st.st_mode) || (long)st.st_size == f->bytes) return;
    log_warn("%s: another program wrote to it while this run does: it has %ld bytes in place of "
             "%ld; what is there stays",
             f->path, (long)st.st_size, f->bytes);
    f->bytes = (long)st.st_size;
    checksum_restart(f->sum);
    SYS_OK(sum_prefix(f->sum, f->fd, f->bytes), NULL, "cannot read %s: %s", f->path,
           strerror(errno));
    if (f->bytes > 0 && pread(f->fd, &last, 1, f->bytes - 1) == 1 && last != '\n')
        jsonl_write(f, "\n", 1);
}

/* Where the open file is now, as Linux knows it. */
static void find_again(const struct jsonl *f, char *out, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", f->fd);
    const ssize_t n = readlink(link, out, size - 1);
    out[n > 0 ? n : 0] = 0;
}

#define STILL_OK(cond, ...)                                                             \
    do {                                                                                \
        if (!(cond))                                                                    \
            die_fmt(__FILE__, __LINE__, EXIT_WORLD, "looking for the run's own files",  \
                    "put the run folder back as it was, then start the run again with " \
                    "--resume auto; what it wrote after its last checkpoint is lost",   \
                    __VA_ARGS__);                                                       \
    } while (0)

/* A writer whose file was deleted or moved away hears of no error: its lines go to a file that nobody finds. */
static void jsonl_look(const struct jsonl *f)
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
             "%s is another file than the one that the run was writing to (that one is now %s)",
             f->path, now);
}

void metrics_look(const struct metrics *m)
{
    if (!m->writes) return;
    jsonl_look(&m->metrics);
    jsonl_look(&m->samples);
}

static void jsonl_close(const struct jsonl *f)
{
    SYS_OK(close(f->fd) == 0, "free space on that disk", "cannot close %s: %s", f->path,
           strerror(errno));
}

static void end_live_line(void *progress)
{
    progress_end(progress);
}

struct metrics *metrics_open(const char *run_folder, int rank, long metrics_bytes,
                             long samples_bytes)
{
    struct metrics *m = memory_take(1, sizeof *m, "metrics");
    m->writes = rank == 0;
    m->metrics.fd = m->samples.fd = -1;
    if (!m->writes) return m;
    jsonl_open(&m->metrics, run_folder, "metrics.jsonl", metrics_bytes);
    jsonl_open(&m->samples, run_folder, "samples.jsonl", samples_bytes);
    progress_init(&m->progress, STDERR_FILENO);
    log_before(end_live_line, &m->progress);
    return m;
}

void metrics_close(struct metrics *m)
{
    if (!m) return;
    INVARIANT(!m->in_line || m->waits, "metrics_close between metrics_begin and metrics_end");
    if (m->writes) {
        log_before(NULL, NULL);
        progress_end(&m->progress);
        metrics_look(m);
        jsonl_close(&m->metrics);
        jsonl_close(&m->samples);
        checksum_free(m->metrics.sum);
        checksum_free(m->samples.sum);
    }
    free(m);
}

/* --- a line ---------------------------------------------------------------------------------- */

static void line_add(struct metrics *m, const char *text)
{
    const size_t n = strlen(text);
    INVARIANT(m->used + n + 3 < LINE_BYTES, "a line of metrics is longer than %d bytes",
              LINE_BYTES);
    memcpy(m->line + m->used, text, n);
    m->used += n;
}

/* Names and phases are ours or the recipe's; what JSON would need escaped becomes '_'. */
static void line_add_string(struct metrics *m, const char *text)
{
    char quoted[NAME_BYTES + 3];
    size_t n = 0;
    quoted[n++] = '"';
    for (; *text && n <= NAME_BYTES; text++) {
        const unsigned char c = (unsigned char)*text;
        quoted[n++] = (char)(c < 0x20 || c == '"' || c == '\\' ? '_' : c);
    }
    quoted[n++] = '"';
    quoted[n] = 0;
    line_add(m, quoted);
}

/* The shortest of three precisions that reads back to the same bits; 17 digits always do. */
static void line_add_number(struct metrics *m, double value)
{
    char text[40] = "null";
    if (isfinite(value))
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, value);
            const double back = strtod(text, NULL);
            if (memcmp(&back, &value, sizeof value) == 0) break;
        }
    line_add(m, text);
}

void metrics_begin(struct metrics *m, long step, const char *phase)
{
    if (!m->writes) return;
    INVARIANT(!m->in_line, "metrics_begin twice at step %ld", step);
    m->in_line = true;
    m->used = 0;
    m->names = 0;
    char head[64];
    snprintf(head, sizeof head, "{\"step\":%ld,\"phase\":", step);
    line_add(m, head);
    line_add_string(m, phase);
}

static void remember_name(struct metrics *m, const char *name)
{
    INVARIANT(m->in_line, "metric %s outside a line", name);
    INVARIANT(strlen(name) < NAME_BYTES, "metric name of more than %d bytes: %s", NAME_BYTES - 1,
              name);
    INVARIANT(m->names < MAX_NAMES, "more than %d metrics in a line", MAX_NAMES);
    for (int i = 0; i < m->names; i++)
        INVARIANT(strcmp(m->name[i], name) != 0, "metric %s twice in a line", name);
    strcpy(m->name[m->names++], name);
}

void metrics_put(struct metrics *m, const char *name, double value)
{
    if (!m->writes) return;
    remember_name(m, name);
    line_add(m, ",");
    line_add_string(m, name);
    line_add(m, ":");
    line_add_number(m, value);
}

void metrics_put_clock(struct metrics *m, const char *name, double value)
{
    INVARIANT(metrics_is_clock(name), "%s is not among the names of clock readings", name);
    metrics_put(m, name, value);
}

bool metrics_is_clock(const char *name)
{
    for (size_t i = 0; i < sizeof CLOCKS / sizeof *CLOCKS; i++)
        if (CLOCKS[i].prefix ? strncmp(name, CLOCKS[i].text, strlen(CLOCKS[i].text)) == 0
                             : strcmp(name, CLOCKS[i].text) == 0)
            return true;
    return false;
}

void metrics_end(struct metrics *m)
{
    if (!m->writes) return;
    INVARIANT(m->in_line, "metrics_end without metrics_begin");
    m->in_line = m->waits = false;
    line_add(m, "}\n");
    jsonl_write(&m->metrics, m->line, m->used);
}

void metrics_wait(struct metrics *m)
{
    m->waits = m->in_line;
    m->line[m->used] = 0; /* line_add leaves room for it */
}

const char *metrics_waiting(const struct metrics *m)
{
    return m->waits ? m->line : NULL;
}

bool metrics_is_beginning(const char *text)
{
    static const char head[] = "{\"step\":";
    size_t n = strlen(text);
    return n + 4096 < LINE_BYTES && strncmp(text, head, sizeof head - 1) == 0 &&
           strcspn(text, "\n}") == n;
}

void metrics_go_on(struct metrics *m, const char *text)
{
    if (!m->writes) return;
    INVARIANT(!m->in_line && metrics_is_beginning(text), "no beginning of a line: %.40s", text);
    m->used = 0;
    m->names = 0;
    line_add(m, text);
    m->in_line = true;
}

/* --- samples, position, progress --------------------------------------------------------------- */

void metrics_sample(struct metrics *m, json_t *sample)
{
    if (m->writes) {
        char *text = json_dumps(sample, JSON_COMPACT);
        SYS_OK(text, NULL, "a sample could not be written as JSON");
        const size_t n = strlen(text);
        text[n] = '\n'; /* in place of the end mark: one write, whole lines */
        jsonl_write(&m->samples, text, n + 1);
        free(text);
    }
    json_decref(sample);
}

void metrics_position(struct metrics *m, long *metrics_bytes, long *samples_bytes)
{
    INVARIANT(!m->in_line || m->waits, "metrics_position between metrics_begin and metrics_end");
    if (m->writes) {
        jsonl_notice(&m->metrics);
        jsonl_notice(&m->samples);
        jsonl_sync(&m->metrics);
        jsonl_sync(&m->samples);
    }
    *metrics_bytes = m->metrics.bytes;
    *samples_bytes = m->samples.bytes;
}

void metrics_sums(const struct metrics *m, uint64_t *metrics, uint64_t *samples)
{
    *metrics = m->writes ? checksum_value(m->metrics.sum) : 0;
    *samples = m->writes ? checksum_value(m->samples.sum) : 0;
}

void metrics_progress(struct metrics *m, const struct progress *p)
{
    if (m->writes) progress_show(&m->progress, p);
}
