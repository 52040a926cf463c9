/* One line an event, each in one write(2), so that the lines of several ranks stay whole. */
#include "comm/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static enum log_level level_now = LOG_INFO;
static int rank_now;
static void (*before_call)(void *ctx);
static void *before_ctx;

double clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void log_set(enum log_level level, int rank)
{
    level_now = level;
    rank_now = rank;
}

void log_before(void (*call)(void *ctx), void *ctx)
{
    before_call = call;
    before_ctx = ctx;
}

__attribute__((format(printf, 2, 0))) static void log_line(const char *who, const char *fmt,
                                                           va_list args)
{
    static double start; /* of the first line: close enough to the start of the job */
    if (start == 0) start = clock_now();
    char text[2048];
    int n = snprintf(text, sizeof text, "[%6.1fs] %s", clock_now() - start, who);
    int m = vsnprintf(text + n, sizeof text - (size_t)n - 1, fmt, args);
    n += m < 0 ? 0 : m;
    if (n > (int)sizeof text - 2) n = (int)sizeof text - 2;
    text[n++] = '\n';
    if (before_call) before_call(before_ctx);
    ssize_t written = write(STDERR_FILENO, text, (size_t)n);
    (void)written; /* a log line that cannot be written is not worth dying for */
}

void log_info(const char *fmt, ...)
{
    if (level_now < LOG_INFO || rank_now != 0) return;
    va_list args;
    va_start(args, fmt);
    log_line("", fmt, args);
    va_end(args);
}

void log_debug(const char *fmt, ...)
{
    if (level_now < LOG_DEBUG || rank_now != 0) return;
    va_list args;
    va_start(args, fmt);
    log_line("", fmt, args);
    va_end(args);
}

void log_warn(const char *fmt, ...)
{
    char who[48];
    snprintf(who, sizeof who, "rank %d: warning: ", rank_now);
    va_list args;
    va_start(args, fmt);
    log_line(who, fmt, args);
    va_end(args);
}
