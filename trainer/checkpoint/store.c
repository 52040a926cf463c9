#include "trainer/checkpoint/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "comm/base/checksum.h"
#include "comm/base/log.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/manifest.h"

static void partial_path(char out[PATH_BYTES], const char *root, long step)
{
    path_make(out, "%s/step-%08ld.partial", root, step);
}

void store_path(char out[PATH_BYTES], const char *root, struct store_entry e)
{
    path_make(out, "%s/step-%08ld%s", root, e.step, e.old ? ".old" : "");
}

bool store_parse_name(const char *name, struct store_entry *e)
{
    int end = 0;
    char digits[20];
    *e = (struct store_entry){0};
    if (sscanf(name, "step-%18[0-9]%n", digits, &end) != 1 || strlen(digits) < 8) return false;
    e->step = strtol(digits, NULL, 10);
    e->old = strcmp(name + end, ".old") == 0;
    return e->old || name[end] == 0;
}

/* --- what cannot be removed --- */

/* Cleaning comes with every save: what it meets again is not said again. (Rank 0's main thread.) */
static void warn_once(const char *path, const struct failure *f)
{
    enum { MOST = 64 };
    static uint64_t said[MOST];
    static int n;
    const uint64_t it = checksum(path, strlen(path), 0);
    for (int i = 0; i < n; i++)
        if (said[i] == it) return;
    if (n < MOST) said[n++] = it;
    log_warn("%s cannot be removed (%s: %s); training continues. Check what is in it, then remove "
             "it: rm -r '%s'",
             path, f->what, f->why, path);
}

/* Gives it a name that nothing of ours has. */
static bool set_aside(const char *path, const char *root, struct failure *f)
{
    char to[PATH_BYTES];
    enum path_kind kind = PATH_FILE;
    for (int i = 1; kind != PATH_ABSENT && kind != PATH_UNKNOWN; i++) {
        path_make(to, "%s.left-%d", path, i);
        kind = path_look(to, f);
    }
    if (kind == PATH_UNKNOWN || !path_rename(path, to, root, f)) return false;
    log_warn("%s was in the way of a checkpoint and is now %s: check what is in it, then remove "
             "it: rm -r '%s'",
             path, to, to);
    return true;
}

/* Makes the name free: removed, or set aside. */
static bool clear(const char *path, const char *root, struct failure *f)
{
    const enum path_kind kind = path_look(path, f);
    if (kind == PATH_UNKNOWN) return false;
    if (kind == PATH_ABSENT) return true;
    return (kind == PATH_FOLDER && folder_remove(path, &(struct failure){0})) ||
           set_aside(path, root, f);
}

/* --- what is there --- */

static void read_latest(struct store_list *l, const char *root, struct failure *f)
{
    char path[PATH_BYTES];
    size_t n;
    struct store_entry e;
    path_make(path, "%s/latest", root);
    const enum path_kind kind = path_look(path, f);
    l->has_latest = kind != PATH_ABSENT && kind != PATH_UNKNOWN;
    char *text = l->has_latest ? path_read(path, 256, &n, f) : NULL;
    if (text) text[strcspn(text, "\n")] = 0;
    l->latest_readable = text && store_parse_name(text, &e);
    l->latest = l->latest_readable ? e.step : -1;
    free(text);
}

/* Steps up to `latest`, newest first; then those beyond it, which a run left behind when it went
 * back. */
static int entry_order(const void *a, const void *b)
{
    const struct store_entry *x = a, *y = b;
    if (x->left != y->left) return x->left - y->left;
    if (x->step != y->step) return x->step > y->step ? -1 : 1;
    return x->old - y->old;
}

static void list_entry(struct store_list *l, struct store_entry e, const char *root)
{
    struct store_entry *more = realloc(l->entry, (size_t)(l->n + 1) * sizeof *more);
    SYS_OK(more, NULL, "no memory to list %s", root);
    e.left = l->latest >= 0 && e.step > l->latest;
    l->entry = more;
    l->entry[l->n++] = e;
}

/* The next name; NULL at the end, or when it cannot be read. */
static struct dirent *next_item(DIR *d, const char *root, struct failure *f)
{
    errno = 0;
    struct dirent *item = readdir(d);
    if (!item && errno != 0) failure_note(f, strerror(errno), "reading %s", root);
    return item;
}

/* A list that could be read only in part is emptied: the missing entry might be the newest. */
bool store_scan(struct store_list *l, const char *root, long latest, struct failure *f)
{
    *l = (struct store_list){.latest = latest};
    if (path_look(root, f) == PATH_ABSENT || failed(f)) return !failed(f);
    if (latest < 0) read_latest(l, root, f);
    DIR *d = opendir(root);
    if (!d) failure_note(f, strerror(errno), "opening %s", root);
    for (struct dirent *item; d && (item = next_item(d, root, f));) {
        struct store_entry e;
        char path[PATH_BYTES];
        path_make(path, "%s/%s", root, item->d_name);
        if (store_parse_name(item->d_name, &e) && path_look(path, f) == PATH_FOLDER)
            list_entry(l, e, root);
    }
    if (d) closedir(d);
    if (failed(f)) store_list_free(l);
    if (l->n) qsort(l->entry, (size_t)l->n, sizeof *l->entry, entry_order);
    return !failed(f);
}

void store_list_free(struct store_list *l)
{
    free(l->entry);
    *l = (struct store_list){0};
}

/* --- how one comes --- */

static bool is_partial(const char *name)
{
    int end = 0;
    char digits[20];
    return sscanf(name, "step-%18[0-9]%n", digits, &end) == 1 && strlen(digits) >= 8 &&
           strcmp(name + end, ".partial") == 0;
}

/* Removes .partial folders of any step: the lock of the run folder says that no other job writes
 * them. */
bool store_begin(char partial[PATH_BYTES], const char *root, long step, struct failure *f)
{
    if (!folder_make_one(root, f)) return false;
    DIR *d = opendir(root);
    if (!d) failure_note(f, strerror(errno), "opening %s", root);
    for (struct dirent *item; d && (item = next_item(d, root, f));) {
        char path[PATH_BYTES];
        struct failure kept = {0};
        path_make(path, "%s/%s", root, item->d_name);
        if (is_partial(item->d_name) && !folder_remove(path, &kept)) warn_once(path, &kept);
    }
    if (d) closedir(d);
    partial_path(partial, root, step);
    return !failed(f) && clear(partial, root, f) && folder_make_one(partial, f);
}

/* --- how old one is --- */

enum age { COUNTED, FOREVER, UNREADABLE };

/* A manifest: which file it was, and what it said. */
struct store_look {
    dev_t device;
    ino_t file;
    off_t bytes;
    struct timespec changed;
    enum age age;
    long round; /* of the last prune that came across it */
};

void store_seen_free(struct store_seen *s)
{
    free(s->at);
    *s = (struct store_seen){0};
}

static bool same_file(const struct store_look *a, const struct stat *b)
{
    return a->device == b->st_dev && a->file == b->st_ino && a->bytes == b->st_size &&
           a->changed.tv_sec == b->st_mtim.tv_sec && a->changed.tv_nsec == b->st_mtim.tv_nsec;
}

/* Prunes come across them in one order, so the next one is tried first. */
static struct store_look *look_again(struct store_seen *s, const struct stat *file)
{
    for (int i = 0; i < s->n; i++) {
        const int k = (s->next + i) % s->n;
        if (!same_file(&s->at[k], file)) continue;
        s->next = k + 1;
        s->at[k].round = s->round;
        return &s->at[k];
    }
    return NULL;
}

static void remember(struct store_seen *s, const struct stat *file, enum age age)
{
    struct store_look *more = realloc(s->at, (size_t)(s->n + 1) * sizeof *more);
    SYS_OK(more, NULL, "no memory for the ages of %d checkpoints", s->n);
    s->at = more;
    s->at[s->n++] = (struct store_look){file->st_dev,  file->st_ino, file->st_size,
                                        file->st_mtim, age,          s->round};
}

/* What the last prune has not come across is gone. */
static void forget_gone(struct store_seen *s)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        if (s->at[i].round == s->round) s->at[n++] = s->at[i];
    s->n = n;
    s->next = 0;
}

/* Damage is no mistake here: such a checkpoint is not counted among those kept. */
static enum age read_age(const char *path, bool *is_read)
{
    size_t n;
    struct manifest m;
    struct problems p = {0};
    struct failure f = {0};
    char *text = path_read(path, MOST_MANIFEST_BYTES, &n, &f);
    enum age age = UNREADABLE;
    if (text && manifest_parse(&m, text, n, path, &p)) {
        age = m.keep_forever ? FOREVER : COUNTED;
        manifest_free(&m);
    }
    *is_read = text != NULL;
    problems_free(&p);
    free(text);
    return age;
}

/* This runs for every checkpoint at every save. Only the manifest counts; it is parsed whole, since
 * what another program wrote is not ours to remove, but once. */
static enum age entry_age(const char *folder, struct store_seen *seen)
{
    char path[PATH_BYTES];
    struct stat file;
    bool is_read;
    path_make(path, "%s/manifest.json", folder);
    const bool there = stat(path, &file) == 0;
    const struct store_look *look = there ? look_again(seen, &file) : NULL;
    if (look) return look->age;
    const enum age age = read_age(path, &is_read);
    if (there && is_read) remember(seen, &file, age);
    return age;
}

/* A second commit of a step: the first steps aside, so that at every moment one of them has a name
 * that is looked for. A file of that name that is not our checkpoint is never removed. */
static bool step_aside(const char *root, long step, struct store_seen *seen, struct failure *f)
{
    char path[PATH_BYTES], old[PATH_BYTES];
    store_path(path, root, (struct store_entry){.step = step});
    store_path(old, root, (struct store_entry){.step = step, .old = true});
    const enum path_kind kind = path_look(path, f);
    if (kind == PATH_UNKNOWN) return false;
    if (kind == PATH_ABSENT) return true;
    if (kind != PATH_FOLDER || entry_age(path, seen) == UNREADABLE) return set_aside(path, root, f);
    return clear(old, root, f) && path_rename(path, old, root, f);
}

/* The rename is what makes it a checkpoint; `latest` follows, and readers do without it. */
bool store_commit(const char *root, const struct store_new *c, struct store_seen *seen,
                  struct failure *f)
{
    char partial[PATH_BYTES], path[PATH_BYTES], name[64];
    struct stat file;
    partial_path(partial, root, c->step);
    store_path(path, root, (struct store_entry){.step = c->step});
    const int length = snprintf(name, sizeof name, "step-%08ld\n", c->step);
    if (file_write(partial, "manifest.json", c->manifest, c->n, f) &&
        step_aside(root, c->step, seen, f) && path_rename(partial, path, root, f)) {
        path_make(path, "%s/step-%08ld/manifest.json", root, c->step);
        if (stat(path, &file) == 0) remember(seen, &file, c->keep_forever ? FOREVER : COUNTED);
        return file_write(root, "latest", name, (size_t)length, f);
    }
    folder_remove(partial, &(struct failure){0});
    return false;
}

/* --- how old ones go --- */

/* First renamed, so that a half-removed one is never taken for a damaged one. */
static void retire(const char *root, struct store_entry e)
{
    char path[PATH_BYTES], partial[PATH_BYTES];
    struct failure f = {0};
    store_path(path, root, e);
    partial_path(partial, root, e.step);
    if (!clear(partial, root, &f) || !path_rename(path, partial, root, &f))
        warn_once(path, &f);
    else if (!folder_remove(partial, &f))
        warn_once(partial, &f);
}

/* The list is made as if `latest` named `step`: what a run that went back left behind comes last
 * and goes first. A .old has been replaced and always goes. */
void store_prune(const char *root, long step, int keep, struct store_seen *seen)
{
    struct store_list l;
    struct failure f = {0};
    int kept = 0;
    seen->round++;
    if (!store_scan(&l, root, step, &f))
        log_warn("old checkpoints are not removed: %s: %s", f.what, f.why);
    for (int i = 0; i < l.n; i++) {
        const struct store_entry e = l.entry[i];
        char path[PATH_BYTES];
        store_path(path, root, e);
        /* The first is the one just committed. One whose manifest cannot be read is left for a
         * person to look at. */
        if (e.old || (entry_age(path, seen) == COUNTED && ++kept > keep)) retire(root, e);
    }
    forget_gone(seen);
    store_list_free(&l);
}
