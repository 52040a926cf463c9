/* See grader_pool.h. A job is an answer's line; it lies in a ring until a worker takes it, and goes
 * back to the ring's head when it is tried again. */
#include "trainer/reward/plugin/grader_pool.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "comm/base/die.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "trainer/reward/plugin/worker.h"

/* GARBAGE_MOST: lines that are no reply, while one is awaited. */
enum {
    GARBAGE_MOST = 1000,
    NOTE_BYTES = 640,
    LINES_A_STEP = 64,
    ANSWERS_A_STEP = 4,
    TRIES_LEAST = 4,
    EACH = 16
};
#define BACK_OFF_FIRST 0.05
#define BACK_OFF_MOST  5.0
#define NEVER          1e9

struct job {
    uint64_t ticket;
    char *line; /* malloc'ed */
    size_t bytes;
    int tries, most; /* most: tries that it has */
    double seconds;  /* that workers had it */
};

struct seat { /* of a worker, whichever runs there */
    struct worker worker;
    bool busy, fresh; /* fresh: it has brought no verdict yet */
    struct job job;
    uint64_t id;
    double since, due; /* of the job */
    double start_at;
    int failures; /* workers in a row without a verdict */
    long garbage; /* lines since the job */
};

struct grader_pool {
    struct grader_pool_options o;
    struct grader_pool_counts counts;
    bool said[POOL_MISHAPS];
    char failed[WORKER_ENDS]; /* how the first fresh worker ended; "": none did */
    int in_a_row;             /* workers without a verdict, whatever their seat */
    struct seat *seats;
    struct job *jobs; /* ring (most) */
    int first, waiting;
    size_t bytes;
    struct grader_pool_verdict *verdicts; /* ring (most) */
    int first_verdict, found;
    int open; /* waiting + busy + found */
};

/* The answer is tried again: its grader may have had an accident. */
static const struct {
    const char *name, *said;
    bool again;
} mishaps[POOL_MISHAPS] = {
    [POOL_FINE] = {"graded", "", false},
    [POOL_LATE] = {"no verdict in time", "gave no verdict in time and was ended", true},
    [POOL_DEAF] = {"stopped reading", "stopped reading and was ended", true},
    [POOL_DIED] = {"ended", "ended without a verdict", true},
    [POOL_OTHER] = {"answered another request", "answered another request and was ended", true},
    [POOL_TOO_LONG] = {"line without end", "printed a line of more than 65536 bytes and was ended",
                       true},
    [POOL_GARBAGE] = {"no reply", "printed what is no reply", true},
    [POOL_BAD] = {"no number", "gave a reward that is no finite number", false},
    [POOL_ERROR] = {"could not grade", "could not grade an answer", false},
    [POOL_NO_START] = {"not started", "could not be started", true},
    [POOL_DOWN] = {"down", "is down, its answers are lost until it brings a verdict", false},
};

const char *grader_pool_mishap_name(enum grader_pool_mishap m)
{
    return mishaps[m].name;
}

/* Counts it, and says it the first time. */
static void count_mishap(struct grader_pool *p, enum grader_pool_mishap m, const char *detail)
{
    char text[NOTE_BYTES];
    p->counts.mishaps[m]++;
    if (p->said[m]) return;
    p->said[m] = true;
    snprintf(text, sizeof text, "grader %s %s%s%s%s (said once, then counted)", p->o.name,
             mishaps[m].said, *detail ? " (" : "", detail, *detail ? ")" : "");
    if (p->o.note) p->o.note(p->o.ctx, text);
}

struct grader_pool *grader_pool_open(const struct grader_pool_options *o)
{
    struct grader_pool *p = memory_take(1, sizeof *p, "a pool of graders");
    p->o = *o;
    if (p->o.most <= 0) p->o.most = EACH * o->workers;
    signal(SIGPIPE, SIG_IGN); /* a worker that is gone is seen by its stdout */
    INVARIANT(o->workers > 0 && o->workers <= POOL_WORKERS, "%d workers", o->workers);
    p->seats = memory_take((size_t)o->workers, sizeof *p->seats, "a pool of graders");
    p->jobs = memory_take((size_t)p->o.most, sizeof *p->jobs, "a pool of graders");
    p->verdicts = memory_take((size_t)p->o.most, sizeof *p->verdicts, "a pool of graders");
    for (int i = 0; i < o->workers; i++) worker_place(&p->seats[i].worker);
    grader_pool_step(p);
    return p;
}

void grader_pool_close(struct grader_pool *p)
{
    if (!p) return;
    for (int i = 0; i < p->o.workers; i++) {
        worker_free(&p->seats[i].worker);
        free(p->seats[i].job.line);
    }
    for (int i = 0; i < p->waiting; i++) free(p->jobs[(p->first + i) % p->o.most].line);
    free(p->seats);
    free(p->jobs);
    free(p->verdicts);
    free(p);
}

static bool has_room(const struct grader_pool *p, size_t bytes)
{
    return p->open < p->o.most && (p->open == 0 || p->bytes + bytes <= POOL_BYTES);
}

static void enter(struct grader_pool *p, uint64_t ticket, char *line, size_t bytes, int tries)
{
    p->jobs[(p->first + p->waiting++) % p->o.most] =
        (struct job){.ticket = ticket, .line = line, .bytes = bytes, .most = tries};
    p->bytes += bytes;
    p->open++;
}

static bool submit(struct grader_pool *p, uint64_t ticket, const struct line_request *r, int tries)
{
    size_t bytes = line_write(NULL, 0, r);
    char *line = has_room(p, bytes) ? malloc(bytes) : NULL;
    if (!line) return false;
    line_write(line, bytes, r);
    enter(p, ticket, line, bytes, tries);
    return true;
}

bool grader_pool_submit(struct grader_pool *p, uint64_t ticket, const struct line_request *r)
{
    return submit(p, ticket, r, p->o.retries + 1);
}

bool grader_pool_try(struct grader_pool *p, uint64_t ticket)
{
    const struct span empty = {"", 0};
    const struct line_request r = {.answer = empty, .expected = empty, .prompt = empty};
    return submit(p, ticket, &r, p->o.retries < TRIES_LEAST ? TRIES_LEAST : p->o.retries + 1);
}

bool grader_pool_submit_line(struct grader_pool *p, uint64_t ticket, struct span written)
{
    char *line = has_room(p, written.n) ? malloc(written.n) : NULL;
    if (!line) return false;
    memcpy(line, written.at, written.n);
    enter(p, ticket, line, written.n, p->o.retries + 1);
    return true;
}

/* Its verdict is found: the job is over. */
static void job_end(struct grader_pool *p, struct job *j, enum grader_pool_mishap lost,
                    double reward, const char *why)
{
    struct grader_pool_verdict *v = &p->verdicts[(p->first_verdict + p->found++) % p->o.most];
    *v = (struct grader_pool_verdict){
        .ticket = j->ticket, .seconds = j->seconds, .reward = reward, .lost = lost};
    snprintf(v->why, sizeof v->why, "%s", why);
    p->counts.graded += lost == POOL_FINE;
    p->counts.lost += lost != POOL_FINE;
    p->counts.lost_by[lost] += lost != POOL_FINE;
    p->bytes -= j->bytes;
    free(j->line);
    *j = (struct job){.line = NULL};
}

bool grader_pool_take(struct grader_pool *p, struct grader_pool_verdict *v)
{
    if (p->found == 0) return false;
    *v = p->verdicts[p->first_verdict];
    p->first_verdict = (p->first_verdict + 1) % p->o.most;
    p->found--;
    p->open--;
    return true;
}

int grader_pool_open_answers(const struct grader_pool *p)
{
    return p->open;
}

/* What was tried first is tried again first. */
static void job_again_or_end(struct grader_pool *p, struct job *j, enum grader_pool_mishap m,
                             const char *why)
{
    if (!mishaps[m].again || j->tries >= j->most) {
        job_end(p, j, m, 0, why);
        return;
    }
    p->counts.retries++;
    p->first = (p->first + p->o.most - 1) % p->o.most;
    p->jobs[p->first] = *j;
    p->waiting++;
    *j = (struct job){.line = NULL};
}

/* Each worker in a row that brings no verdict doubles the time until the next. */
static void back_off(struct grader_pool *p, struct seat *s, double now)
{
    double wait = BACK_OFF_FIRST;
    for (int i = 0; i < s->failures && wait < BACK_OFF_MOST; i++) wait *= 2;
    s->start_at = now + (wait < BACK_OFF_MOST ? wait : BACK_OFF_MOST);
    s->failures++;
    p->in_a_row++;
}

static void spend(struct grader_pool *p, struct seat *s)
{
    const double seconds = clock_now() - s->since;
    s->job.seconds += seconds;
    p->counts.seconds += seconds;
}

/* Ends the seat's worker for a mishap; its job, if it has one, is tried again or lost. */
static void seat_end(struct grader_pool *p, struct seat *s, enum grader_pool_mishap m,
                     const char *detail)
{
    char how[WORKER_ENDS], text[WORKER_ENDS + LINE_WHY];
    bool asked = s->busy;
    worker_end(&s->worker, how);
    snprintf(text, sizeof text, "%s%s%s", detail, *detail && *how ? "; " : "", how);
    if (s->fresh && !p->failed[0]) snprintf(p->failed, sizeof p->failed, "%s", how);
    count_mishap(p, m, text);
    s->busy = false;
    s->start_at = clock_now();
    if (s->fresh) back_off(p, s, s->start_at);
    if (asked) spend(p, s);
    if (asked) job_again_or_end(p, &s->job, m, text);
}

/* A worker that failed before it had an answer was no try of it. */
static void seat_start(struct grader_pool *p, struct seat *s, double now)
{
    p->counts.starts++;
    s->fresh = true;
    if (worker_start(&s->worker, p->o.argv)) return;
    count_mishap(p, POOL_NO_START, strerror(errno));
    back_off(p, s, now);
}

static uint64_t draw_id(void)
{
    uint64_t id = 0;
    while (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id) continue;
    return id;
}

static void seat_ask(struct grader_pool *p, struct seat *s, double now)
{
    s->job = p->jobs[p->first];
    p->first = (p->first + 1) % p->o.most;
    p->waiting--;
    s->job.tries++;
    s->id = draw_id();
    s->busy = true;
    s->garbage = 0;
    s->since = now;
    s->due = now + p->o.timeout_s + (s->fresh ? p->o.start_s : 0);
    line_name(s->job.line, s->id);
    worker_send(&s->worker, s->job.line, s->job.bytes);
}

/* A verdict, or that there is none: the worker is well and takes the next. */
static void seat_verdict(struct grader_pool *p, struct seat *s, const struct line_reply *r)
{
    enum grader_pool_mishap m = r->kind == LINE_REWARD  ? POOL_FINE
                                : r->kind == LINE_ERROR ? POOL_ERROR
                                                        : POOL_BAD;
    spend(p, s);
    s->busy = s->fresh = false;
    s->failures = p->in_a_row = 0;
    if (m != POOL_FINE) count_mishap(p, m, r->why);
    job_end(p, &s->job, m, m == POOL_FINE ? r->reward : 0, r->why);
}

/* A line of a worker. Before the request is written whole there can be no verdict on it. */
static void seat_hear(struct grader_pool *p, struct seat *s, struct span line)
{
    struct line_reply r;
    if (line.n == 0) return;
    line_read(&r, s->busy ? s->id : draw_id(), line);
    bool mine = r.kind == LINE_REWARD || r.kind == LINE_ERROR || r.kind == LINE_BAD;
    if (mine) {
        seat_verdict(p, s, &r);
    } else if (r.kind == LINE_OTHER) {
        seat_end(p, s, POOL_OTHER, r.why);
    } else if (++s->garbage < GARBAGE_MOST) {
        count_mishap(p, POOL_GARBAGE, r.why);
    } else {
        seat_end(p, s, POOL_GARBAGE, r.why);
    }
}

/* Some lines a step: whoever floods it does not hold up the others. */
static void seat_listen(struct grader_pool *p, struct seat *s)
{
    for (int i = 0; i < LINES_A_STEP && s->worker.pid; i++) {
        struct span line;
        enum worker_event e = worker_step(&s->worker, &line);
        if (e == WORKER_NOTHING) return;
        if (e == WORKER_PRINTED)
            seat_hear(p, s, line);
        else
            seat_end(p, s, e == WORKER_ENDED ? POOL_DIED : POOL_TOO_LONG, "");
    }
}

static void seat_watch_time(struct grader_pool *p, struct seat *s, double now)
{
    if (!s->busy || now < s->due) return;
    char text[64];
    bool written = worker_written(&s->worker);
    snprintf(text, sizeof text, "%g s", s->due - s->since);
    seat_end(p, s, written ? POOL_LATE : POOL_DEAF, text);
}

static bool anyone(const struct grader_pool *p)
{
    for (int i = 0; i < p->o.workers; i++)
        if (p->seats[i].worker.pid) return true;
    return false;
}

/* Nobody is there to take what waits, nor soon will be. */
static void lose_when_down(struct grader_pool *p)
{
    if (p->in_a_row < LEAST_DOWN || anyone(p)) return;
    while (p->waiting > 0) {
        struct job j = p->jobs[p->first];
        p->first = (p->first + 1) % p->o.most;
        p->waiting--;
        count_mishap(p, POOL_DOWN, p->failed);
        job_end(p, &j, POOL_DOWN, 0, p->failed);
    }
}

/* A pool that is down has one worker at a time, and none without an answer that tries it. */
static bool may_start(const struct grader_pool *p, const struct seat *s, double now)
{
    if (s->worker.pid || now < s->start_at) return false;
    return p->in_a_row < LEAST_DOWN || (p->waiting > 0 && !anyone(p));
}

/* A quick grader's verdict is often there at once: its worker is given a few answers a step. */
static void seat_step(struct grader_pool *p, struct seat *s, double now)
{
    if (may_start(p, s, now)) seat_start(p, s, now);
    for (int i = 0; i < ANSWERS_A_STEP && s->worker.pid; i++) {
        if (!s->busy && p->waiting > 0) seat_ask(p, s, clock_now());
        seat_listen(p, s);
        if (s->busy || p->waiting == 0) break;
    }
    seat_watch_time(p, s, now);
}

void grader_pool_step(struct grader_pool *p)
{
    double now = clock_now();
    for (int i = 0; i < p->o.workers; i++) seat_step(p, &p->seats[i], now);
    lose_when_down(p);
}

int grader_pool_watch(const struct grader_pool *p, struct pollfd *fds, int room)
{
    int n = 0;
    for (int i = 0; i < p->o.workers && n + 3 <= room; i++) {
        const struct worker *w = &p->seats[i].worker;
        if (!w->pid) continue;
        fds[n++] = (struct pollfd){.fd = w->out, .events = POLLIN};
        if (w->err >= 0) fds[n++] = (struct pollfd){.fd = w->err, .events = POLLIN};
        if (!worker_written(w)) fds[n++] = (struct pollfd){.fd = w->in, .events = POLLOUT};
    }
    return n;
}

/* When the seat has something to do by itself. */
static double seat_wake(const struct grader_pool *p, const struct seat *s)
{
    if (s->worker.pid && s->busy) return s->due;
    if (s->worker.pid) return p->waiting > 0 ? 0 : NEVER;
    return p->in_a_row < LEAST_DOWN ? s->start_at : NEVER;
}

double grader_pool_wake(const struct grader_pool *p)
{
    double at = NEVER, now = clock_now();
    if (p->found > 0 || (p->waiting > 0 && !anyone(p) && p->in_a_row >= LEAST_DOWN)) return 0;
    for (int i = 0; i < p->o.workers; i++) {
        double next = seat_wake(p, &p->seats[i]);
        if (next < at) at = next;
    }
    return at >= NEVER ? NEVER : at > now ? at - now : 0;
}

const struct grader_pool_counts *grader_pool_counts(const struct grader_pool *p)
{
    return &p->counts;
}

char *grader_pool_tell(const struct grader_pool *p, char *out, size_t size)
{
    const struct grader_pool_counts *c = &p->counts;
    int n = snprintf(out, size, "%ld graded, %ld lost", c->graded, c->lost);
    for (int m = 1; m < POOL_MISHAPS; m++)
        if (c->mishaps[m] > 0 && n > 0 && (size_t)n < size)
            n += snprintf(out + n, size - (size_t)n, "; %s %ld", mishaps[m].name, c->mishaps[m]);
    if (c->retries > 0 && n > 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, "; %ld retries", c->retries);
    return out;
}
