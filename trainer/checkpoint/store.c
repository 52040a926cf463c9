#include "trainer/checkpoint/store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/base/log.h"
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

/* --- what is there ----------------------------------------------------------------------------- */

static void read_latest(struct store_list *l, const char *root)
{
    char path[PATH_BYTES];
    size_t n;
    struct failure f = {0};
    struct store_entry e;
    path_make(path, "%s/latest", root);
    l->has_latest = access(path, F_OK) == 0;
    char *text = l->has_latest ? file_read(path, 256, &n, &f) : NULL;
    if (text) text[strcspn(text, "\n")] = 0;
    l->latest_readable = text && store_parse_name(text, &e);
    l->latest = l->latest_readable ? e.step : -1;
    free(text);
}

/* Steps up to `latest`, newest first; then those beyond it, which a run left behind when it went back. */
static int entry_order(const void *a, const void *b)
{
    const struct store_entry *x = a, *y = b;
    if (x->left != y->left) return x->left - y->left;
    if (x->step != y->step) return x->step > y->step ? -1 : 1;
    return x->old - y->old;
}

void store_scan(struct store_list *l, const char *root, long latest)
{
    *l = (struct store_list){.latest = latest};
    if (latest < 0) read_latest(l, root);
    DIR *d = opendir(root);
    for (struct dirent *item; d && (item = readdir(d));) {
        struct store_entry e;
        if (!store_parse_name(item->d_name, &e)) continue;
        struct store_entry *more = realloc(l->entry, (size_t)(l->n + 1) * sizeof *more);
        SYS_OK(more, NULL, "no memory to list %s", root);
        e.left = l->latest >= 0 && e.step > l->latest;
        l->entry = more;
        l->entry[l->n++] = e;
    }
    if (d) closedir(d);
    if (l->n) qsort(l->entry, (size_t)l->n, sizeof *l->entry, entry_order);
}

void store_list_free(struct store_list *l)
{
    free(l->entry);
    *l = (struct store_list){0};
}

/* --- how one comes ----------------------------------------------------------------------------- */

static bool is_partial(const char *name)
{
    const char *end = strstr(name, ".partial");
    return strncmp(name, "step-", 5) == 0 && end && strcmp(end, ".partial") == 0;
}

bool store_begin(char partial[PATH_BYTES], const char *root, long step, struct failure *f)
{
    if (!folder_make(root, f)) return false;
    DIR *d = opendir(root);
    for (struct dirent *item; d && (item = readdir(d));) {
        if (!is_partial(item->d_name)) continue;
        char path[PATH_BYTES];
        path_make(path, "%s/%s", root, item->d_name);
        folder_remove(path, f);
    }
    if (d) closedir(d);
    partial_path(partial, root, step);
    return !failed(f) && folder_make(partial, f);
}

/* A second commit of a step: the first steps aside, so that at every moment one of them has a name that is looked for. */
static bool step_aside(const char *root, long step, struct failure *f)
{
    char path[PATH_BYTES], old[PATH_BYTES];
    store_path(path, root, (struct store_entry){.step = step});
    store_path(old, root, (struct store_entry){.step = step, .old = true});
    if (access(path, F_OK) != 0) return true;
    return folder_remove(old, f) && path_rename(path, old, root, f);
}

bool store_commit(const char *root, long step, const char *manifest, size_t n, struct failure *f)
{
    char partial[PATH_BYTES], path[PATH_BYTES], name[64];
    partial_path(partial, root, step);
    store_path(path, root, (struct store_entry){.step = step});
    const int length = snprintf(name, sizeof name, "step-%08ld\n", step);
    if (file_write(partial, "manifest.json", manifest, n, f) && step_aside(root, step, f) &&
        path_rename(partial, path, root, f))
        return file_write(root, "latest", name, (size_t)length, f);
    folder_remove(partial, &(struct failure){0});
    return false;
}

/* --- how old ones go --------------------------------------------------------------------------- */

enum age { COUNTED, FOREVER, UNREADABLE };

static enum age entry_age(const char *folder)
{
    char path[PATH_BYTES];
    size_t n;
    struct manifest m;
    struct problems p = {0};
    struct failure f = {0};
    path_make(path, "%s/manifest.json", folder);
    char *text = file_read(path, MOST_MANIFEST_BYTES, &n, &f);
    enum age age = UNREADABLE;
    if (text && manifest_parse(&m, text, n, path, &p)) {
        age = m.keep_forever ? FOREVER : COUNTED;
        manifest_free(&m);
    }
    problems_free(&p);
    free(text);
    return age;
}

/* First renamed, so that a half-removed one is never taken for a damaged one. */
static void retire(const char *root, struct store_entry e)
{
    char path[PATH_BYTES], partial[PATH_BYTES];
    struct failure f = {0};
    store_path(path, root, e);
    partial_path(partial, root, e.step);
    if (!path_rename(path, partial, root, &f) || !folder_remove(partial, &f))
        log_warn("could not remove the old checkpoint %s: %s: %s", path, f.what, f.why);
}

void store_prune(const char *root, long step, int keep)
{
    struct store_list l;
    int kept = 0;
    store_scan(&l, root, step);
    for (int i = 0; i < l.n; i++) {
        const struct store_entry e = l.entry[i];
        char path[PATH_BYTES];
        store_path(path, root, e);
        /* The first is the one just committed. One whose manifest cannot be read is left for a person to look at. */
        if (e.old || (entry_age(path) == COUNTED && ++kept > keep)) retire(root, e);
    }
    store_list_free(&l);
}
