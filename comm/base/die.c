/* How a rank fails. Everything is formatted into one buffer and leaves in one write(2), so that
 * ranks that die together do not interleave. A process speaks once, the first thread to die; of
 * ranks that die together one (floor.h). */
#include "comm/base/die.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/floor.h"

enum { PLACE_BYTES = 192, TEXT_BYTES = 4096 };

struct die_place {
    char doing[PLACE_BYTES];   /* die_place: "while ..." */
    char waiting[PLACE_BYTES]; /* die_waiting: "..., waiting for ..." */
};

static struct {
    int rank, size;
    char host[64];
    void (*abort_job)(int code);
    void (*leave_job)(int code);
    void (*before_end)(void);
    struct die_place *main_place;
} self = {.rank = -1};

static _Thread_local struct die_place here;
/* Guards the text of the main thread, which the watchdog reads; uncontended otherwise. */
static pthread_mutex_t place_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_flag spoken = ATOMIC_FLAG_INIT;

void die_identify(int rank, int size, const char *host)
{
    self.rank = rank;
    self.size = size;
    self.main_place = &here;
    snprintf(self.host, sizeof self.host, "%s", host);
}

void die_set_abort(void (*abort_job)(int code))
{
    self.abort_job = abort_job;
}

void die_set_leave(void (*leave_job)(int code))
{
    self.leave_job = leave_job;
}

void die_before_end(void (*call)(void))
{
    self.before_end = call;
}

static void place_set(char *to, const char *text)
{
    pthread_mutex_lock(&place_lock);
    memcpy(to, text, PLACE_BYTES);
    pthread_mutex_unlock(&place_lock);
}

void die_place(const char *fmt, ...)
{
    char text[PLACE_BYTES] = "";
    if (fmt) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
    }
    place_set(here.doing, text);
}

void die_waiting(const char *fmt, ...)
{
    char text[PLACE_BYTES] = "";
    if (fmt) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
    }
    place_set(here.waiting, text);
}

void die_place_of_main(void)
{
    if (!self.main_place || self.main_place == &here) return;
    pthread_mutex_lock(&place_lock);
    here = *self.main_place;
    pthread_mutex_unlock(&place_lock);
}

bool die_main_place(char *doing, size_t size)
{
    doing[0] = 0;
    if (!self.main_place) return false;
    pthread_mutex_lock(&place_lock);
    snprintf(doing, size, "%s", self.main_place->doing);
    bool waits = self.main_place->waiting[0] != 0;
    pthread_mutex_unlock(&place_lock);
    return waits;
}

/* Appends to text[*n ..); what does not fit is cut. */
__attribute__((format(printf, 3, 4))) static void text_add(char *text, size_t *n, const char *fmt,
                                                           ...)
{
    va_list args;
    va_start(args, fmt);
    int more = vsnprintf(text + *n, TEXT_BYTES - *n, fmt, args);
    va_end(args);
    if (more > 0) *n += (size_t)more;
    if (*n > TEXT_BYTES - 1) *n = TEXT_BYTES - 1;
}

void die_write(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDERR_FILENO, text, n);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return;
        text += done;
        n -= (size_t)done;
    }
}

static void text_add_who(char *text, size_t *n)
{
    if (self.rank < 0)
        text_add(text, n, "rank -");
    else
        text_add(text, n, "rank %d/%d on %s", self.rank, self.size, self.host);
}

/* The end: through the world's abort where there is one, by ourselves if that comes back. */
_Noreturn static void end_job(int code)
{
    if (self.abort_job) self.abort_job(code);
    _exit(code);
}

/* For a thread that must not speak because another thread or rank does: leaves it time to end the
 * job. */
_Noreturn static void end_quietly(int code)
{
    struct timespec patience = {.tv_sec = 6};
    while (nanosleep(&patience, &patience) != 0 && errno == EINTR) {
    }
    _exit(code);
}

/* Only the first of a process speaks. Who does not get the floor is one of several that fail
 * together: it ends a little later and in silence. */
_Noreturn void die(const char *file, int line, enum exit_code code, const char *what,
                   const char *why, const char *fix)
{
    if (atomic_flag_test_and_set(&spoken)) end_quietly((int)code);
    char text[TEXT_BYTES];
    size_t n = 0;
    text_add_who(text, &n);
    text_add(text, &n, ", %s:%d", file, line);
    if (here.doing[0]) text_add(text, &n, ", while %s", here.doing);
    if (here.waiting[0]) text_add(text, &n, ", waiting for %s", here.waiting);
    text_add(text, &n, "\n  what: %s\n", what);
    if (why) text_add(text, &n, "  why:  %s\n", why);
    if (fix) text_add(text, &n, "  fix:  %s\n", fix);
    text[n - 1] = '\n';
    const bool speak = floor_take();
    if (speak) die_write(text, n);
    floor_spoken();
    if (self.before_end) self.before_end();
    if (!speak) end_quietly((int)code);
    end_job((int)code);
}

_Noreturn void die_fmt(const char *file, int line, enum exit_code code, const char *what,
                       const char *fix, const char *why_fmt, ...)
{
    char why[TEXT_BYTES / 2];
    va_list args;
    va_start(args, why_fmt);
    vsnprintf(why, sizeof why, why_fmt, args);
    va_end(args);
    die(file, line, code, what, why, fix);
}

_Noreturn void die_together(enum exit_code code, int speaker, void (*speak)(const void *what),
                            const void *what)
{
    if (atomic_flag_test_and_set(&spoken)) end_quietly((int)code);
    if (self.rank < 0 || self.rank == speaker) speak(what);
    if (self.before_end) self.before_end();
    if (self.leave_job) self.leave_job((int)code);
    end_job((int)code);
}
