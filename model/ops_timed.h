/* A table of operations that counts and times the rows of another: calls, seconds, the work, and
 * the seconds that the machine's limits would allow for it: the larger of operations over their
 * rate and bytes over the memory's, the roofline of Williams, Waterman and Patterson (CACM 52(4),
 * 2009).
 *
 * It stands in the other table's place, so that whoever does not ask for it pays nothing. */
#ifndef DUET_MODEL_OPS_TIMED_H
#define DUET_MODEL_OPS_TIMED_H

#include "model/ops.h"
#include "model/ops_rows.h"

#define OPS_ROW_NUMBER(row) OPS_ROW_##row,
enum ops_row { OPS_ROWS(OPS_ROW_NUMBER) OPS_ROW_COUNT };
#undef OPS_ROW_NUMBER

/* One row since ops_timed_reset. */
struct ops_tally {
    unsigned long calls;
    double seconds;     /* by the clock */
    double processor;   /* of the process: what other work on the machine does not lengthen */
    double flop, bytes; /* operations of products; operands read and written once each */
    double limit;       /* seconds, a sum over calls; 0 where no limit was given */
    double by_flop;     /* the part of it of calls that are limited by operations */
};

/* The table `of`, timed; the static table is this process's, one at a time, for one thread. `of` is
 * kept. Local. */
const struct ops *ops_timed(const struct ops *of);

/* Between start and stop calls count; outside they only go through. flops, bytes: what the machine
 * does in a second of a core; 0: unknown. Stop returns whether it was on. Local. */
void ops_timed_start(double flops, double bytes);
bool ops_timed_stop(void);
void ops_timed_reset(void);

const struct ops_tally *ops_timed_tally(enum ops_row row);
const char *ops_timed_name(enum ops_row row);
/* All rows together. */
struct ops_tally ops_timed_sum(void);

#endif
