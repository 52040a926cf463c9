#include "trainer/checkpoint/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/die.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/thread.h"
#include "comm/world.h"

enum { TEXT_BYTES = 1024 };

const struct lock_times lock_times_usual = {.beat = 2, .stale = 30, .settle = 1, .grace = 2};

struct lock {
    const struct lock_times *times;
    char path[PATH_BYTES], folder[PATH_BYTES];
    char mine[TEXT_BYTES];

    char seen[TEXT_BYTES]; /* what stood there; "" nothing yet */
    struct timespec touched;
    double since; /* when it was seen so, on our clock */
    struct lock_owner me, owner;
    bool known; /* who the owner is */

    pthread_t thread;
    pthread_mutex_t guard; /* of fd and quit */
    pthread_cond_t wake;
    int fd; /* -1: not taken */
    bool quit, beating;
};

/* --- who we are, who lives --- */

static void read_line(char *out, size_t size, const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f || !fgets(out, (int)size, f)) out[0] = 0;
    if (f) fclose(f);
    out[strcspn(out, "\n")] = 0;
}

/* State and start of a process (proc(5): fields 3 and 22; the name before them may hold anything).
 * false: /proc does not tell. */
static bool process_look(long pid, char *state, unsigned long long *started)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    read_line(text, sizeof text, path);
    const char *s = strrchr(text, ')');
    if (!s || sscanf(s + 1, " %c", state) != 1) return false;
    for (int field = 2; s && field < 22; field++) s = strchr(s + 1, ' ');
    *started = s ? strtoull(s, NULL, 10) : 0;
    return s != NULL;
}

static bool process_lives(long pid, unsigned long long started)
{
    char state;
    unsigned long long since;
    if (pid <= 0) return false;
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) return false;
    if (!process_look(pid, &state, &since)) return true; /* there, but not ours to look at */
    return state != 'Z' && state != 'X' && since == started;
}

static unsigned long long inode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (unsigned long long)st.st_ino : 0;
}

/* A pid says nothing without its process table (boot, namespace) and, as pids are used again, its
 * start. What the system does not tell stays empty, and same_processes is then false. */
static void identify(struct lock_owner *o, const char *folder)
{
    char state;
    const char *job = getenv("SLURM_JOB_ID");
    time_t now = time(NULL);
    struct tm at;
    *o = (struct lock_owner){.pid = getpid(), .folder = inode_of(folder)};
    if (gethostname(o->host, sizeof o->host - 1) != 0) snprintf(o->host, sizeof o->host, "?");
    if (localtime_r(&now, &at)) strftime(o->since, sizeof o->since, "%Y-%m-%d %H:%M:%S", &at);
    if (job && *job) snprintf(o->job, sizeof o->job, "Slurm job %.30s", job);
    read_line(o->boot, sizeof o->boot, "/proc/sys/kernel/random/boot_id");
    const ssize_t n = readlink("/proc/self/ns/pid", o->pids, sizeof o->pids - 1);
    o->pids[n > 0 ? n : 0] = 0;
    process_look(o->pid, &state, &o->started);
}

/* Whether a pid means the same process to both. */
static bool same_processes(const struct lock_owner *a, const struct lock_owner *b)
{
    return a->boot[0] && a->pids[0] && strcmp(a->boot, b->boot) == 0 &&
           strcmp(a->pids, b->pids) == 0;
}

/* --- the text --- */

static void owner_print(char out[TEXT_BYTES], const struct lock_owner *o)
{
    json_t *j =
        json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:I, s:I}", "host", o->host, "pid",
                  (json_int_t)o->pid, "since", o->since, "job", o->job, "boot", o->boot, "pids",
                  o->pids, "started", (json_int_t)o->started, "folder", (json_int_t)o->folder);
    char *text = j ? json_dumps(j, JSON_PRESERVE_ORDER) : NULL;
    SYS_OK(text, NULL, "no memory for the text of a lock, or the host's name is not UTF-8");
    const int n = snprintf(out, TEXT_BYTES, "%s\n", text);
    INVARIANT(n < TEXT_BYTES, "a lock of %d bytes", n);
    free(text);
    json_decref(j);
}

static void copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
    for (; *out; out++) /* it goes to terminals */
        if ((unsigned char)*out < 0x20 || *out == 0x7f) *out = '?';
}

/* Anybody may have written the file (P11): all members or none, and texts go through copy_text. */
bool lock_parse(struct lock_owner *o, const char *text, size_t n)
{
    json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    const char *host, *since, *job, *boot, *pids;
    json_int_t pid, started, folder;
    *o = (struct lock_owner){0};
    const bool ok = j && json_unpack(j, "{s:s, s:I, s:s, s:s, s:s, s:s, s:I, s:I}", "host", &host,
                                     "pid", &pid, "since", &since, "job", &job, "boot", &boot,
                                     "pids", &pids, "started", &started, "folder", &folder) == 0;
    if (ok) {
        copy_text(o->host, sizeof o->host, host);
        copy_text(o->since, sizeof o->since, since);
        copy_text(o->job, sizeof o->job, job);
        copy_text(o->boot, sizeof o->boot, boot);
        copy_text(o->pids, sizeof o->pids, pids);
        o->pid = (long)pid;
        o->started = (unsigned long long)started;
        o->folder = (unsigned long long)folder;
    }
    json_decref(j);
    return ok;
}

/* --- the heartbeat --- */

/* Touches the descriptor, not the path: a lock that has replaced ours must not look alive through
 * us. */
static void *beat(void *arg)
{
    struct lock *l = arg;
    pthread_mutex_lock(&l->guard);
    while (!l->quit) {
        struct timespec t;
        const double until = clock_now() + l->times->beat;
        t.tv_sec = (time_t)until;
        t.tv_nsec = (long)((until - (double)t.tv_sec) * 1e9);
        pthread_cond_timedwait(&l->wake, &l->guard, &t);
        /* A file server that is away for a moment is no reason to stop; lock_look sees what is
         * lasting. */
        if (!l->quit && l->fd >= 0 && futimens(l->fd, NULL) != 0) continue;
    }
    pthread_mutex_unlock(&l->guard);
    return NULL;
}

/* The heartbeat waits on the monotonic clock: setting the host's time must not make a lock stale.
 * */
struct lock *lock_new(const char *folder, const struct lock_times *times)
{
    struct lock *l = memory_take(1, sizeof *l, "a lock");
    pthread_condattr_t attr;
    l->times = times;
    l->fd = -1;
    path_make(l->folder, "%s", folder);
    path_make(l->path, "%s/" LOCK_NAME, folder);
    identify(&l->me, folder);
    owner_print(l->mine, &l->me);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&l->guard, NULL);
    return l;
}

/* --- taking it --- */

static enum lock_state fail(struct failure *f, const char *doing, const char *path)
{
    failure_note(f, strerror(errno), "%s %s", doing, path);
    return LOCK_FAILED;
}

/* path, made by us, with our text; its descriptor, or -1 with errno. */
static int make_file(const struct lock *l, const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    const size_t n = strlen(l->mine);
    if (fd < 0) return -1;
    errno = ENOSPC; /* what a short write means */
    if (write(fd, l->mine, n) == (ssize_t)n && fsync(fd) == 0) return fd;
    const int why = errno;
    close(fd);
    unlink(path);
    errno = why;
    return -1;
}

static enum lock_state taken(struct lock *l, int fd)
{
    pthread_mutex_lock(&l->guard);
    l->fd = fd;
    pthread_mutex_unlock(&l->guard);
    thread_start(&l->thread, beat, l);
    l->beating = true;
    return LOCK_TAKEN;
}

/* What stands there now. */
struct sight {
    bool there;
    char text[TEXT_BYTES]; /* empty between making and writing */
    struct stat st;
};

/* false: it cannot be read (errno). */
static bool sight_take(struct sight *s, const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *s = (struct sight){.there = fd >= 0};
    if (fd < 0) return errno == ENOENT;
    const ssize_t n = fstat(fd, &s->st) == 0 ? read(fd, s->text, TEXT_BYTES - 1) : -1;
    const int why = errno;
    close(fd);
    errno = why;
    return n >= 0;
}

static bool is_ours(const struct lock *l, const struct stat *at)
{
    struct stat st;
    return fstat(l->fd, &st) == 0 && st.st_dev == at->st_dev && st.st_ino == at->st_ino;
}

static void sleep_for(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds};
    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

/* Its owner is gone. Others may think so, too: whose name stands there after a while has it. */
static enum lock_state replace(struct lock *l, struct failure *f)
{
    char tmp[PATH_BYTES];
    struct sight now;
    path_make(tmp, "%s.%s.%ld", l->path, l->me.host, l->me.pid);
    unlink(tmp); /* of a process of this number that was killed here */
    const int fd = make_file(l, tmp);
    if (fd < 0) return fail(f, "writing", tmp);
    bool won = sight_take(&now, l->path) && now.there && strcmp(now.text, l->seen) == 0 &&
               rename(tmp, l->path) == 0;
    if (won)
        sleep_for(l->times->settle);
    else
        unlink(tmp);
    won = won && sight_take(&now, l->path) && strcmp(now.text, l->mine) == 0;
    if (won) return taken(l, fd);
    close(fd);
    return LOCK_WAIT;
}

/* One that has changed since we looked: from now on it is watched. */
static void watch(struct lock *l, const struct sight *now)
{
    strcpy(l->seen, now->text);
    l->touched = now->st.st_mtim;
    l->since = clock_now();
    l->known = lock_parse(&l->owner, now->text, strlen(now->text));
}

static enum lock_state judge(struct lock *l, const struct sight *now, struct failure *f)
{
    const double age = clock_now() - l->since;
    const struct timespec t = now->st.st_mtim;
    const bool touched = t.tv_sec != l->touched.tv_sec || t.tv_nsec != l->touched.tv_nsec;
    if (l->known && same_processes(&l->me, &l->owner)) {
        const bool copy = l->owner.folder != l->me.folder;
        if (copy || !process_lives(l->owner.pid, l->owner.started)) return replace(l, f);
        return age < l->times->grace ? LOCK_WAIT : LOCK_HELD;
    }
    if (touched) return LOCK_HELD;
    return age < l->times->stale ? LOCK_WAIT : replace(l, f);
}

/* Between looking and making another process may have made the file: EEXIST means look again. A
 * text that has changed restarts the time after which a lock counts as stale. */
enum lock_state lock_try(struct lock *l, struct failure *f)
{
    struct sight now;
    INVARIANT(l->fd < 0, "%s is already locked", l->path);
    if (!sight_take(&now, l->path)) return fail(f, "reading", l->path);
    if (!now.there) {
        const int fd = make_file(l, l->path);
        if (fd >= 0) return taken(l, fd);
        return errno == EEXIST ? LOCK_WAIT : fail(f, "writing", l->path);
    }
    if (l->since <= 0 || strcmp(now.text, l->seen) != 0) watch(l, &now);
    if (now.text[0] == 0 || l->known) return judge(l, &now, f);
    failure_note(f, "no run of duet wrote it", "reading %s", l->path);
    return LOCK_FAILED;
}

const struct lock_owner *lock_owner(const struct lock *l)
{
    return l->known ? &l->owner : NULL;
}

/* --- keeping and leaving it --- */

/* It was removed, perhaps by a user who wants to start another job: the first process to take it
 * has it. */
static bool make_again(struct lock *l, struct failure *f)
{
    const int fd = make_file(l, l->path);
    if (fd < 0) return fail(f, "writing", l->path) == LOCK_TAKEN;
    pthread_mutex_lock(&l->guard);
    close(l->fd);
    l->fd = fd;
    pthread_mutex_unlock(&l->guard);
    return true;
}

bool lock_look(struct lock *l, struct failure *f)
{
    struct sight now;
    struct lock_owner o;
    if (!sight_take(&now, l->path)) return fail(f, "reading", l->path) == LOCK_TAKEN;
    if (!now.there) return make_again(l, f);
    if (is_ours(l, &now.st) || strcmp(now.text, l->mine) == 0) return true;
    if (lock_parse(&o, now.text, strlen(now.text)))
        failure_note(f, "another job has taken over the run folder",
                     "looking at %.160s, which names process %ld on %s", l->path, o.pid, o.host);
    else
        failure_note(f, "another process has changed it", "looking at %.160s", l->path);
    return false;
}

void lock_drop(struct lock *l)
{
    struct stat st;
    if (l->fd >= 0 && stat(l->path, &st) == 0 && is_ours(l, &st)) unlink(l->path);
}

void lock_free(struct lock *l)
{
    if (!l) return;
    lock_drop(l);
    pthread_mutex_lock(&l->guard);
    l->quit = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->guard);
    if (l->beating) pthread_join(l->thread, NULL);
    if (l->fd >= 0) close(l->fd);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->guard);
    free(l);
}
