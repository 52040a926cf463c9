#include "trainer/run/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "comm/base/log.h"
#include "comm/base/problems.h"
#include "comm/coll.h"
#include "trainer/checkpoint/lock.h"
#include "trainer/checkpoint/store.h"
#include "trainer/data/index.h"
#include "trainer/run/exported.h"

static const char OTHER_FOLDER[] = "choose another run folder: --set out=FOLDER";

static _Noreturn void die_of(const struct failure *f, const char *fix)
{
    die(__FILE__, __LINE__, EXIT_WORLD, f->what, f->why, fix);
}

static const char CANNOT_LOOK[] = "nothing was changed: check that the folder is yours and that "
                                  "its disk is mounted and healthy (ls -l), then restart";

static enum path_kind look_up(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    struct failure f = {0};
    path_make(path, "%s/%s", folder, name);
    const enum path_kind kind = path_look(path, &f);
    if (failed(&f)) die_of(&f, CANNOT_LOOK);
    return kind;
}

struct folder_state folder_state(const char *folder)
{
    char root[PATH_BYTES];
    struct store_list l;
    struct failure f = {0};
    path_make(root, "%s/checkpoints", folder);
    if (!store_scan(&l, root, -1, &f)) die_of(&f, CANNOT_LOOK);
    const bool saved = l.n > 0 || l.has_latest;
    store_list_free(&l);
    return (struct folder_state){saved, look_up(folder, "metrics.jsonl") != PATH_ABSENT};
}

/* Reads only the end of the file: metrics of long runs are large. */
long folder_last_step(const char *folder)
{
    enum { TAIL = 128 * 1024 }; /* holds a line */
    char path[PATH_BYTES];
    long step = -1;
    path_make(path, "%s/metrics.jsonl", folder);
    FILE *f = fopen(path, "rb");
    char *text = malloc(TAIL + 1);
    SYS_OK(text, "free memory", "no memory to read %s", path);
    if (f && fseek(f, -TAIL, SEEK_END) != 0) rewind(f);
    size_t n = f ? fread(text, 1, TAIL, f) : 0;
    text[n] = 0;
    for (; n > 0 && step < 0; n--)
        if ((n == 1 || text[n - 2] == '\n') && sscanf(text + n - 1, "{\"step\":%ld,", &step) != 1)
            step = -1;
    if (f) fclose(f);
    free(text);
    return step;
}

/* --- whose files --- */

/* Recognises the recipes of every version: it does not change. */
static const char RECIPE_MARK[] =
    "# Written by duet train at every start, from the recipe it was given and --set.\n";

enum { HEAD_BYTES = 512 };

/* Also a part of the mark: a job may have been killed while it wrote. */
static bool begins(const char *head, const char *mark)
{
    const size_t n = strlen(head), m = strlen(mark);
    return strncmp(head, mark, n < m ? n : m) == 0;
}

/* A resolved recipe, which has every setting in one order. */
static bool is_recipe(const char *head)
{
    int end = 0;
    return begins(head, RECIPE_MARK) ||
           (sscanf(head, "seed: %*[0-9] out: \"%n", &end) == 0 && end > 0);
}

static bool is_line(const char *head)
{
    int end = 0;
    return !*head || (sscanf(head, "{\"step\":%*[0-9],\"phase\":%n", &end) == 0 && end > 0);
}

static bool is_trace(const char *head)
{
    return begins(head, "{\"displayTimeUnit\": \"ms\", \"otherData\": {\"title\": ");
}

static bool is_picture(const char *head)
{
    return begins(head, "<svg ") && (strlen(head) < HEAD_BYTES - 1 || strstr(head, "<style>text{"));
}

static bool is_index(const char *head)
{
    return begins(head, INDEX_MARK);
}

/* Empty: a job is about to write its name. */
static bool is_lock(const char *head)
{
    struct lock_owner o;
    return !*head || lock_parse(&o, head, strlen(head));
}

/* What a run writes over. */
static const struct own_file {
    const char *name;
    bool (*ours)(const char *head);
    bool traced; /* only with `trace` */
} WRITTEN[] = {
    {"recipe.yaml", is_recipe, false},
    {"recipe.yaml.tmp", is_recipe, false},
    {"metrics.jsonl", is_line, false},
    {"samples.jsonl", is_line, false},
    {"data.index", is_index, false},
    {"data.index.tmp", is_index, false},
    {"exports.json", exported_is_record, false},
    {"exports.json.tmp", exported_is_record, false},
    {"trace.json", is_trace, true},
    {"trace.json.tmp", is_trace, true},
    {"trace.svg", is_picture, true},
    {"trace.svg.tmp", is_picture, true},
};

/* In the folder of the job, not of a site. */
static const struct own_file LOCK = {LOCK_NAME, is_lock, false};

/* false: it is gone, as a lock is when its job ends. */
static bool read_head(char head[HEAD_BYTES], const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f && errno == ENOENT) return false;
    const size_t n = f ? fread(head, 1, HEAD_BYTES - 1, f) : 0;
    struct failure failure = {0};
    if (!f || ferror(f)) failure_note(&failure, strerror(errno), "reading %s", path);
    if (f) fclose(f);
    if (failed(&failure)) die_of(&failure, CANNOT_LOOK);
    head[n] = 0;
    return true;
}

static void check_file(const char *folder, const struct own_file *w, struct problems *p)
{
    char path[PATH_BYTES], head[HEAD_BYTES];
    const enum path_kind kind = look_up(folder, w->name);
    path_make(path, "%s/%s", folder, w->name);
    if (kind == PATH_ABSENT || kind == PATH_OTHER) return; /* a pipe or device loses nothing */
    if (kind == PATH_FILE && (!read_head(head, path) || w->ours(head))) return;
    problems_add(p, path, 0,
                 "no run of duet wrote it, and a run in this folder would overwrite it: move it "
                 "away, or choose another run folder with --set out=FOLDER (nothing was changed)");
}

/* A recipe that looks like ours may be a user's working copy: only beside what a run
 * leaves is it the run's. */
static void check_folder(const char *folder, bool traced, struct problems *p)
{
    const enum path_kind checkpoints = look_up(folder, "checkpoints");
    const int before = p->n;
    for (size_t i = 0; i < sizeof WRITTEN / sizeof *WRITTEN; i++)
        if (traced || !WRITTEN[i].traced) check_file(folder, &WRITTEN[i], p);
    if (checkpoints != PATH_ABSENT && checkpoints != PATH_FOLDER)
        problems_add(p, folder, 0,
                     "checkpoints is not a folder: move it away, or choose another run folder with "
                     "--set out=FOLDER");
    if (p->n > before || look_up(folder, "recipe.yaml") == PATH_ABSENT) return;
    const struct folder_state state = folder_state(folder);
    if (!state.saved && !state.begun)
        problems_add(
            p, folder, 0,
            "holds a recipe.yaml but no run of duet: a run would overwrite it. Move it away, or "
            "choose another run folder with --set out=FOLDER (nothing was changed)");
}

/* Files that a run would overwrite must be a run's own (P9). */
static void check_out(const struct settings *s, struct problems *p)
{
    char path[PATH_BYTES];
    struct failure f = {0};
    const enum path_kind kind = path_look(s->run.out, &f);
    if (failed(&f)) die_of(&f, CANNOT_LOOK);
    if (kind == PATH_ABSENT) return;
    if (kind != PATH_FOLDER) {
        problems_add(p, s->run.out, 0, "is not a folder; %s", OTHER_FOLDER);
        return;
    }
    check_file(s->run.out, &LOCK, p);
    if (s->mesh.sites == 1) check_folder(s->run.out, s->run.trace > 0, p);
    for (int site = 1; s->mesh.sites > 1 && site <= s->mesh.sites; site++) {
        path_make(path, "%s/site-%d", s->run.out, site);
        if (path_look(path, &f) == PATH_FOLDER) check_folder(path, s->run.trace > 0, p);
    }
}

/* --- who writes --- */

static struct lock *lock; /* of rank 0 of the job */

static void drop_lock(void)
{
    if (lock) lock_drop(lock);
}

/* An empty lock has no owner to name, but another process touches it. */
static void name_owner(const struct lock *l, const char *out, struct problems *p)
{
    const struct lock_owner *o = lock_owner(l);
    if (!o) {
        problems_add(p, NULL, 0,
                     "%s/" LOCK_NAME " is empty, but another process keeps updating it: wait until "
                     "it ends, or choose another run folder with --set out=FOLDER",
                     out);
        return;
    }
    problems_add(p, NULL, 0,
                 "%s is in use: process %ld on host %s%s%s has been writing to it since %s. Wait "
                 "until it ends, stop it there (kill -USR1 saves and stops), or choose another run "
                 "folder with --set out=FOLDER",
                 out, o->pid, o->host, o->job[0] ? ", " : "", o->job, o->since);
}

static void say_waiting(const struct lock *l, const char *out)
{
    const struct lock_owner *o = lock_owner(l);
    log_info("%s/" LOCK_NAME " names process %ld on host %s, since %s: checking for up to %.0f s "
             "whether it is still writing",
             out, o ? o->pid : 0, o ? o->host : "?", o ? o->since : "?", lock_times_usual.stale);
}

/* All ranks wait while rank 0 finds out whether the owner of a lock still lives. */
static void take_lock(const struct world *w, const char *out)
{
    struct problems p = {0};
    struct failure f = {0};
    int state = LOCK_WAIT;
    die_place("taking the lock of %s", out);
    if (w->rank == 0) lock = lock_new(out, &lock_times_usual);
    for (int turn = 0; state == LOCK_WAIT; turn++) {
        const struct timespec nap = {.tv_nsec = 200000000};
        if (w->rank == 0) state = (int)lock_try(lock, &f);
        if (state == LOCK_FAILED)
            die_of(&f, "check that the run folder is yours and its disk has space, or choose "
                       "another one: --set out=FOLDER");
        MPI_OK(MPI_Bcast(&state, 1, MPI_INT, 0, w->comm));
        watchdog_feed();
        if (state == LOCK_WAIT && w->rank == 0 && turn == 12) say_waiting(lock, out);
        if (state == LOCK_WAIT) nanosleep(&nap, NULL);
    }
    if (state == LOCK_HELD && w->rank == 0) name_owner(lock, out, &p);
    world_heed_first(w, &p, EXIT_USER);
    if (w->rank == 0) die_before_end(drop_lock);
    const struct lock_owner *o = w->rank == 0 ? lock_owner(lock) : NULL;
    if (o)
        log_info("the job that wrote to %s (process %ld on host %s, since %s) has ended", out,
                 o->pid, o->host, o->since);
    die_place(NULL);
}

/* The lock is taken here where the folder exists, otherwise in folder_make_out. */
void folder_enter(const struct world *w, const struct settings *s)
{
    struct problems p = {0};
    if (w->rank == 0) check_out(s, &p);
    world_heed_first(w, &p, EXIT_USER);
    if (s->mesh.sites > 1 && w->rank == 0) {
        struct failure f = {0};
        if (!folder_make(s->run.out, &f)) die_of(&f, OTHER_FOLDER);
    }
    int there = w->rank == 0 && path_look(s->run.out, &(struct failure){0}) == PATH_FOLDER;
    MPI_OK(MPI_Bcast(&there, 1, MPI_INT, 0, w->comm));
    if (there) take_lock(w, s->run.out);
}

/* Returns whether another job began a run here in the meantime. */
bool folder_make_out(const struct world *w, const char *out)
{
    struct failure f = {0};
    int locked = w->rank == 0 && lock;
    if (w->rank == 0 && !folder_make(out, &f)) die_of(&f, OTHER_FOLDER);
    MPI_OK(MPI_Bcast(&locked, 1, MPI_INT, 0, w->comm));
    if (w->sites > 1 || locked) return false;
    take_lock(w, out);
    const struct folder_state now =
        w->rank == 0 ? folder_state(out) : (struct folder_state){false, false};
    int overtaken = now.saved || now.begun;
    coll_bcast(&overtaken, sizeof overtaken, 0, w->comm);
    return overtaken;
}

void folder_leave(void)
{
    die_before_end(NULL);
    lock_free(lock);
    lock = NULL;
}

/* --- a run's --- */

/* The mark in its first line is how a later start knows the file as a run's. */
void folder_write_recipe(const char *folder, const char *recipe)
{
    struct failure f = {0};
    const size_t mark = sizeof RECIPE_MARK - 1, n = strlen(recipe);
    char *text = malloc(mark + n + 1);
    SYS_OK(text, "free memory", "no memory for a copy of the recipe");
    memcpy(text, RECIPE_MARK, mark);
    memcpy(text + mark, recipe, n + 1);
    if (!file_write(folder, "recipe.yaml", text, mark + n, &f))
        die_of(&f, "free space on that disk, or choose another run folder: --set out=FOLDER");
    free(text);
}

/* On hosts without a common file system the others would fail at the first checkpoint. Some seconds
 * are granted to a file system that shows new files late. */
void folder_see(const struct world *w, const char *folder)
{
    char path[PATH_BYTES];
    struct problems p = {0};
    struct failure f = {0};
    const struct timespec nap = {.tv_nsec = 100000000};
    int written = 1; /* when rank 0 comes here, it has */
    coll_bcast(&written, sizeof written, 0, w->comm);
    path_make(path, "%s/recipe.yaml", folder);
    enum path_kind kind = path_look(path, &f);
    for (int i = 0; i < 50 && kind != PATH_FILE; i++) {
        nanosleep(&nap, NULL);
        f = (struct failure){0};
        kind = path_look(path, &f);
    }
    if (kind != PATH_FILE)
        problems_add(&p, NULL, 0,
                     "host %s (rank %d) does not see the run folder %s that rank 0 created%s%s: "
                     "choose one on a file system that all hosts share, --set out=FOLDER",
                     w->host, w->first + w->rank, folder, failed(&f) ? ": " : "", f.why);
    world_agree_problems(w, &p, EXIT_USER);
}

/* Once there are checkpoints, their folder stays. A save that meets none makes one, so that it must
 * be the same. */
static void look_for_checkpoints(const char *folder)
{
    static struct stat first;
    static bool there;
    struct stat now = {0};
    char path[PATH_BYTES];
    struct failure f = {0};
    path_make(path, "%s/checkpoints", folder);
    const bool found = look_up(folder, "checkpoints") == PATH_FOLDER && stat(path, &now) == 0;
    if (there && (!found || now.st_ino != first.st_ino || now.st_dev != first.st_dev)) {
        failure_note(&f, "it was removed or renamed while the run was writing to it",
                     "saving in %s", path);
        die_of(&f, "put it back, then restart with --resume auto");
    }
    if (found) first = now;
    there = found;
}

void folder_look(const struct run *r)
{
    struct failure f = {0};
    if (r->world->rank != 0) return;
    metrics_look(r->metrics);
    look_for_checkpoints(r->folder);
    if (lock && !lock_look(lock, &f))
        die_of(&f, "end the other job, then restart this one with --resume auto: the checkpoints "
                   "saved before are intact");
}
