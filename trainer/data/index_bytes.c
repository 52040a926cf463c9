/* See index.h: an index as bytes, for other ranks and for the next start. Numbers are the machine's
 * own; whoever has others takes the bytes for another's. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "comm/base/checksum.h"
#include "comm/base/memory.h"
#include "trainer/data/files.h"
#include "trainer/data/index.h"

/* To be raised when lines are read otherwise. */
enum { READS = 1 };

/* Behind the head: a row a file, the marks of all files, the words of both splits, and a checksum
 * of everything before it. */
struct index_head {
    char mark[32];
    uint64_t identity, bytes, files, records, words[2];
};
struct index_file {
    uint64_t lines, sum, marks;
};
struct index_mark {
    uint64_t at, number;
};
enum { SUM = sizeof(uint64_t) };

/* Times of a file change when it is written to; ctime cannot be set back. */
uint64_t index_identity(const struct data_index *x, const struct index_job *job)
{
    struct checksum *sum = checksum_new();
    const uint64_t how[] = {READS,      job->apart,         job->skip,
                            job->large, (uint64_t)x->files, (uint64_t)x->training};
    checksum_add(sum, how, sizeof how);
    checksum_add(sum, job->named, strlen(job->named));
    for (int i = 0; i < x->files; i++) {
        struct stat s;
        SYS_OK(fstat(x->file[i].fd, &s) == 0, "look for messages of the file system in dmesg",
               "cannot look at %s", x->file[i].path);
        const uint64_t file[] = {(uint64_t)s.st_ino,         (uint64_t)s.st_size,
                                 (uint64_t)s.st_mtim.tv_sec, (uint64_t)s.st_mtim.tv_nsec,
                                 (uint64_t)s.st_ctim.tv_sec, (uint64_t)s.st_ctim.tv_nsec};
        checksum_add(sum, file, sizeof file);
    }
    uint64_t identity = checksum_value(sum);
    checksum_free(sum);
    return identity;
}

static struct index_head head_of(const struct data_index *x, uint64_t identity)
{
    struct index_head h = {.mark = INDEX_MARK,
                           .identity = identity,
                           .files = (uint64_t)x->files,
                           .records = (uint64_t)x->records,
                           .words = {x->split[0].words, x->split[1].words}};
    h.bytes = sizeof h + h.files * sizeof(struct index_file) + SUM;
    for (int i = 0; i < x->files; i++) h.bytes += x->file[i].marks * sizeof(struct index_mark);
    for (int k = 0; k < 2; k++) h.bytes += h.words[k] * sizeof(uint64_t);
    return h;
}

static unsigned char *put(unsigned char *at, const void *from, size_t n)
{
    if (n > 0) memcpy(at, from, n);
    return at + n;
}

/* Head, files, marks of all files, bits of both splits, and the sum of what stands before it. */
unsigned char *index_bytes(const struct data_index *x, uint64_t identity, size_t *n)
{
    const struct index_head h = head_of(x, identity);
    unsigned char *bytes = memory_take((size_t)h.bytes, 1, "an index of lines");
    unsigned char *at = put(bytes, &h, sizeof h);
    for (int i = 0; i < x->files; i++) {
        const struct lines *l = &x->file[i];
        at = put(at, &(struct index_file){(uint64_t)l->n, l->sum, l->marks},
                 sizeof(struct index_file));
    }
    for (int i = 0; i < x->files; i++) {
        const struct lines *l = &x->file[i];
        for (size_t k = 0; k < l->marks; k++)
            at = put(at, &(struct index_mark){l->mark[k].at, (uint64_t)l->mark[k].number},
                     sizeof(struct index_mark));
    }
    for (int k = 0; k < 2; k++)
        at = put(at, x->split[k].word, x->split[k].words * sizeof(uint64_t));
    uint64_t sum = checksum(bytes, (size_t)(at - bytes), 0);
    put(at, &sum, sizeof sum);
    *n = (size_t)h.bytes;
    return bytes;
}

/* --- taking --- */

struct taking {
    const unsigned char *at;
    size_t left;
};

/* false: there are not as many. */
static bool take(struct taking *t, void *out, uint64_t n, size_t size)
{
    if (n > t->left / size) return false;
    if (n > 0) memcpy(out, t->at, (size_t)n * size);
    t->at += n * size;
    t->left -= (size_t)n * size;
    return true;
}

/* A line begins behind the one before it, and has a higher number. */
static bool take_marks(struct taking *t, struct lines *l, uint64_t marks)
{
    struct index_mark m, before = {0};
    if (marks > t->left / sizeof m || (l->n > 0) != (marks > 0)) return false;
    free(l->mark);
    l->mark = memory_take((size_t)marks, sizeof *l->mark, "lines of a file");
    for (l->marks = 0; l->marks < marks; l->marks++) {
        bool behind = take(t, &m, 1, sizeof m) && (l->marks == 0 || m.at > before.at);
        bool first = l->marks > 0 || m.number == 1;
        if (!behind || !first || m.at >= l->bytes || m.number <= before.number ||
            m.number > (uint64_t)l->n)
            return false;
        l->mark[l->marks] = (struct line_mark){m.at, (int)m.number};
        before = m;
    }
    return true;
}

/* No line beyond the last of the files, and no more records than an int counts. */
static bool take_split(struct taking *t, struct number_set *s, uint64_t words, uint64_t lines)
{
    number_set_free(s);
    if (words > t->left / sizeof *s->word) return false;
    s->word = memory_take((size_t)words + 1, sizeof *s->word, "lines of a file");
    s->words = (size_t)words;
    take(t, s->word, words, sizeof *s->word);
    while (words > 0 && s->word[words - 1] == 0) words--;
    if (words > 0 && 64 * words - (uint64_t)__builtin_clzll(s->word[words - 1]) > lines)
        return false;
    uint64_t n = 0;
    for (uint64_t w = 0; w < words; w++) n += (uint64_t)__builtin_popcountll(s->word[w]);
    if (n > INT_MAX) return false;
    number_set_count(s);
    return true;
}

/* The heads of all files come before the marks of the first. */
static bool take_files(struct taking *t, struct data_index *x)
{
    uint64_t marks[2 * FILES_MOST];
    for (int i = 0; i < x->files; i++) {
        struct index_file f;
        if (!take(t, &f, 1, sizeof f) || f.lines > INT_MAX) return false;
        x->file[i].n = (int)f.lines;
        x->file[i].sum = f.sum;
        x->lines[i + 1] = x->lines[i] + f.lines;
        marks[i] = f.marks;
    }
    for (int i = 0; i < x->files; i++)
        if (!take_marks(t, &x->file[i], marks[i])) return false;
    return true;
}

static void forget(struct data_index *x)
{
    for (int i = 0; i < x->files; i++) {
        x->file[i].n = 0;
        x->file[i].marks = 0;
        x->lines[i + 1] = 0;
    }
    for (int k = 0; k < 2; k++) number_set_free(&x->split[k]);
    x->records = 0;
}

bool index_whole(const unsigned char *bytes, size_t n)
{
    struct index_head h;
    uint64_t sum;
    if (n < sizeof h + SUM) return false;
    memcpy(&h, bytes, sizeof h);
    memcpy(&sum, bytes + n - SUM, SUM);
    return memcmp(h.mark, INDEX_MARK, sizeof INDEX_MARK) == 0 && h.bytes == n &&
           sum == checksum(bytes, n - SUM, 0);
}

/* Its checksum says that it is whole; what follows is checked all the same, since whoever writes a
 * file can write its checksum, too. */
bool index_take(struct data_index *x, uint64_t identity, const unsigned char *bytes, size_t n)
{
    struct index_head h = {.files = 0};
    struct taking t = {bytes, n};
    if (!index_whole(bytes, n)) return false;
    take(&t, &h, 1, sizeof h);
    if (h.identity != identity || h.files != (uint64_t)x->files || h.records > INT_MAX)
        return false;
    forget(x);
    x->records = (int)h.records;
    bool ok = take_files(&t, x);
    for (int k = 0; k < 2; k++)
        ok = ok && take_split(&t, &x->split[k], h.words[k], x->lines[x->files]);
    ok = ok && t.left == SUM;
    if (!ok) forget(x);
    return ok;
}
