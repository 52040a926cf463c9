/* Figures with their spread, and the two clocks. */
#ifndef DUET_TRAINER_BENCH_READINGS_H
#define DUET_TRAINER_BENCH_READINGS_H

#include <jansson.h>

/* One measurement repeated. */
enum { MOST_STEPS = 1000 };
struct readings {
    double at[MOST_STEPS];
    int n;
};
void readings_add(struct readings *r, double value);
double readings_median(const struct readings *r);
/* {"min", "median", "max"}, a new reference. */
json_t *readings_json(const struct readings *r);

/* Seconds on the clock, and of the processor in this process: when these are fewer, the machine had
 * other things to do. */
struct spent {
    double seconds, processor;
};
struct spent spent_now(void);
struct spent spent_since(struct spent start);

#endif
