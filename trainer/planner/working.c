#include "trainer/planner/working.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/log.h"

static struct {
    const char *what;
    long done, all;
    double shown; /* clock: when the last line went out, or when the work began */
    bool terminal, open;
} work;

static const double SILENT = 2, PAUSE = 10, PAUSE_TERMINAL = 0.2;

void working_begin(const char *what, long all)
{
    work.what = what, work.done = 0, work.all = all, work.open = false;
    work.terminal = isatty(STDERR_FILENO);
    work.shown = clock_now();
}

/* Before the first line there is the silence of short work. */
static bool is_time(double now)
{
    double pause = work.terminal ? PAUSE_TERMINAL : PAUSE;
    return now - work.shown >= (work.open ? pause : SILENT);
}

/* On a terminal one line that is rewritten, otherwise a line now and then. */
void working_did(long more)
{
    double now = clock_now();
    work.done += more;
    if (!work.what || !is_time(now)) return;
    char of[32] = "";
    if (work.all > 0) snprintf(of, sizeof of, " of %ld", work.all);
    fprintf(stderr, "%s%s: %ld%s%s", work.terminal ? "\r" : "", work.what, work.done, of,
            work.terminal ? "\033[K" : "\n");
    work.shown = now;
    work.open = true;
}

void working_end(void)
{
    if (work.open && work.terminal) fputs("\r\033[K", stderr);
    work.what = NULL;
}
