/* The machine's own rate: the matrix library alone, on a model's weights. */
#ifndef DUET_TRAINER_BENCH_LIBRARY_H
#define DUET_TRAINER_BENCH_LIBRARY_H

#include "model/matmul.h"
#include "model/ops.h"

/* Parameters of all matrices: embedding rows are looked up, not multiplied, and do not count. */
double library_parameters(const struct dims *d);

/* GFLOP/s of the matrix library called by itself: for each weight of the model the better of a
 * block of 256 rows and one of 1024, then the mean weighted by work. Local. */
double library_rate(const struct dims *d, enum matmul_type type);
/* The same by processor time, in blocks of up to 256 rows: what a machine with other things to do
 * does not disturb. */
double library_rate_by_processor(const struct dims *d, enum matmul_type type);
/* The faster of the library's types that this run may use. *fp32, *bf16: their rates (bf16 0: not
 * tried, because the run is fp32 or the library has no such kernels here). */
enum matmul_type library_choose(const struct ops *ops, const struct dims *d, double *fp32,
                                double *bf16);
const char *library_type_name(enum matmul_type type);

#endif
