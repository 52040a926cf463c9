#include "trainer/bench/profile.h"

#include <stdio.h>
#include <stdlib.h>

#include "comm/base/ahead.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/watch.h"
#include "model/ops_timed.h"
#include "trainer/bench/library.h"
#include "trainer/bench/readings.h"

enum { TRIES = 7 };
static const size_t TRIAD = (size_t)8 << 20; /* floats an array: three of 32 MiB */

static void triad(float *restrict c, const float *restrict a, const float *restrict b)
{
    enum { LINE = 16 };
    for (size_t i = 0; i < TRIAD; i += LINE) {
        memory_ahead(a + i);
        memory_ahead(b + i);
        memory_ahead(c + i);
        for (size_t k = i; k < i + LINE; k++) c[k] = a[k] + 3 * b[k];
    }
}

/* A triad over arrays that no cache of a core holds. */
double profile_memory_rate(void)
{
    struct readings r = {0};
    float *a = memory_take(3 * TRIAD, sizeof *a, "three arrays");
    float *restrict b = a + TRIAD, *restrict c = b + TRIAD;
    for (size_t i = 0; i < TRIAD; i++) a[i] = 1, b[i] = 2, c[i] = 0;
    for (int k = 0; k < TRIES; k++) {
        struct spent start = spent_now();
        triad(c, a, b);
        readings_add(&r, 3e-9 * (double)(TRIAD * sizeof *a) / spent_since(start).processor);
    }
    double sink = (double)c[TRIAD - 1]; /* so that the loop is not left out */
    free(a);
    return sink > 0 ? readings_median(&r) : 0;
}

void profile_open(struct profile *p, const struct world *w, const struct dims *d,
                  enum matmul_type type)
{
    *p = (struct profile){.library = library_type_name(type)};
    MPI_Request request;
    MPI_OK(MPI_Ibarrier(w->comm, &request));
    world_wait(&request, 1);
    p->gbs = profile_memory_rate();
    p->gflops = library_rate_by_processor(d, type);
    watchdog_feed();
    ops_timed_reset();
}

void profile_begin(const struct profile *p)
{
    ops_timed_start(1e9 * p->gflops, 1e9 * p->gbs);
}

void profile_end(struct profile *p, struct spent spent)
{
    ops_timed_stop();
    p->all.seconds += spent.seconds;
    p->all.processor += spent.processor;
    p->n++;
}

/* --- telling --- */

static int longer_first(const void *a, const void *b)
{
    double x = ops_timed_tally(*(const enum ops_row *)a)->processor;
    double y = ops_timed_tally(*(const enum ops_row *)b)->processor;
    return (x < y) - (x > y);
}

/* A step's worth of a row. Limited by whatever the larger part of its limit comes from. */
static json_t *row_json(const char *name, const struct ops_tally *t, const struct profile *p)
{
    double n = p->n;
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s}", "op", name, "calls",
                     (double)t->calls / n, "seconds", t->seconds / n, "processor_seconds",
                     t->processor / n, "share", t->processor / p->all.processor, "gflop",
                     1e-9 * t->flop / n, "gb", 1e-9 * t->bytes / n, "limit_seconds", t->limit / n,
                     "share_of_limit", t->processor > 0 ? t->limit / t->processor : 0, "limited_by",
                     t->by_flop > t->limit / 2 ? "products" : "memory");
}

/* Rows that were called, the longest first. */
json_t *profile_json(const struct profile *p)
{
    enum ops_row order[OPS_ROW_COUNT] = {0};
    int n = 0;
    json_t *rows = json_array();
    struct ops_tally sum = ops_timed_sum();
    for (int i = 0; i < OPS_ROW_COUNT; i++)
        if (ops_timed_tally((enum ops_row)i)->calls > 0) order[n++] = (enum ops_row)i;
    qsort(order, (size_t)n, sizeof *order, longer_first);
    for (int i = 0; i < n; i++)
        json_array_append_new(rows,
                              row_json(ops_timed_name(order[i]), ops_timed_tally(order[i]), p));
    return json_pack(
        "{s:i, s:f, s:f, s:s, s:f, s:f, s:f, s:f, s:o, s:o}", "steps", p->n, "seconds",
        p->all.seconds / p->n, "processor_seconds", p->all.processor / p->n, "library_type",
        p->library, "library_gflop_per_second", p->gflops, "memory_gb_per_second", p->gbs,
        "outside_seconds", (p->all.seconds - sum.seconds) / p->n, "outside_processor_seconds",
        (p->all.processor - sum.processor) / p->n, "all", row_json("all", &sum, p), "rows", rows);
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void print_row(const json_t *row)
{
    printf("%-24s %8.0f %10.4f %10.4f %6.1f %% %9.2f %8.3f %10.4f %6.1f %% %s\n",
           json_string_value(json_object_get(row, "op")), number(row, "calls"),
           number(row, "seconds"), number(row, "processor_seconds"), 100 * number(row, "share"),
           number(row, "gflop"), number(row, "gb"), number(row, "limit_seconds"),
           100 * number(row, "share_of_limit"),
           json_string_value(json_object_get(row, "limited_by")));
}

/* From the JSON, so that table and file say the same. */
void profile_print(const json_t *profile)
{
    const json_t *rows = json_object_get(profile, "rows");
    double outside = number(profile, "outside_processor_seconds");
    double all = number(profile, "processor_seconds");
    printf("one step: %.4f s, %.4f s of processor time, means of %.0f\n"
           "limits: %.1f GFLOP (oneDNN, %s) and %.1f GB in a second of a core\n"
           "%-24s %8s %10s %10s %8s %9s %8s %10s %8s %s\n",
           number(profile, "seconds"), all, number(profile, "steps"),
           number(profile, "library_gflop_per_second"),
           json_string_value(json_object_get(profile, "library_type")),
           number(profile, "memory_gb_per_second"), "operation", "calls", "seconds", "processor",
           "of step", "GFLOP", "GB", "limit, s", "of limit", "limited by");
    for (size_t i = 0; i < json_array_size(rows); i++) print_row(json_array_get(rows, i));
    print_row(json_object_get(profile, "all"));
    printf("%-24s %8s %10.4f %10.4f %6.1f %% (messages, waiting, schedule, loss)\n", "outside", "",
           number(profile, "outside_seconds"), outside, 100 * outside / all);
}
