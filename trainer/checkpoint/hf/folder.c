/* Which files a folder has, and their headers. What tensors mean: tensors.c. */
#include "trainer/checkpoint/hf/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "comm/base/memory.h"
#include "trainer/checkpoint/hf/index.h"

enum { MOST_INDEX_BYTES = 256 << 20, MOST_FILES = 100000 };
static const char SINGLE[] = "model.safetensors", INDEX[] = "model.safetensors.index.json";

static bool is_there(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    path_make(path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

bool hf_is_folder(const char *path)
{
    if (gguf_is_file(path)) return true;
    bool ours = is_there(path, "manifest.json") || is_there(path, "checkpoints");
    return !ours && (is_there(path, "config.json") || is_there(path, SINGLE) ||
                     is_there(path, INDEX) || is_there(path, "pytorch_model.bin"));
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Weights of a format that is not read are weights, too: hf_folder_open says so. */
bool hf_is_shape(const char *path)
{
    bool weights = false;
    if (gguf_is_file(path) || !hf_is_folder(path) || !is_there(path, "config.json")) return false;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        weights |= ends_with(e->d_name, ".safetensors") || ends_with(e->d_name, ".bin") ||
                   ends_with(e->d_name, ".index.json");
    if (d) closedir(d);
    return d && !weights;
}

/* --- one file --- */

/* The length is checked against the file's before memory is taken for it. */
static bool read_header(struct hf_file *f, int fd, uint64_t size, struct problems *p)
{
    unsigned char first[8] = {0};
    if (file_read_at(fd, first, size < 8 ? size : 8, 0) < 0) {
        problems_add(p, f->path, 0, "cannot be read: %s", strerror(errno));
        return false;
    }
    uint64_t n = safetensors_header_bytes(first, size, f->path, p);
    if (n == 0) return false;
    char *header = memory_take(n, 1, "the header of a safetensors file");
    ssize_t got = file_read_at(fd, header, n, 0);
    if (got < 0) problems_add(p, f->path, 0, "cannot be read: %s", strerror(errno));
    bool ok = got >= 0 && safetensors_parse(&f->st, header, (size_t)got, size, f->path, p);
    free(header);
    return ok;
}

static bool open_file(struct hf_file *f, const char *folder, const char *name, struct problems *p)
{
    struct stat st;
    path_make(f->path, "%s/%s", folder, name);
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = fd >= 0 && fstat(fd, &st) == 0;
    if (!ok)
        problems_add(p, f->path, 0, "cannot be opened: %s", strerror(errno));
    else if (!S_ISREG(st.st_mode))
        problems_add(p, f->path, 0, "is not a file");
    ok = ok && S_ISREG(st.st_mode) && read_header(f, fd, (uint64_t)st.st_size, p);
    if (fd >= 0) close(fd);
    return ok;
}

/* --- an index --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The files that it names, each once. */
static size_t files_of(const struct hf_index *x, const char **name)
{
    size_t n = 0;
    for (size_t i = 0; i < x->n; i++) name[i] = x->entry[i].file;
    if (x->n > 0) qsort(name, x->n, sizeof *name, by_text);
    for (size_t i = 0; i < x->n; i++)
        if (n == 0 || strcmp(name[n - 1], name[i]) != 0) name[n++] = name[i];
    return n;
}

/* Both say the same of every tensor. */
static bool agree(const struct hf_folder *f, const struct hf_index *x, const char *index,
                  struct problems *p)
{
    char shown[96];
    int before = p->n;
    for (size_t i = 0; i < x->n; i++) {
        const struct hf_file *in = NULL;
        const char *name = x->entry[i].file, *tensor = x->entry[i].tensor;
        for (int k = 0; k < f->n && !in; k++)
            if (strcmp(strrchr(f->file[k].path, '/') + 1, name) == 0) in = &f->file[k];
        if (in && !safetensors_find(&in->st, tensor))
            problems_add(p, index, 0, "tensor \"%s\": it is not in %s, which the index names",
                         safetensor_show(shown, tensor), name);
    }
    for (int k = 0; k < f->n; k++)
        for (size_t i = 0; i < f->file[k].st.n; i++) {
            const char *tensor = f->file[k].st.t[i].name;
            const struct hf_entry *e = hf_index_find(x, tensor);
            const char *name = strrchr(f->file[k].path, '/') + 1;
            if (!e || strcmp(e->file, name) != 0)
                problems_add(p, f->file[k].path, 0, "tensor \"%s\": %s %s",
                             safetensor_show(shown, tensor),
                             e ? "the index says that it is in" : "it is not in the index",
                             e ? e->file : INDEX);
        }
    return p->n == before;
}

/* Every file is opened even after one is missing, so that all are named. */
static bool open_indexed(struct hf_folder *f, struct problems *p)
{
    char path[PATH_BYTES], why[FILE_WHY];
    struct hf_index x;
    size_t n;
    path_make(path, "%s/%s", f->path, INDEX);
    char *bytes = file_read(path, FILE_REGULAR, MOST_INDEX_BYTES, &n, why);
    if (!bytes) problems_add(p, path, 0, "cannot be read: %s", why);
    bool ok = bytes && hf_index_parse(&x, bytes, n, path, p);
    free(bytes);
    if (!ok) return false;
    const char **name = memory_take(x.n + 1, sizeof *name, "names of files");
    size_t files = files_of(&x, name);
    if (files > MOST_FILES) problems_add(p, path, 0, "names %zu files", files);
    ok = files <= MOST_FILES;
    f->file = memory_take(ok ? files + 1 : 1, sizeof *f->file, "files of weights");
    for (size_t i = 0; i < files && files <= MOST_FILES; i++)
        ok = open_file(&f->file[f->n++], f->path, name[i], p) && ok;
    ok = ok && agree(f, &x, path, p);
    free(name);
    hf_index_free(&x);
    return ok;
}

/* --- the folder --- */

/* What is there in place of safetensors. */
static void say_none(const char *folder, struct problems *p)
{
    DIR *d = opendir(folder);
    char pickle[256] = "";
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        const char *end = strrchr(e->d_name, '.');
        if (end &&
            (strcmp(end, ".bin") == 0 || strcmp(end, ".pt") == 0 || strcmp(end, ".pth") == 0))
            snprintf(pickle, sizeof pickle, "%s", e->d_name);
    }
    if (d) closedir(d);
    if (*pickle)
        problems_add(p, folder, 0,
                     "its weights are a pickle, %s: loading one runs whatever program is in it, so "
                     "it is never opened; convert it where you trust it: "
                     "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(DIR2), which "
                     "writes safetensors",
                     pickle);
    else
        problems_add(p, folder, 0, "has neither %s nor %s: no weights", SINGLE, INDEX);
}

static bool open_gguf(struct hf_folder *f, struct problems *p)
{
    f->file = memory_take(1, sizeof *f->file, "files of weights");
    f->n = 1;
    path_make(f->file[0].path, "%s", f->path);
    return hf_gguf_open(&f->gguf, &f->file[0].st, f->path, p);
}

bool hf_folder_open(struct hf_folder *f, const char *path, struct problems *p)
{
    *f = (struct hf_folder){0};
    path_make(f->path, "%s", path);
    if (gguf_is_file(path)) return open_gguf(f, p);
    if (is_there(path, INDEX)) return open_indexed(f, p);
    if (!is_there(path, SINGLE)) {
        say_none(path, p);
        return false;
    }
    f->file = memory_take(1, sizeof *f->file, "files of weights");
    f->n = 1;
    return open_file(&f->file[0], path, SINGLE, p);
}

void hf_folder_close(struct hf_folder *f)
{
    for (int i = 0; i < f->n; i++) safetensors_free(&f->file[i].st);
    free(f->file);
    hf_gguf_close(&f->gguf);
    *f = (struct hf_folder){0};
}

uint64_t hf_folder_bytes(const struct hf_folder *f)
{
    uint64_t n = 0;
    struct stat st;
    for (int i = 0; i < f->n; i++)
        if (stat(f->file[i].path, &st) == 0) n += (uint64_t)st.st_size;
    return n;
}

const struct safetensor *hf_folder_find(const struct hf_folder *f, const char *name,
                                        const struct hf_file **in)
{
    for (int i = 0; i < f->n; i++) {
        const struct safetensor *t = safetensors_find(&f->file[i].st, name);
        if (!t) continue;
        *in = &f->file[i];
        return t;
    }
    return NULL;
}
