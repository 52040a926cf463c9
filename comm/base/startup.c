#define _DEFAULT_SOURCE /* CLOCK_BOOTTIME */
#include "comm/base/startup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "comm/base/log.h"

static const char *const NAME[STARTUP_PARTS] = {
    [STARTUP_MPI] = "MPI",         [STARTUP_RECIPE] = "recipe",
    [STARTUP_FOLDER] = "folder",   [STARTUP_DATA] = "data",
    [STARTUP_KERNELS] = "kernels", [STARTUP_CONNECTIONS] = "connections",
    [STARTUP_MEMORY] = "memory",   [STARTUP_PLANS] = "plans",
    [STARTUP_WEIGHTS] = "weights",
};

static struct {
    double seconds[STARTUP_PARTS];
    double since; /* of the part that is entered; 0: nothing was entered yet */
    enum startup_part part;
    bool said;
} startup;

/* The age of this process; 0 where the system does not say. Names of programs may have brackets and
 * spaces in them: the last bracket ends it. */
static double process_age(void)
{
    char line[1024] = "";
    unsigned long long ticks = 0;
    struct timespec now;
    FILE *f = fopen("/proc/self/stat", "r");
    if (!f) return 0;
    const char *behind = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
    fclose(f);
    if (!behind ||
        sscanf(behind,
               ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks) != 1 ||
        clock_gettime(CLOCK_BOOTTIME, &now) != 0)
        return 0;
    const double began = (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec - began;
}

enum startup_part startup_enter(enum startup_part part)
{
    const enum startup_part former = startup.part;
    const double now = clock_now();
    if (startup.since == 0) startup.since = now - process_age();
    startup.seconds[former] += now - startup.since;
    startup.since = now;
    startup.part = part;
    return former;
}

/* Once: later calls, as of a second phase's first step, say nothing. */
void startup_say(void)
{
    char text[400] = "";
    double all = 0;
    size_t n = 0;
    if (startup.said) return;
    startup.said = true;
    startup_enter(startup.part);
    for (int i = 0; i < STARTUP_PARTS; i++) {
        all += startup.seconds[i];
        n += (size_t)snprintf(text + n, sizeof text - n, "%s %s %.1f", i > 0 ? "," : "", NAME[i],
                              startup.seconds[i]);
    }
    log_info("started in %.1f s:%s", all, text);
}
