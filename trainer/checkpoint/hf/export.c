/* See export.h. Tensors are read from the checkpoint one after the other, as the files have them,
 * a block at a time. */
#include "trainer/checkpoint/hf/export.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/memory.h"
#include "comm/watch.h"
#include "trainer/checkpoint/files.h"
#include "trainer/checkpoint/hf/pieces.h"
#include "trainer/checkpoint/hf/safetensors.h"
#include "trainer/checkpoint/hf/side_files.h"

enum { BLOCK = 32 << 20 }; /* elements */

/* Where the numbers of a tensor lie in the checkpoint. */
struct export_tensor {
    struct safetensor st;
    const struct param *param;
    size_t lo;
};

struct exporter {
    const struct hf_export *x;
    struct hf_model model;
    struct export_tensor *t; /* (n), in the order of the files */
    size_t n;
    char (*name)[128]; /* (n) */
    int *file;         /* (n): in which file each lies */
    int files;
    char partial[PATH_BYTES];
    float *block;
    unsigned char *out;
    struct failure f;
    struct problems *p;
};

/* --- which tensors, in which file --- */

/* The type that a tensor was imported in. */
static enum st_dtype type_of(const struct hf_export *x, const json_t *types, const char *name)
{
    const json_t *own = json_object_get(json_object_get(types, "others"), name);
    const char *text = json_string_value(own ? own : json_object_get(types, "default"));
    enum st_dtype d = x->dtype;
    bool known = x->as_source && text && st_find(text, &d) && st_is_weight(d);
    return known ? d : x->dtype;
}

/* Counts in the first pass and fills in the second. A tied head is not listed: the embedding is
 * there once. */
static void list_tensors(struct exporter *e)
{
    const struct attachment *a = attachments_find(&e->x->from->files, HF_SIDE_DTYPES);
    json_t *types = a ? json_loadb(a->bytes, a->n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    for (int pass = 0; pass < 2; pass++) {
        size_t n = 0;
        for (int i = 0; i < e->model.list.n; i++) {
            const struct param *q = &e->model.list.p[i];
            struct hf_piece piece;
            size_t lo = 0;
            for (int k = 0; !q->tied_copy && hf_piece_of(&piece, q, &e->model.dims, k, lo); k++) {
                lo += piece.n;
                if (pass) {
                    memcpy(e->name[n], piece.name, sizeof piece.name);
                    struct export_tensor *t = &e->t[n];
                    *t = (struct export_tensor){
                        {.name = e->name[n], .rank = piece.rank}, q, piece.lo};
                    memcpy(t->st.shape, piece.shape, sizeof piece.shape);
                    t->st.dtype = type_of(e->x, types, piece.name);
                }
                n++;
            }
        }
        e->n = n;
        if (pass) break;
        e->t = memory_take(n, sizeof *e->t, "tensors to export");
        e->name = memory_take(n, sizeof *e->name, "tensors to export");
        e->file = memory_take(n, sizeof *e->file, "tensors to export");
    }
    json_decref(types);
    qsort(e->t, e->n, sizeof *e->t, safetensor_file_order); /* st comes first in it */
}

static uint64_t bytes_of(const struct export_tensor *t)
{
    return safetensor_count(&t->st) * (uint64_t)st_bits(t->st.dtype) / 8;
}

/* A tensor is never split, so one that is larger than a file should be has a file of its own. */
static uint64_t fill_files(struct exporter *e)
{
    uint64_t in = 0, all = 0;
    for (size_t i = 0; i < e->n; i++) {
        uint64_t n = bytes_of(&e->t[i]);
        if (e->files == 0 || in + n > e->x->shard_bytes) {
            e->files++;
            in = 0;
        }
        e->file[i] = e->files - 1;
        in += n;
        all += n;
    }
    return all;
}

static void file_name(char out[64], int i, int files)
{
    if (files == 1)
        snprintf(out, 64, "model.safetensors");
    else
        snprintf(out, 64, "model-%05d-of-%05d.safetensors", i + 1, files);
}

/* --- writing --- */

static bool put_in_file(struct exporter *e, int fd, const void *bytes, size_t n)
{
    bool ok = file_put(fd, bytes, n);
    if (!ok) failure_note(&e->f, strerror(errno), "writing %s", e->partial);
    return ok;
}

static bool is_stored(const struct hf_export *x, const struct param *q)
{
    struct hf_model stored;
    if (q->role != ROLE_BIAS) return true;
    hf_model_make(&stored, &x->dims);
    bool is = hf_model_find(&stored, q->name) != NULL;
    hf_model_free(&stored);
    return is;
}

bool hf_export_read(const struct hf_export *x, const struct param *q, size_t lo, size_t hi,
                    float *out, struct problems *p)
{
    struct slice s = {.n = q->whole, .at = {.lo = lo, .hi = hi}, .data = out};
    snprintf(s.name, sizeof s.name, "model/%s", q->name);
    watchdog_feed();
    if (is_stored(x, q)) return checkpoint_read(x->from, &s, 1, p);
    memset(out, 0, (hi - lo) * sizeof *out);
    return true;
}

/* A block at a time, so that memory does not grow with the largest tensor. */
static bool put_tensor(struct exporter *e, int fd, const struct export_tensor *t)
{
    size_t n = (size_t)safetensor_count(&t->st), bytes = (size_t)st_bits(t->st.dtype) / 8;
    for (size_t at = 0; at < n;) {
        size_t some = n - at < BLOCK ? n - at : BLOCK;
        size_t lo = t->lo + at;
        if (!hf_export_read(e->x, t->param, lo, lo + some, e->block, e->p)) return false;
        st_from_float(e->out, e->block, t->st.dtype, some);
        if (!put_in_file(e, fd, e->out, some * bytes)) return false;
        at += some;
    }
    return true;
}

static bool write_tensors(struct exporter *e, int fd, size_t from, size_t to)
{
    size_t n;
    struct safetensor *all = memory_take(to - from, sizeof *all, "a header");
    for (size_t i = from; i < to; i++) all[i - from] = e->t[i].st;
    char *header = safetensors_header(all, to - from, &n);
    SYS_OK(header, "free memory", "no memory for a header");
    bool ok = put_in_file(e, fd, header, n);
    for (size_t i = from; i < to && ok; i++) ok = put_tensor(e, fd, &e->t[i]);
    free(header);
    free(all);
    return ok;
}

/* Network file systems may report a full disk only at close, so that is checked, too. */
static bool write_weights(struct exporter *e, int file, size_t from, size_t to)
{
    char name[64], path[PATH_BYTES];
    file_name(name, file, e->files);
    path_make(path, "%s/%s", e->partial, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        failure_note(&e->f, strerror(errno), "making %s", path);
        return false;
    }
    bool ok = write_tensors(e, fd, from, to);
    if (ok && fsync(fd) != 0) failure_note(&e->f, strerror(errno), "writing %s", path);
    if (close(fd) != 0) failure_note(&e->f, strerror(errno), "writing %s", path);
    return ok && !failed(&e->f);
}

/* One block for all tensors, no larger than the largest of them: a small model takes little. */
static bool write_files(struct exporter *e)
{
    size_t most = 1;
    for (size_t i = 0; i < e->n; i++) {
        size_t n = (size_t)safetensor_count(&e->t[i].st);
        most = n > most ? n : most;
    }
    if (most > BLOCK) most = BLOCK;
    e->block = memory_take(most, sizeof *e->block, "a block of a tensor");
    e->out = memory_take(most, sizeof(float), "a block of a tensor");
    bool ok = true;
    for (size_t from = 0, to; ok && from < e->n; from = to) {
        for (to = from; to < e->n && e->file[to] == e->file[from]; to++) continue;
        ok = write_weights(e, e->file[from], from, to);
    }
    free(e->block);
    free(e->out);
    return ok;
}

static bool write_text(struct exporter *e, const char *name, const char *text)
{
    return file_write(e->partial, name, text, strlen(text), &e->f);
}

static bool write_made(struct exporter *e, const char *name, char *text)
{
    bool ok = text && write_text(e, name, text);
    free(text);
    return ok;
}

/* Readers look for an index only where there are several files. */
static bool write_index(struct exporter *e, uint64_t bytes)
{
    char name[64];
    if (e->files == 1) return true;
    json_t *map = json_object();
    for (size_t i = 0; i < e->n; i++) {
        file_name(name, e->file[i], e->files);
        json_object_set_new(map, e->t[i].st.name, json_string(name));
    }
    json_t *o =
        json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)bytes, "weight_map", map);
    char *text = json_dumps(o, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(o);
    SYS_OK(text, "free memory", "no memory for an index");
    return write_made(e, "model.safetensors.index.json", text);
}

/* --- what stands beside the weights --- */

static bool is_side_file(const char *name)
{
    for (int i = 0; hf_side_names[i]; i++)
        if (strcmp(name, hf_side_names[i]) == 0) return true;
    return false;
}

/* As it came, except the type in config.json when the weights are written in another one. */
static bool write_imported(struct exporter *e)
{
    const struct attachments *a = &e->x->from->files;
    bool ok = true;
    for (int i = 0; i < a->n && ok; i++) {
        const struct attachment *f = &a->at[i];
        if (strncmp(f->name, HF_SIDE_PREFIX, sizeof HF_SIDE_PREFIX - 1) != 0) continue;
        const char *name = f->name + sizeof HF_SIDE_PREFIX - 1;
        if (!is_side_file(name)) continue;
        if (strcmp(name, "config.json") == 0 && !e->x->as_source)
            ok = write_made(e, name, hf_config_with_dtype(f->bytes, f->n, e->x->dtype));
        else
            ok = file_write(e->partial, name, f->bytes, f->n, &e->f);
    }
    return ok;
}

static bool write_beside(struct exporter *e)
{
    const struct checkpoint *c = e->x->from;
    if (c->tokenizer && !write_text(e, "tokenizer.json", c->tokenizer)) return false;
    if (hf_was_imported(e->x)) return write_imported(e);
    return write_made(e, "config.json", hf_config_text(e->x, e->p)) &&
           write_made(e, "generation_config.json", hf_generation_text(e->x)) &&
           write_made(e, "tokenizer_config.json", hf_tokenizer_config_text(e->x));
}

/* --- the folder --- */

/* rmdir is the test for emptiness: it cannot remove anything of the user's. Everything is written
 * to NAME.partial, so that NAME is there whole or not at all. */
static bool begin(struct exporter *e)
{
    const char *to = e->x->to;
    if (!hf_export_has_room(to, e->p)) return false;
    enum path_kind kind = path_look(to, &e->f);
    size_t n = strlen(to);
    while (n > 1 && to[n - 1] == '/') n--;
    path_make(e->partial, "%.*s.partial", (int)n, to);
    if (kind == PATH_FOLDER && rmdir(to) != 0) {
        problems_add(e->p, to, 0,
                     "is there already, and not empty: give another folder, or remove this one");
        return false;
    }
    if (kind == PATH_FILE || kind == PATH_OTHER) {
        problems_add(e->p, to, 0, "is there already, and no folder: give another name");
        return false;
    }
    return !failed(&e->f) && folder_remove(e->partial, &e->f) && folder_make(e->partial, &e->f);
}

/* TO without slashes at its end, and the folder that it lies in. */
static void split_path(const char *path, char to[PATH_BYTES], char above[PATH_BYTES])
{
    path_make(to, "%s", path);
    size_t n = strlen(to);
    while (n > 1 && to[n - 1] == '/') to[--n] = 0;
    const char *slash = strrchr(to, '/');
    if (slash && slash != to)
        path_make(above, "%.*s", (int)(slash - to), to);
    else
        path_make(above, "%s", slash ? "/" : ".");
}

static bool end(struct exporter *e)
{
    char to[PATH_BYTES], above[PATH_BYTES];
    split_path(e->x->to, to, above);
    return path_rename(e->partial, to, above, &e->f);
}

bool hf_export_check(const struct hf_export *x, struct problems *p)
{
    char *made = hf_was_imported(x) ? NULL : hf_config_text(x, p);
    bool ok = made || hf_was_imported(x);
    free(made);
    return ok;
}

bool hf_export_has_room(const char *path, struct problems *p)
{
    char to[PATH_BYTES], above[PATH_BYTES];
    struct failure f = {0};
    split_path(path, to, above);
    enum path_kind kind = path_look(above, &f);
    if (kind == PATH_FOLDER || failed(&f)) return true; /* what failed is said when it is written */
    problems_add(p, path, 0, "there is no folder %s: make it first", above);
    return false;
}

void hf_export_say_failure(const struct hf_export *x, const struct failure *f, uint64_t bytes,
                           struct problems *p)
{
    problems_add(p, x->to, 0,
                 "%s: %s; it needs %.1f MB on a disk that can be written to, and nothing of it is "
                 "left",
                 f->what, f->why, (double)bytes / 1e6);
}

/* Small files first: what is wrong with them is said before minutes of writing. A .partial of
 * another export is left alone (begun). */
bool hf_export_run(struct hf_exported *done, const struct hf_export *x, struct problems *p)
{
    struct exporter e = {.x = x, .p = p};
    const struct dims d = hf_export_dims(x);
    hf_model_make(&e.model, &d);
    list_tensors(&e);
    uint64_t bytes = fill_files(&e);
    bool begun = begin(&e);
    bool said = begun && write_beside(&e);
    bool ok = said && write_files(&e) && write_index(&e, bytes) && end(&e);
    if (begun && !ok) folder_remove(e.partial, &(struct failure){0});
    if (failed(&e.f)) hf_export_say_failure(x, &e.f, bytes, p);
    *done = (struct hf_exported){e.n, bytes, e.files, failed(&e.f) || (said && !ok)};
    hf_model_free(&e.model);
    free(e.t);
    free(e.name);
    free(e.file);
    return ok;
}
