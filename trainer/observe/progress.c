/* The live line. It never allocates and a line goes out in one write(2), so that it does not mix
 * with messages of other ranks. */
#include "trainer/observe/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "comm/base/environment.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "trainer/observe/metrics.h"
#include "trainer/observe/sink.h"

enum { TEXT_BYTES = 256 };
static const double PLAIN_EVERY_S = 5;

struct live_text {
    char *out;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void add(struct live_text *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(t->out + t->used, t->size - t->used, fmt, args);
    va_end(args);
    if (n > 0) t->used += (size_t)n < t->size - t->used ? (size_t)n : t->size - t->used - 1;
}

static void add_rate(struct live_text *t, double per_second)
{
    if (isnan(per_second)) return;
    if (per_second >= 999.5)
        add(t, "  %.1fk tokens/s", per_second / 1000);
    else
        add(t, "  %.0f tokens/s", per_second);
}

static void add_time_left(struct live_text *t, double seconds)
{
    if (isnan(seconds) || seconds > 1e9) return;
    const long s = seconds > 0 ? lround(seconds) : 0;
    if (s >= 3600)
        add(t, "  %ldh%02ldm left", s / 3600, s / 60 % 60);
    else if (s >= 60)
        add(t, "  %ldm%02lds left", s / 60, s % 60);
    else
        add(t, "  %lds left", s);
}

size_t progress_text(char *out, size_t size, const struct progress *p)
{
    struct live_text t = {out, size, 0};
    add(&t, "%s %ld/%ld", p->phase, p->step, p->steps);
    if (!isnan(p->reward)) add(&t, "  reward %.3f", p->reward);
    if (!isnan(p->loss)) add(&t, "  loss %.4f", p->loss);
    if (!isnan(p->length)) add(&t, "  length %.0f", p->length);
    add_rate(&t, p->tokens_per_second);
    add_time_left(&t, p->seconds_left);
    return t.used;
}

void progress_init(struct progress_line *l, int fd)
{
    *l = (struct progress_line){.fd = fd,
                                .terminal = isatty(fd) == 1 || environment_text("DUET_TERMINAL")};
}

/* A live line that wraps cannot be rewritten: it is cut to the terminal. Under mpirun we write
 * to a pipe, and launch/run.sh, which sees the terminal, says how wide it is. */
static size_t terminal_columns(int fd)
{
    const double told = environment_number("DUET_TERMINAL", 0);
    if (told > 1) return (size_t)told;
    struct winsize w;
    if (ioctl(fd, TIOCGWINSZ, &w) != 0 || w.ws_col < 2) return 80;
    return w.ws_col;
}

/* What cannot be shown is no reason to stop training: write's answer is looked at, not acted on. */
static void progress_write(int fd, const char *bytes, size_t n)
{
    if (write(fd, bytes, n) < 0) return;
}

static void show_live(struct progress_line *l, const struct progress *p, bool last)
{
    char line[TEXT_BYTES + 8] = "\r\033[K"; /* to the left edge; clear to the right */
    const size_t edge = strlen(line), columns = terminal_columns(l->fd);
    const size_t size = columns < TEXT_BYTES ? columns : TEXT_BYTES;
    size_t n = edge + progress_text(line + edge, size, p);
    if (last) line[n++] = '\n';
    progress_write(l->fd, line, n);
    l->open = !last;
}

/* A terminal gets a line that is rewritten; a file a line now and then. */
void progress_show(struct progress_line *l, const struct progress *p)
{
    const bool last = p->step >= p->steps;
    if (l->terminal) {
        show_live(l, p, last);
        return;
    }
    const double now = clock_now();
    if (!last && l->shown_s > 0 && now - l->shown_s < PLAIN_EVERY_S) return;
    l->shown_s = now;
    char line[TEXT_BYTES + 1];
    size_t n = progress_text(line, TEXT_BYTES, p);
    line[n++] = '\n';
    progress_write(l->fd, line, n);
}

void progress_end(struct progress_line *l)
{
    if (l->open) progress_write(l->fd, "\n", 1);
    l->open = false;
}

/* --- the sink --- */

static void end_before_a_message(void *state)
{
    progress_end(state);
}

static void *open_live(const struct metrics_opening *o)
{
    struct progress_line *l = memory_take(1, sizeof *l, "the live line");
    (void)o;
    progress_init(l, STDERR_FILENO);
    log_before(end_before_a_message, l);
    return l;
}

static void show(void *state, const struct progress *p)
{
    progress_show(state, p);
}

static void close_live(void *state)
{
    log_before(NULL, NULL);
    progress_end(state);
    free(state);
}

const struct metrics_sink live_sink = {.open = open_live, .progress = show, .close = close_live};
