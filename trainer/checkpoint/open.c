/* Opening: nothing is used before all of it has been verified. With a world rank 0 reads the
 * manifest and tells the others (spread.h), every rank verifies its part of the shards, and all
 * take the same decision. */
#include "comm/base/checksum.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/coll.h"
#include "trainer/checkpoint/open.h"
#include "trainer/checkpoint/shard.h"
#include "trainer/checkpoint/spread.h"
#include "trainer/checkpoint/range.h"
#include "trainer/checkpoint/where.h"

enum { MOST_TEXT_BYTES = 1 << 30 };

static bool agree(const struct world *w, bool ok)
{
    return w ? world_all(w, ok) : ok;
}

/* --- one checkpoint --- */

static bool read_manifest(struct manifest *m, const char *folder, struct problems *p)
{
    char path[PATH_BYTES];
    size_t n = 0;
    struct failure f = {0};
    path_make(path, "%s/manifest.json", folder);
    char *text = path_read(path, MOST_MANIFEST_BYTES, &n, &f);
    if (!text) problems_add(p, path, 0, "%s; the checkpoint is not complete, use another", f.why);
    const bool ok = text && manifest_parse(m, text, n, path, p);
    free(text);
    return ok;
}

/* *size: of what was read. */
static bool read_bytes(char **text, size_t *size, const char *folder, const char *name,
                       const struct file_sum *must, struct problems *p)
{
    char path[PATH_BYTES];
    size_t n = 0;
    struct failure f = {0};
    path_make(path, "%s/%s", folder, name);
    *text = path_read(path, MOST_TEXT_BYTES, &n, &f);
    *size = n;
    if (*text && n == must->bytes && checksum(*text, n, 0) == must->xxh64) return true;
    if (*text)
        problems_add(p, path, 0,
                     "damaged: %zu bytes with checksum %016" PRIx64 ", the manifest says %" PRIu64
                     " with %016" PRIx64 "; use another checkpoint, or restore a copy of the file",
                     n, checksum(*text, n, 0), must->bytes, must->xxh64);
    else
        problems_add(p, path, 0,
                     "cannot be read: %s; use another checkpoint, or restore a copy of the file",
                     f.why);
    return false;
}

static bool read_text(char **text, const char *folder, const char *name,
                      const struct file_sum *must, struct problems *p)
{
    size_t n;
    return read_bytes(text, &n, folder, name, must, p);
}

static bool read_attachments(struct checkpoint *c, const struct manifest *m, const char *folder,
                             struct problems *p)
{
    bool ok = true;
    for (int i = 0; i < m->files; i++) {
        char *bytes = NULL;
        size_t n;
        const struct manifest_file *f = &m->file[i];
        bool one = read_bytes(&bytes, &n, folder, f->name, &f->sum, p);
        if (one) attachments_add(&c->files, f->name, bytes, n);
        if (!one) free(bytes);
        ok = ok && one;
    }
    return ok;
}

/* All files are read even after one is damaged, so that all damage is named. c->manifest is set
 * first: checkpoint_close frees it whatever fails. */
bool checkpoint_load(struct checkpoint *c, const char *folder, struct problems *p)
{
    *c = (struct checkpoint){0};
    struct manifest *m = memory_take(1, sizeof *m, "a checkpoint");
    INVARIANT(strlen(folder) < sizeof c->folder, "a path of %zu characters", strlen(folder));
    strcpy(c->folder, folder);
    c->manifest = m;
    if (!read_manifest(m, folder, p)) return false;
    c->step = m->step;
    c->state = json_incref(m->state);
    const bool recipe =
        !m->has_recipe || read_text(&c->recipe, folder, "recipe.yaml", &m->recipe, p);
    const bool tokenizer =
        !m->has_tokenizer || read_text(&c->tokenizer, folder, "tokenizer.json", &m->tokenizer, p);
    return read_attachments(c, m, folder, p) && recipe && tokenizer;
}

/* The one who looks at a checkpoint. */
struct looker {
    const struct world *w;
    struct checkpoint_check check;
};

bool checkpoint_passes(const struct checkpoint *c, struct checkpoint_check check,
                       struct problems *p)
{
    return !check.state || check.state(c, check.ctx, p);
}

/* Manifest, texts and state. What is wrong with them rank 0 says. */
static bool load_shared(struct checkpoint *c, const char *folder, const struct looker *by,
                        struct problems *p)
{
    const struct world *w = by->w;
    int ok = false;
    *c = (struct checkpoint){0};
    if (!w || w->rank == 0)
        ok = checkpoint_load(c, folder, p) && checkpoint_passes(c, by->check, p);
    if (!w) return ok;
    coll_bcast(&ok, sizeof ok, 0, w->comm);
    if (ok) spread_checkpoint(c, w);
    return ok;
}

/* Shards are dealt over the ranks, since their checksums take as long as reading all of them. Each
 * shard feeds the watchdog of ranks that wait in agree. */
static bool open_one(struct checkpoint *c, const char *folder, const struct looker *by,
                     struct problems *p)
{
    const struct world *w = by->w;
    const int rank = w ? w->rank : 0, ranks = w ? w->size : 1;
    bool ok = load_shared(c, folder, by, p);
    if (ok) {
        for (int i = rank; i < c->manifest->shards; i += ranks) {
            if (!shard_check(c->manifest, folder, i, p)) ok = false;
            watchdog_feed();
        }
        ok = agree(w, ok);
    }
    if (!ok) checkpoint_close(c);
    return ok;
}

void checkpoint_close(struct checkpoint *c)
{
    if (c->manifest) manifest_free(c->manifest);
    free(c->manifest);
    json_decref(c->state);
    free(c->recipe);
    free(c->tokenizer);
    attachments_free(&c->files);
    *c = (struct checkpoint){0};
}

/* --- which one --- */

/* Rank 0 looks; all get the same answer. */
static bool find(struct where *at, const char *path, const struct world *w, struct problems *p)
{
    bool ok = true;
    if (!w || w->rank == 0) {
        ok = where_find(at, path, p);
        if (ok) where_warn(at);
    }
    if (!w) return ok;
    if (!world_all(w, ok)) return false;
    MPI_OK(MPI_Bcast(at, sizeof *at, MPI_BYTE, 0, w->comm));
    if (w->rank != 0)
        at->list.entry =
            memory_take((size_t)at->list.n + 1, sizeof *at->list.entry, "a checkpoint");
    SYS_OK(at->one || at->list.entry, NULL, "no memory to list %s", at->root);
    if (!at->one)
        MPI_OK(MPI_Bcast(at->list.entry, at->list.n * (int)sizeof *at->list.entry, MPI_BYTE, 0,
                         w->comm));
    return true;
}

static const char UNREADABLE[] =
    "nothing was changed: check its owner and mode (ls -l) or its disk (dmesg), then restart";

/* A file that may not be read, or whose disk fails, is not damaged: going back to an earlier
 * checkpoint would lose it. Local. */
static void refuse_unreadable(const char *folder)
{
    DIR *d = opendir(folder);
    SYS_OK(d || errno == ENOENT, UNREADABLE, "cannot read %s: %s", folder, strerror(errno));
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        char path[PATH_BYTES];
        if (e->d_name[0] == '.') continue;
        path_make(path, "%s/%s", folder, e->d_name);
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        SYS_OK(fd >= 0 || errno == ENOENT || errno == ENXIO, UNREADABLE, "cannot read %s: %s", path,
               strerror(errno));
        if (fd >= 0) close(fd);
    }
    if (d) closedir(d);
}

/* Every rank walks the list alike, since open_one gives all the same answer. */
static bool open_newest(struct checkpoint *c, const struct where *at, const struct looker *by,
                        struct problems *p)
{
    const bool speaks = !by->w || by->w->rank == 0;
    for (int i = 0; i < at->list.n; i++) {
        char folder[PATH_BYTES];
        struct problems damage = {0};
        store_path(folder, at->root, at->list.entry[i]);
        if (speaks) refuse_unreadable(folder);
        const bool ok = open_one(c, folder, by, &damage);
        for (int k = 0; k < damage.n; k++) log_warn("damaged, not used: %s", damage.text[k]);
        problems_free(&damage);
        if (ok && i > 0 && speaks) log_warn("%s is used instead", folder);
        if (ok) return true;
    }
    if (speaks)
        problems_add(p, at->root, 0,
                     "none of the %d checkpoints is undamaged; the damage is named above",
                     at->list.n);
    return false;
}

bool checkpoint_open_if(struct checkpoint *c, const char *path, const struct world *world,
                        struct checkpoint_check check, struct problems *p)
{
    struct where at = {0};
    const struct looker by = {world, check};
    *c = (struct checkpoint){0};
    bool ok = find(&at, path, world, p);
    if (ok) ok = at.one ? open_one(c, at.root, &by, p) : open_newest(c, &at, &by, p);
    where_free(&at);
    return ok;
}

bool checkpoint_open(struct checkpoint *c, const char *path, const struct world *world,
                     struct problems *p)
{
    return checkpoint_open_if(c, path, world, (struct checkpoint_check){0}, p);
}

bool checkpoint_any(const char *path)
{
    struct where at;
    struct problems p = {0};
    const bool any = where_find(&at, path, &p);
    where_free(&at);
    problems_free(&p);
    return any;
}

/* --- reading --- */

bool checkpoint_has(const struct checkpoint *c, const char *tensor)
{
    return manifest_find(c->manifest, tensor) != NULL;
}

void checkpoint_locate(struct checkpoint *c, const struct world *w, const struct slice *slices,
                       int n)
{
    if (w->size > 1) spread_slices(c->manifest, w, slices, n);
}

/* A checkpoint of another model is the user's mistake, not a bug: each tensor that differs is
 * named. */
static bool fits(const struct checkpoint *c, const struct slice *s, struct problems *p)
{
    const struct manifest_tensor *t = manifest_find(c->manifest, s->name);
    if (!t)
        problems_add(p, c->folder, 0,
                     "has no tensor %s; it was written by a different model or recipe", s->name);
    else if (t->n != s->n)
        problems_add(
            p, c->folder, 0,
            "%s has %zu elements, the recipe's model needs %zu; use the recipe it was trained with",
            s->name, t->n, s->n);
    else if (s->at.lo != s->at.hi && !range_valid(&s->at, t->n))
        problems_add(p, c->folder, 0, "%s has %zu elements, none of [%zu, %zu)", s->name, t->n,
                     s->at.lo, s->at.hi);
    else
        return true;
    return false;
}

/* Parts of shards, as many as room was made for. */
struct parts {
    struct shard_part *at;
    size_t n, room;
};

static void add_part(struct parts *a, struct shard_part part)
{
    if (a->n == a->room) {
        a->room = 2 * a->room + 64;
        struct shard_part *more = realloc(a->at, a->room * sizeof *more);
        SYS_OK(more, NULL, "no memory to read %zu parts of a checkpoint", a->room);
        a->at = more;
    }
    a->at[a->n++] = part;
}

/* What was saved is whole: where elements are missing, this rank was not told of them
 * (checkpoint_locate). */
static void find_parts(struct parts *a, const struct checkpoint *c, const struct slice *s)
{
    const struct manifest_tensor *t = manifest_find(c->manifest, s->name);
    size_t found = 0;
    for (size_t i = 0; i < t->slices; i++) {
        const size_t common = range_common(&t->slice[i].at, &s->at);
        if (common > 0) add_part(a, (struct shard_part){t, &t->slice[i], s});
        found += common;
    }
    INVARIANT(s->at.lo == s->at.hi || found >= range_count(&s->at),
              "%s: of %zu elements from %zu on this rank knows where %zu are", s->name,
              range_count(&s->at), s->at.lo, found);
}

/* By shard, as found. */
static int part_order(const void *a, const void *b)
{
    const struct shard_part *x = a, *y = b;
    if (x->from->shard != y->from->shard) return x->from->shard < y->from->shard ? -1 : 1;
    if (x->to != y->to) return x->to < y->to ? -1 : 1;
    return (x->from > y->from) - (x->from < y->from);
}

/* Parts are sorted by shard: each file is opened once. */
static bool read_parts(const struct checkpoint *c, const struct parts *a, struct problems *p)
{
    for (size_t i = 0, n; i < a->n; i += n) {
        char name[64];
        struct failure f = {0};
        const int shard = a->at[i].from->shard;
        for (n = 1; i + n < a->n && a->at[i + n].from->shard == shard;) n++;
        shard_name(name, shard, c->manifest->shards);
        if (shard_read(c->folder, name, a->at + i, n, &f)) continue;
        problems_add(p, c->folder, 0, "%s cannot be read: %s: %s; use another checkpoint", name,
                     f.what, f.why);
        return false;
    }
    return true;
}

bool checkpoint_read(const struct checkpoint *c, const struct slice *slices, int n,
                     struct problems *p)
{
    struct parts a = {0};
    bool ok = true;
    for (int i = 0; i < n; i++)
        if (!fits(c, &slices[i], p)) ok = false;
    for (int i = 0; ok && i < n; i++) find_parts(&a, c, &slices[i]);
    if (a.n > 0) qsort(a.at, a.n, sizeof *a.at, part_order);
    if (ok) ok = read_parts(c, &a, p);
    free(a.at);
    return ok;
}
