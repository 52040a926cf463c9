/* What the benchmarks share: their options, what they need of a run, and the JSON around their
 * figures.
 *
 * A figure stands beside its limit, both measured in one run and in turn, so that a busy machine
 * slows both and the fraction stays. */
#ifndef DUET_TRAINER_BENCH_BENCH_H
#define DUET_TRAINER_BENCH_BENCH_H

#include <jansson.h>
#include "comm/base/log.h"
#include "trainer/config/options.h"
#include "trainer/bench/busy.h"
#include "trainer/bench/library.h"
#include "trainer/bench/profile.h"
#include "trainer/bench/readings.h"
#include "trainer/run/run.h"

enum { MOST_SHARES = 64 };
struct bench_options {
    const char *args[2]; /* the benchmark; MODEL, NULL: a synthetic one */
    /* of a synthetic model; not given: 0, kv_heads -1, precision NULL */
    int layers, hidden, ffn, heads, kv_heads;
    const char *precision;
    int tokens, sequence;               /* train: rows a step, rows of a sequence */
    int slots, samples, prompt, answer; /* decode: sequences at once, of a question; their tokens */
    int steps;
    bool profile; /* train, decode: times by operation */
    struct option_list sets;

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

    int mib, node_ranks; /* reduce, exactness: of the array; ranks a node (0: as they are) */
    const char *ways;    /* reduce: a list, "flat,nodes-int8"; NULL: all */

    const char *cluster; /* network: file that says what is expected; NULL: nothing is */
};

/* What ran, under "model" and "machine"; how busy that was since `start`, when a rank had `share`
 * of a core. */
json_t *bench_json(const struct bench_options *o, const struct run *r, struct busy_ticks start,
                   double share);
/* The object on one line of stdout, on rank 0; takes the reference. */
void bench_print(const struct world *w, json_t *o);
/* The same for train and decode: with a profile under "profile", or its table alone (--text). */
void bench_print_profiled(const struct bench_options *o, const struct world *w,
                          const struct profile *p, json_t *out);

/* Collective over the run's world; each prints its JSON. */
void bench_train(const struct bench_options *o, struct run *r);
void bench_decode(const struct bench_options *o, struct run *r);

/* Without model or run: collective over w. */
/* Fills o->share. */
void bench_pipeline_check(struct bench_options *o, int ranks, struct problems *p);
void bench_pipeline(const struct bench_options *o, const struct world *w);
void bench_reduce_check(const struct bench_options *o, const struct world *w, struct problems *p);
void bench_reduce(const struct bench_options *o, const struct world *w);
void bench_exactness(const struct bench_options *o, const struct world *w);
void bench_network_check(const struct bench_options *o, const struct world *w, struct problems *p);
void bench_network(const struct bench_options *o, const struct world *w);

/* What each needs of a run. */
struct extent bench_train_extent(const struct bench_options *o);
struct extent bench_decode_extent(const struct bench_options *o);

#endif
