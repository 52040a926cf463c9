/* Whether the machine had other things to do while something was measured: figures of a busy
 * machine are kept, but say so. */
#ifndef DUET_TRAINER_BENCH_BUSY_H
#define DUET_TRAINER_BENCH_BUSY_H

#include <jansson.h>
#include <stdbool.h>

/* Less of a core than this for a rank that computes all the time, more processes that want to run
 * than cores and this, or a larger part of the time taken by the hypervisor: busy. */
#define BUSY_SHARE   0.9
#define BUSY_WAITING 1.0
#define BUSY_STEAL   0.02

struct busy {
    double load;  /* processes that run or want to, mean of a minute (/proc/loadavg) */
    double steal; /* part of all cores' time since busy_since that the hypervisor took */
    int cores;    /* of the machine */
};
/* Ticks of /proc/stat: of all cores, and stolen ones of them; zeros where there is no such file. */
struct busy_ticks {
    unsigned long long all, stolen;
};
struct busy_ticks busy_ticks_parse(const char *stat);
struct busy_ticks busy_ticks_now(void);
/* Local. */
struct busy busy_since(struct busy_ticks start);

/* share: processor seconds that a rank had of a second. Pure. */
bool busy_is(const struct busy *b, double share);
/* Members "cores", "load_average", "steal_share" and "busy" into `machine`. */
void busy_put(json_t *machine, const struct busy *b, double share);

#endif
