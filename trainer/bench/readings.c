#include "trainer/bench/readings.h"

#include <time.h>

#include "comm/base/die.h"
#include "comm/base/log.h"

void readings_add(struct readings *r, double value)
{
    INVARIANT(r->n < MOST_STEPS, "%d readings", r->n);
    int i = r->n++;
    for (; i > 0 && r->at[i - 1] > value; i--) r->at[i] = r->at[i - 1]; /* kept in order */
    r->at[i] = value;
}

double readings_median(const struct readings *r)
{
    return (r->at[(r->n - 1) / 2] + r->at[r->n / 2]) / 2;
}

struct spent spent_now(void)
{
    struct timespec t;
    SYS_OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0, "use Linux",
           "no clock of processor time");
    return (struct spent){clock_now(), (double)t.tv_sec + 1e-9 * (double)t.tv_nsec};
}

struct spent spent_since(struct spent start)
{
    struct spent now = spent_now();
    return (struct spent){now.seconds - start.seconds, now.processor - start.processor};
}

json_t *readings_json(const struct readings *r)
{
    return json_pack("{s:f, s:f, s:f}", "min", r->at[0], "median", readings_median(r), "max",
                     r->at[r->n - 1]);
}
