#include "trainer/checkpoint/where.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/log.h"
#include "comm/base/problems.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* `latest` itself was named: the folder that it names. */
static bool follow_latest(struct where *at, struct problems *p)
{
    char file[PATH_BYTES];
    size_t n;
    struct failure f = {0};
    struct store_entry e;
    path_make(file, "%s", at->root);
    char *text = path_read(file, 256, &n, &f);
    if (text) text[strcspn(text, "\n")] = 0;
    const bool ok = text && store_parse_name(text, &e);
    free(text);
    if (!ok) {
        problems_add(p, file, 0, "does not name a checkpoint; name a step-NNNNNNNN folder instead");
        return false;
    }
    char *slash = strrchr(file, '/');
    if (slash) *slash = 0;
    store_path(at->root, slash ? file : ".", e);
    at->one = true;
    return true;
}

/* path is a run folder when it has checkpoints/ in it, else it may be that folder itself. */
static bool find_list(struct where *at, const char *path, struct problems *p)
{
    char inner[PATH_BYTES];
    struct failure f = {0};
    path_make(inner, "%s/checkpoints", path);
    const bool run = path_look(inner, &f) == PATH_FOLDER;
    if (run) path_make(at->root, "%s", inner);
    if (failed(&f) || !store_scan(&at->list, at->root, -1, &f)) {
        problems_add(p, NULL, 0, "%s: %s; cannot tell whether it holds checkpoints", f.what, f.why);
        return false;
    }
    if (at->list.n > 0) return true;
    problems_add(p, at->root, 0,
                 run ? "holds no complete checkpoint"
                     : "is neither a checkpoint nor a folder of checkpoints (nor, without a "
                       "config.json, a Hugging Face folder): give a run's folder, or a checkpoint "
                       "in it");
    store_list_free(&at->list);
    return false;
}

void where_warn(const struct where *at)
{
    const struct store_list *l = &at->list;
    if (at->one) return;
    if (!l->has_latest)
        log_warn("%s has no file latest; using the newest undamaged checkpoint", at->root);
    else if (!l->latest_readable)
        log_warn("%s/latest does not name a checkpoint; using the newest undamaged one", at->root);
    else if (l->entry[0].step != l->latest)
        log_warn("%s/latest names step-%08ld, which does not exist; using the newest undamaged one "
                 "before it",
                 at->root, l->latest);
}

/* A folder called step-N is taken for a checkpoint even without a manifest: opening it then says
 * what is missing, which helps more than "neither a checkpoint nor a folder of them". */
bool where_find(struct where *at, const char *path, struct problems *p)
{
    char manifest[PATH_BYTES];
    struct store_entry e;
    struct failure f = {0};
    *at = (struct where){0};
    path_make(at->root, "%s", path);
    for (size_t n = strlen(at->root); n > 1 && at->root[n - 1] == '/'; n--) at->root[n - 1] = 0;
    path_make(manifest, "%s/manifest.json", at->root);
    const enum path_kind kind = path_look(at->root, &f);
    if (kind == PATH_FILE && strcmp(base_name(at->root), "latest") == 0)
        return follow_latest(at, p);
    const enum path_kind inner = kind == PATH_FOLDER ? path_look(manifest, &f) : PATH_ABSENT;
    if (failed(&f)) {
        problems_add(p, NULL, 0, "%s: %s", f.what, f.why);
        return false;
    }
    if (kind != PATH_FOLDER) {
        problems_add(p, path, 0,
                     kind == PATH_ABSENT
                         ? "no such folder"
                         : "is no folder: give a run's folder, or a checkpoint in it");
        return false;
    }
    at->one = inner == PATH_FILE || store_parse_name(base_name(at->root), &e);
    if (at->one) return true;
    path_make(manifest, "%s", at->root);
    return find_list(at, manifest, p);
}

void where_free(struct where *at)
{
    store_list_free(&at->list);
}
