#include "trainer/bench/busy.h"

#include <stdio.h>
#include <unistd.h>

/* "cpu  user nice system idle iowait irq softirq steal ...": guests' time is in user and nice. */
struct busy_ticks busy_ticks_parse(const char *stat)
{
    unsigned long long t[8] = {0};
    struct busy_ticks ticks = {0, 0};
    if (sscanf(stat, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
               &t[4], &t[5], &t[6], &t[7]) < 8)
        return ticks;
    for (int i = 0; i < 8; i++) ticks.all += t[i];
    ticks.stolen = t[7];
    return ticks;
}

static bool first_line(char *line, int n, const char *path)
{
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(line, n, f);
    if (f) fclose(f);
    return ok;
}

struct busy_ticks busy_ticks_now(void)
{
    char line[512];
    return busy_ticks_parse(first_line(line, sizeof line, "/proc/stat") ? line : "");
}

struct busy busy_since(struct busy_ticks start)
{
    char line[128];
    struct busy b = {.cores = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    struct busy_ticks now = busy_ticks_now();
    unsigned long long all = now.all - start.all;
    if (all > 0) b.steal = (double)(now.stolen - start.stolen) / (double)all;
    if (first_line(line, sizeof line, "/proc/loadavg")) sscanf(line, "%lf", &b.load);
    return b;
}

bool busy_is(const struct busy *b, double share)
{
    return share < BUSY_SHARE || b->load > b->cores + BUSY_WAITING || b->steal > BUSY_STEAL;
}

void busy_put(json_t *machine, const struct busy *b, double share)
{
    json_object_set_new(machine, "cores", json_integer(b->cores));
    json_object_set_new(machine, "load_average", json_real(b->load));
    json_object_set_new(machine, "steal_share", json_real(b->steal));
    json_object_set_new(machine, "busy", json_boolean(busy_is(b, share)));
}
