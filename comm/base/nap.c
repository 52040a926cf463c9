/* Waiting without burning the core; the figures are in the header. */
#include "comm/base/nap.h"

#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include "comm/base/log.h"

static const double yield_s = 15e-6, shortest_s = 20e-6, longer_s = 200e-6, longest_s = 1e-3;

struct nap nap_begin(void)
{
    return (struct nap){.since = clock_now()};
}

/* Yields first, then sleeps longer the longer it has waited (1/16, later 1/100 of it): a short wait
 * costs no latency, a long one no core. */
bool nap_take(struct nap *n)
{
    double waited = clock_now() - n->since;
    if (waited < yield_s && !n->patient) {
        sched_yield();
        return false;
    }
    double sleep_s = waited / 16, least_s = n->patient ? longer_s / 2 : shortest_s;
    if (sleep_s < least_s) sleep_s = least_s;
    if (sleep_s > longer_s) sleep_s = waited / 100 > longer_s ? waited / 100 : longer_s;
    if (sleep_s > longest_s) sleep_s = longest_s;
    struct timespec t = {.tv_nsec = (long)(sleep_s * 1e9)};
    nanosleep(&t, &t);
    bool first = !n->slept;
    n->slept = true;
    return first;
}

static void set_slack(unsigned long ns)
{
    prctl(PR_SET_TIMERSLACK, ns, 0ul, 0ul, 0ul);
}

void nap_sharpen(void)
{
    set_slack(1000);
}

void nap_blunt(void)
{
    set_slack(2000000);
}
