/* What the benchmarks share: the model they run, the machine's own rate, and how figures with a spread are kept.
 *
 * A figure stands beside its limit, both measured in one run and in turn, so that a busy machine slows both
 * and the fraction stays. */
#ifndef DUET_TRAINER_BENCH_BENCH_H
#define DUET_TRAINER_BENCH_BENCH_H

#include <jansson.h>
#include "comm/base/log.h"
#include "model/matmul.h"
#include "trainer/config/options.h"
#include "trainer/run/run.h"

enum { MOST_SHARES = 64 };
struct bench_options {
    int layers, hidden, ffn, heads, kv_heads;
    const char *precision;
    int tokens, sequence;               /* train: rows a step, rows of a sequence */
    int slots, samples, prompt, answer; /* decode: sequences at once, of a question; their tokens */
    int steps;
    struct option_list sets;
    const char *what;

    /* pipeline */
    const char *stages, *schedules; /* lists "2,4,8,16", "1f1b,dualpipe"; schedules NULL: all */
    int micro_batches;              /* 0: five for every two stages */
    int chunk_layers;
    double pass_ms; /* computing of a stage's F, and of its B and its W */
    double
        exchange; /* how long an F's or B's exchanges take, in its computing; 0: there are none */
    int members;  /* ranks that exchange, at each stage */
    const char *shares; /* relative costs of equal parts of the model, "2,1,1,3"; NULL: all alike */
    double share[MOST_SHARES];
    int n_shares;
    bool text;

    int mib, node_ranks; /* reduce: of the array; ranks a node (0: as they are) */
    const char *ways;    /* reduce: a list, "flat,nodes-int8"; NULL: all */

    const char *cluster; /* network: file that says what is expected; NULL: nothing is */
};

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

/* Seconds on the clock, and of the processor in this process: when these are fewer, the machine had other things to do. */
struct spent {
    double seconds, processor;
};
struct spent spent_now(void);
struct spent spent_since(struct spent start);

/* Parameters of all matrices: embedding rows are looked up, not multiplied, and do not count. */
double bench_matrix_parameters(const struct dims *d);
/* What ran, under "model" and "machine". */
json_t *bench_json(const struct bench_options *o, const struct run *r);
/* The object on one line of stdout, on rank 0; takes the reference. */
void bench_print(const struct world *w, json_t *o);

/* GFLOP/s of the matrix library called by itself: for each weight of the model the better of a block of 256 rows and one of
 * 1024, then the mean weighted by work. Local. */
double library_rate(const struct dims *d, enum matmul_type type);
/* The same by processor time, in blocks of up to 256 rows: what a machine with other things to do does not disturb. */
double library_rate_by_processor(const struct dims *d, enum matmul_type type);
/* The faster of the library's types that this run may use. *fp32, *bf16: their rates (bf16 0: not tried, because the run is fp32 or the
 * library has no such kernels here). */
enum matmul_type library_choose(const struct ops *ops, const struct dims *d, double *fp32,
                                double *bf16);
const char *library_type_name(enum matmul_type type);

/* Collective over the run's world; each prints its JSON. */
void bench_train(const struct bench_options *o, struct run *r);
void bench_decode(const struct bench_options *o, struct run *r);

/* Without model or run: collective over w. */
/* Fills o->share. */
void bench_pipeline_check(struct bench_options *o, int ranks, struct problems *p);
void bench_pipeline(const struct bench_options *o, const struct world *w);
void bench_reduce_check(const struct bench_options *o, const struct world *w, struct problems *p);
void bench_reduce(const struct bench_options *o, const struct world *w);
void bench_network_check(const struct bench_options *o, const struct world *w, struct problems *p);
void bench_network(const struct bench_options *o, const struct world *w);

/* What each needs of a run. */
struct extent bench_train_extent(const struct bench_options *o);
struct extent bench_decode_extent(const struct bench_options *o);

#endif
