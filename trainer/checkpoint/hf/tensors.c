/* A folder's tensors held against a model's, and slices read from them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "trainer/checkpoint/hf/folder.h"
#include "trainer/checkpoint/hf/pieces.h"

/* --- check --- */

static bool same_shape(const struct safetensor *t, const struct hf_piece *piece)
{
    if (t->rank != piece->rank) return false;
    for (int i = 0; i < t->rank; i++)
        if (t->shape[i] != piece->shape[i]) return false;
    return true;
}

/* The shape is that of the piece in the folder, not of our fused tensor, so that the message can be
 * compared with the folder. */
static void check_piece(const struct hf_folder *f, const struct hf_piece *piece, struct problems *p)
{
    char is[256], must[256];
    const struct hf_file *in = NULL;
    const struct safetensor *t = hf_folder_find(f, piece->name, &in);
    if (!t) {
        problems_add(p, f->path, 0, "tensor \"%s\": it is missing (%s is needed)", piece->name,
                     safetensor_shape_text(must, piece->shape, piece->rank));
        return;
    }
    if (!same_shape(t, piece))
        problems_add(p, in->path, 0, "tensor \"%s\": its shape is %s, the model needs %s",
                     piece->name, safetensor_shape_text(is, t->shape, t->rank),
                     safetensor_shape_text(must, piece->shape, piece->rank));
    if (!st_is_weight(t->dtype))
        problems_add(p, in->path, 0,
                     "tensor \"%s\": its type is %s; weights are read in BF16, F16 and F32",
                     piece->name, st_name(t->dtype));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What folders have beside weights, and nobody reads: angles that follow from config.json, and in a
 * tied model a copy of the embedding. */
static bool is_passed_over(const char *name, const struct dims *d)
{
    static const char angles[] = ".rotary_emb.inv_freq";
    size_t n = strlen(name), k = sizeof angles - 1;
    if (n > k && strcmp(name + n - k, angles) == 0) return true;
    return d->tied && strcmp(name, "lm_head.weight") == 0;
}

struct names {
    char **at;
    size_t n, room;
};

static void names_add(struct names *all, const char *name)
{
    if (all->n == all->room) {
        all->room = all->room ? all->room * 2 : 256;
        all->at = realloc(all->at, all->room * sizeof *all->at);
        SYS_OK(all->at, "free memory", "no memory for names of tensors");
    }
    all->at[all->n] = memory_copy_text(name, "names of tensors");
    all->n++;
}

static void check_extra(const struct hf_folder *f, const struct names *needed, const struct dims *d,
                        struct problems *p)
{
    char shown[96];
    for (int k = 0; k < f->n; k++)
        for (size_t i = 0; i < f->file[k].st.n; i++) {
            const char *name = f->file[k].st.t[i].name;
            bool known = needed->n > 0 &&
                         bsearch(&name, needed->at, needed->n, sizeof *needed->at, by_text) != NULL;
            if (known || is_passed_over(name, d)) continue;
            problems_add(p, f->file[k].path, 0,
                         "tensor \"%s\": the model of config.json has none of this name",
                         safetensor_show(shown, name));
        }
}

/* What the model needs is collected, so that tensors it has no use for are found, too: they are of
 * another model. */
bool hf_folder_check(const struct hf_folder *f, const struct dims *d, struct problems *p)
{
    struct hf_model m;
    struct names needed = {0};
    int before = p->n;
    hf_model_make(&m, d);
    for (int i = 0; i < m.list.n; i++) {
        const struct param *q = &m.list.p[i];
        struct hf_piece piece;
        size_t lo = 0;
        if (q->tied_copy) continue;
        for (int k = 0; hf_piece_of(&piece, q, &m.dims, k, lo); k++, lo += piece.n) {
            check_piece(f, &piece, p);
            names_add(&needed, piece.name);
        }
    }
    if (needed.n > 0) qsort(needed.at, needed.n, sizeof *needed.at, by_text);
    check_extra(f, &needed, d, p);
    for (size_t i = 0; i < needed.n; i++) free(needed.at[i]);
    free(needed.at);
    hf_model_free(&m);
    return p->n == before;
}

/* --- read --- */

/* Runs of a slice that lie closer than NEAR_BYTES in the file are read together, with what is
 * between: a disk reads whole pages anyway. The kernel is told what comes within AHEAD_BYTES, so
 * that the disk reads while we convert. The buffer stays in a core's cache. */
enum { BUFFER_BYTES = 1 << 20, NEAR_BYTES = 16 << 10, AHEAD_BYTES = 64 << 20 };

struct tensor_reader {
    const struct hf_folder *folder;
    const struct hf_file *in; /* whose descriptor is open; NULL: none is */
    int fd;
    unsigned char *buffer;
    struct problems *p;
};

/* Elements of a piece: where the first one lies in the file, and what an element is. */
struct source_of {
    const struct safetensor *t;
    uint64_t at; /* byte of element `lo` of the whole tensor */
    size_t lo, bytes;
};

static bool fail(struct tensor_reader *r, const struct safetensor *t, const char *why)
{
    problems_add(r->p, r->in->path, 0, "tensor \"%s\": cannot be read: %s", t->name, why);
    return false;
}

static bool use_file(struct tensor_reader *r, const struct hf_file *in, const struct safetensor *t)
{
    if (r->in == in) return true;
    if (r->fd >= 0) close(r->fd);
    r->in = in;
    r->fd = open(in->path, O_RDONLY | O_CLOEXEC);
    return r->fd >= 0 || fail(r, t, strerror(errno));
}

static off_t byte_of(const struct source_of *s, size_t element)
{
    return (off_t)(s->at + (element - s->lo) * s->bytes);
}

/* Elements [lo, hi) of the whole tensor, of which at most AHEAD_BYTES, will be read soon. In small
 * parts: of a long one the kernel reads only the beginning. */
static void announce(const struct tensor_reader *r, const struct source_of *s, size_t lo, size_t hi)
{
    enum { PART_BYTES = 512 << 10 };
    size_t bytes = hi > lo ? (hi - lo) * s->bytes : 0;
    if (bytes > AHEAD_BYTES) bytes = AHEAD_BYTES;
    for (size_t at = 0; at < bytes; at += PART_BYTES)
        posix_fadvise(r->fd, byte_of(s, lo) + (off_t)at,
                      (off_t)(bytes - at < PART_BYTES ? bytes - at : PART_BYTES),
                      POSIX_FADV_WILLNEED);
}

/* Elements [lo, hi) of the whole tensor into the buffer. */
static bool fetch(struct tensor_reader *r, const struct source_of *s, size_t lo, size_t hi)
{
    size_t n = (hi - lo) * s->bytes;
    ssize_t got = file_read_at(r->fd, r->buffer, n, (uint64_t)byte_of(s, lo));
    if (got < 0) return fail(r, s->t, strerror(errno));
    if ((size_t)got < n) return fail(r, s->t, "the file has become shorter since it was opened");
    watchdog_feed();
    return true;
}

/* Elements of a slice as runs: run k is [lo + k * stride, ... + run). */
struct runs {
    size_t lo, run, stride, n;
};

static struct runs runs_of(const struct range *s)
{
    if (s->run == 0) return (struct runs){s->lo, s->hi - s->lo, 0, s->hi > s->lo};
    return (struct runs){s->lo, s->run, s->stride, range_count(s) / s->run};
}

/* What of run k lies in [lo, hi): from *a to *b; *skip: elements of it that lie before. */
static bool clip(const struct runs *s, size_t k, const size_t in[2], size_t ab[2], size_t *skip)
{
    size_t begin = s->lo + k * s->stride, end = begin + s->run;
    ab[0] = begin > in[0] ? begin : in[0];
    ab[1] = end < in[1] ? end : in[1];
    *skip = ab[0] - begin;
    return ab[0] < ab[1];
}

/* One run, in as many buffers as it takes. */
static bool read_long_run(struct tensor_reader *r, const struct source_of *s, const size_t ab[2],
                          float *out)
{
    size_t most = BUFFER_BYTES / s->bytes;
    for (size_t at = ab[0]; at < ab[1];) {
        size_t n = ab[1] - at < most ? ab[1] - at : most, next = at + n + AHEAD_BYTES / s->bytes;
        announce(r, s, next - most, next < ab[1] ? next : ab[1]);
        if (!fetch(r, s, at, at + n)) return false;
        st_to_float(out + (at - ab[0]), r->buffer, s->t->dtype, n);
        at += n;
    }
    return true;
}

/* All of the slice that lies in the piece [in[0], in[1]) of the tensor. */
static bool read_piece(struct tensor_reader *r, const struct source_of *s, const size_t in[2],
                       const struct slice *slice)
{
    const struct runs runs = runs_of(&slice->at);
    const size_t most = BUFFER_BYTES / s->bytes, near = NEAR_BYTES / s->bytes;
    for (size_t k = 0; k < runs.n;) {
        size_t ab[2], next[2], skip, last = k;
        if (!clip(&runs, k, in, ab, &skip)) {
            k++;
            continue;
        }
        size_t end = ab[1];
        for (; last + 1 < runs.n && clip(&runs, last + 1, in, next, &skip); last++) {
            if (next[1] - ab[0] > most || next[0] - end > near) break;
            end = next[1];
        }
        if (last == k) {
            clip(&runs, k, in, ab, &skip);
            if (!read_long_run(r, s, ab, slice->data + k * runs.run + skip)) return false;
        } else if (!fetch(r, s, ab[0], end)) {
            return false;
        }
        for (size_t i = k; last > k && i <= last; i++) {
            clip(&runs, i, in, next, &skip);
            st_to_float(slice->data + i * runs.run + skip, r->buffer + (next[0] - ab[0]) * s->bytes,
                        s->t->dtype, next[1] - next[0]);
        }
        k = last + 1;
    }
    return true;
}

/* The same from a map. */
static void read_mapped(const struct hf_gguf *g, const struct safetensor *t, const size_t in[2],
                        const struct slice *slice)
{
    const struct runs runs = runs_of(&slice->at);
    for (size_t k = 0; k < runs.n; k++) {
        size_t ab[2], skip;
        if (!clip(&runs, k, in, ab, &skip)) continue;
        hf_gguf_read(g, t, slice->data + k * runs.run + skip, ab[0] - in[0], ab[1] - ab[0]);
    }
    watchdog_feed();
}

/* A tensor of ours is several of the folder behind each other. Those that a slice is in, one by
 * one; begins with k and lo 0. */
struct walk {
    int k;
    size_t lo;    /* behind the piece that was found last */
    size_t in[2]; /* which elements of the tensor it is */
    const struct hf_file *file;
    const struct safetensor *t;
};

/* Pieces that lie before or behind the slice are not read. false: it was the last. */
static bool next_piece(struct walk *w, const struct hf_folder *f, const struct hf_model *m,
                       const struct slice *slice)
{
    INVARIANT(strncmp(slice->name, "model/", 6) == 0, "no weights: %s", slice->name);
    const struct param *q = hf_model_find(m, slice->name + 6);
    INVARIANT(q && q->whole == slice->n, "%s is no tensor of the model", slice->name);
    struct hf_piece piece;
    while (w->lo < slice->at.hi && hf_piece_of(&piece, q, &m->dims, w->k, w->lo)) {
        w->in[0] = w->lo;
        w->in[1] = w->lo += piece.n;
        w->k++;
        if (w->in[1] <= slice->at.lo) continue;
        w->t = hf_folder_find(f, piece.name, &w->file);
        INVARIANT(w->t && safetensor_count(w->t) == piece.n, "%s was not checked", piece.name);
        return true;
    }
    return false;
}

static struct source_of source_at(const struct walk *w)
{
    return (struct source_of){w->t, w->file->st.data + w->t->begin, w->in[0],
                              (size_t)st_bits(w->t->dtype) / 8};
}

static bool read_slice(struct tensor_reader *r, const struct hf_model *m, const struct slice *slice)
{
    struct walk w = {0};
    while (next_piece(&w, r->folder, m, slice)) {
        if (r->folder->gguf.file.g) {
            read_mapped(&r->folder->gguf, w.t, w.in, slice);
            continue;
        }
        const struct source_of s = source_at(&w);
        if (!use_file(r, w.file, w.t) || !read_piece(r, &s, w.in, slice)) return false;
    }
    return true;
}

/* Only a slice of one run, in the file that is open: of the others too much would be read. */
static void announce_slice(const struct tensor_reader *r, const struct hf_model *m,
                           const struct slice *slice)
{
    struct walk w = {0};
    if (slice->at.run > 0 || r->folder->gguf.file.g) return;
    while (next_piece(&w, r->folder, m, slice)) {
        if (!r->in || w.file != r->in) continue;
        const struct source_of s = source_at(&w);
        announce(r, &s, slice->at.lo > w.in[0] ? slice->at.lo : w.in[0],
                 slice->at.hi < w.in[1] ? slice->at.hi : w.in[1]);
    }
}

/* The slices to come are announced, those of AHEAD_BYTES, before one is read. */
bool hf_folder_read(const struct hf_folder *f, const struct dims *d, const struct slice *slices,
                    int n, struct problems *p)
{
    struct hf_model m;
    struct tensor_reader r = {.folder = f, .fd = -1, .p = p};
    size_t ahead = 0; /* bytes of slices [i, told), at most */
    bool ok = true;
    hf_model_make(&m, d);
    r.buffer = memory_take_aligned(BUFFER_BYTES, "reading weights");
    for (int i = 0, told = 0; i < n && ok; i++) {
        for (; told < n && ahead < AHEAD_BYTES; told++) {
            announce_slice(&r, &m, &slices[told]);
            ahead += range_count(&slices[told].at) * sizeof(float);
        }
        ok = read_slice(&r, &m, &slices[i]);
        ahead -= range_count(&slices[i].at) * sizeof(float);
    }
    if (r.fd >= 0) close(r.fd);
    free(r.buffer);
    hf_model_free(&m);
    return ok;
}
