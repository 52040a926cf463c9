/* Where the time of a step goes, by operation, beside what the machine's limits would allow for it
 * (duet bench train|decode --profile). No tool of the system is needed: the table of operations
 * counts and times its rows (model/ops_timed.h). */
#ifndef DUET_TRAINER_BENCH_PROFILE_H
#define DUET_TRAINER_BENCH_PROFILE_H

#include <jansson.h>
#include "comm/world.h"
#include "model/matmul.h"
#include "model/ops.h"
#include "trainer/bench/readings.h"

/* What is profiled between begin and end, on this rank; n of them so far. */
struct profile {
    /* limits of a core: the matrix library's rate; bytes, 1e9; both in a second of its own time */
    double gflops, gbs;
    const char *library;
    struct spent all; /* of what was profiled */
    int n;
};

/* GB that this process reads and writes in a second of processor time, in arrays larger than
 * caches: c = a + s b, the triad of STREAM, median of several. Local. */
double profile_memory_rate(void);
/* The limits, measured by all ranks at once. Collective over w. */
void profile_open(struct profile *p, const struct world *w, const struct dims *d,
                  enum matmul_type type);
/* Around what is to be profiled, whose times the caller has read. Local. */
void profile_begin(const struct profile *p);
void profile_end(struct profile *p, struct spent spent);
/* {"steps", "seconds", ..., "rows": [...]}, figures of one step, rows by falling time; what is
 * outside the rows (messages, waiting, schedule, loss) is "outside_seconds". share_of_limit is by
 * processor time. A new reference. */
json_t *profile_json(const struct profile *p);
/* As a table on standard output. */
void profile_print(const json_t *profile);

#endif
