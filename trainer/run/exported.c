#include "trainer/run/exported.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "comm/base/die.h"
#include "trainer/checkpoint/files.h"

static const char RECORD[] = "exports.json";
static const char MARK[] = "{\"format\": \"duet-exports\"";
enum { MOST_RECORD = 1 << 20, MOST_ENTRIES = 64 };

bool exported_is_record(const char *head)
{
    size_t n = strlen(head), m = sizeof MARK - 1;
    return strncmp(head, MARK, n < m ? n : m) == 0;
}

/* --- the record --- */

/* An array; empty where there is none that can be read: then everything counts as the user's. */
static json_t *read_record(const char *folder)
{
    char path[PATH_BYTES];
    size_t n = 0;
    struct failure ignored = {0};
    path_make(path, "%s/%s", folder, RECORD);
    char *text = path_read(path, MOST_RECORD, &n, &ignored);
    json_t *root = text ? json_loadb(text, n, 0, NULL) : NULL;
    json_t *list = json_incref(json_object_get(root, "exports"));
    json_decref(root);
    free(text);
    return json_is_array(list) ? list : json_array();
}

static bool write_record(const char *folder, json_t *list, struct failure *f)
{
    while (json_array_size(list) > MOST_ENTRIES) json_array_remove(list, 0);
    json_t *root = json_pack("{s:s, s:O}", "format", "duet-exports", "exports", list);
    char *text = root ? json_dumps(root, 0) : NULL;
    SYS_OK(text, "free memory", "no memory for %s", RECORD);
    json_decref(root);
    bool ok = file_write(folder, RECORD, text, strlen(text), f);
    free(text);
    return ok;
}

static json_t *entry_of(const char *to, const struct stat *s, long step)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "path", to, "step", (json_int_t)step,
                     "device", (json_int_t)s->st_dev, "number", (json_int_t)s->st_ino, "seconds",
                     (json_int_t)s->st_mtim.tv_sec, "nanoseconds", (json_int_t)s->st_mtim.tv_nsec);
}

/* Path and step aside: a folder that was moved is still what this run wrote. */
static bool is_in(const json_t *list, const struct stat *s)
{
    json_t *now = entry_of("", s, 0);
    const json_t *was, *value;
    const char *name;
    bool found = false;
    size_t i;
    SYS_OK(now, "free memory", "no memory for %s", RECORD);
    json_array_foreach(list, i, was)
    {
        bool same = true;
        json_object_foreach(now, name, value)
        {
            bool counts = strcmp(name, "path") != 0 && strcmp(name, "step") != 0;
            same = same && (!counts || json_equal(value, json_object_get(was, name)));
        }
        found = found || same;
    }
    json_decref(now);
    return found;
}

/* --- what is at a place --- */

enum there { NOTHING, EMPTY, OURS, THEIRS };

static bool is_empty(const char *path)
{
    DIR *d = opendir(path);
    int entries = 0;
    while (d && entries <= 2 && readdir(d)) entries++;
    if (d) closedir(d);
    return d && entries == 2; /* . and .. */
}

static enum there look_at(const struct exported *e, struct failure *f)
{
    struct stat s;
    if (lstat(e->to, &s) != 0) {
        if (errno != ENOENT) failure_note(f, strerror(errno), "looking at %s", e->to);
        return errno == ENOENT ? NOTHING : THEIRS;
    }
    json_t *list = read_record(e->folder);
    bool ours = e->own || is_in(list, &s);
    json_decref(list);
    if (ours) return OURS;
    return S_ISDIR(s.st_mode) && is_empty(e->to) ? EMPTY : THEIRS;
}

static void say_theirs(const char *to, const struct failure *f, struct problems *p)
{
    if (failed(f))
        problems_add(p, to, 0, "%s: %s", f->what, f->why);
    else
        problems_add(p, to, 0,
                     "is there already, and this run has not written it, or somebody has changed "
                     "it since: move it away, or give another dir (nothing is overwritten)");
}

void exported_check(const struct exported *e, struct problems *p)
{
    struct failure f = {0};
    if (look_at(e, &f) == THEIRS) say_theirs(e->to, &f, p);
}

/* --- writing --- */

/* The folder that holds it, "." or "/" included. */
static void above(char out[PATH_BYTES], const char *to)
{
    const char *slash = strrchr(to, '/');
    if (!slash)
        path_make(out, ".");
    else
        path_make(out, "%.*s", slash == to ? 1 : (int)(slash - to), to);
}

/* A folder of files, or a file. */
static bool remove_any(const char *path, struct failure *f)
{
    struct stat s;
    if (lstat(path, &s) != 0) return true;
    if (S_ISDIR(s.st_mode)) return folder_remove(path, f);
    if (unlink(path) == 0) return true;
    failure_note(f, strerror(errno), "removing %s", path);
    return false;
}

bool exported_begin(char fresh[PATH_BYTES], const char *to, struct problems *p)
{
    char parent[PATH_BYTES];
    struct failure f = {0};
    above(parent, to);
    path_make(fresh, "%s.exporting", to);
    if (folder_make(parent, &f) && remove_any(fresh, &f)) return true;
    problems_add(p, to, 0, "%s: %s", f.what, f.why);
    return false;
}

/* The former one keeps a name until the new one has it. A kill in between leaves it there: the next
 * export takes it away. */
static bool put_in_place(const struct exported *e, enum there there, struct failure *f)
{
    char parent[PATH_BYTES], fresh[PATH_BYTES], former[PATH_BYTES];
    above(parent, e->to);
    path_make(fresh, "%s.exporting", e->to);
    path_make(former, "%s.former", e->to);
    const struct exported left = {e->folder, former, false};
    enum there was = look_at(&left, f);
    if (was == OURS && !remove_any(former, f)) return false;
    if (was == THEIRS && there == OURS) {
        failure_note(f, "this name is taken", "moving %s to %s", e->to, former);
        return false;
    }
    if (there == EMPTY && rmdir(e->to) != 0) {
        failure_note(f, strerror(errno), "removing the empty folder %s", e->to);
        return false;
    }
    if (there == OURS && !path_rename(e->to, former, parent, f)) return false;
    return path_rename(fresh, e->to, parent, f) && (there != OURS || remove_any(former, f));
}

/* Recorded before it has its name: a job that is killed in between finds it as its own. */
bool exported_end(const struct exported *e, long step, struct problems *p)
{
    char fresh[PATH_BYTES];
    struct stat s = {0};
    struct failure f = {0};
    path_make(fresh, "%s.exporting", e->to);
    if (lstat(fresh, &s) != 0) failure_note(&f, strerror(errno), "looking at %s", fresh);
    json_t *list = read_record(e->folder), *entry = entry_of(e->to, &s, step);
    SYS_OK(entry, "free memory", "no memory for %s", RECORD);
    json_array_append_new(list, entry);
    bool ok = !failed(&f) && write_record(e->folder, list, &f);
    json_decref(list);
    enum there there = ok ? look_at(e, &f) : THEIRS;
    if (there != THEIRS && put_in_place(e, there, &f)) return true;
    say_theirs(e->to, &f, p);
    return false;
}
