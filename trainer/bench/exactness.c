/* duet bench exactness: what the promises of equal bits cost. Each operation that is slower for
 * their sake stands beside the version that is free to choose, in turn with it:
 *
 *   products          blocks of fixed numbers of rows (P1), beside one library call of all rows
 *   weight gradients  pieces of rows added in order, beside one call over all of them
 *   norm              an exact sum, beside a float sum in 32 parts
 *   reduction         sums in rank order (P4), beside MPI's own reduce-scatter; of several ranks
 *
 * All but the last by processor time, which other work on the machine does not lengthen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/ahead.h"
#include "comm/base/memory.h"
#include "comm/reduce.h"
#include "model/precision.h"
#include "trainer/bench/bench.h"

enum { MOST_CASES = 32, LEAST_WORK = 200 * 1000 * 1000, RANDOM = 1000 };

/* One operation on some rows, both ways. */
struct exactness {
    char what[32];
    int rows;                    /* 0: none */
    struct readings exact, free; /* seconds of a call */
    struct readings cost;        /* how much longer the exact one takes, a part of the free one */
};

struct exactness_run {
    const struct world *w;
    const struct bench_options *o;
    const struct ops *ops;
    enum matmul_type type;
    struct exactness at[MOST_CASES];
    int n;
};

/* A case's readings, one round after the other. */
static struct exactness *case_of(struct exactness_run *x, const char *what, int rows)
{
    for (int i = 0; i < x->n; i++)
        if (strcmp(x->at[i].what, what) == 0 && x->at[i].rows == rows) return &x->at[i];
    INVARIANT(x->n < MOST_CASES, "more than %d cases", MOST_CASES);
    struct exactness *e = &x->at[x->n++];
    *e = (struct exactness){.rows = rows};
    snprintf(e->what, sizeof e->what, "%s", what);
    return e;
}

static void case_read(struct exactness *e, double exact, double free)
{
    readings_add(&e->exact, exact);
    readings_add(&e->free, free);
    readings_add(&e->cost, exact / free - 1);
}

/* --- products --- */

enum direction { FORWARD, INPUT, WEIGHT, DIRECTIONS };
static const char *const direction_name[] = {"forward", "input gradient", "weight gradient"};

/* A weight (N, K) with rows to multiply. */
struct product_case {
    int N, K, T;
    struct linear linear;
    void *x, *y, *w; /* real or float, as wide as either */
    float *dw;
    struct arena arena;
};

static void product_place(struct product_case *c, const struct ops *ops)
{
    size_t widest = (size_t)(c->N > c->K ? c->N : c->K);
    ops->linear_place(&c->linear, c->N, c->K, true, &c->arena);
    c->x = arena_take_n(&c->arena, widest * (size_t)c->T, sizeof(float));
    c->y = arena_take_n(&c->arena, widest * (size_t)c->T, sizeof(float));
    c->w = arena_take_n(&c->arena, (size_t)c->N * (size_t)c->K, sizeof(float));
    c->dw = arena_take_n(&c->arena, (size_t)c->N * (size_t)c->K, sizeof(float));
}

/* Ones: the time of a product does not depend on its (normal) numbers. */
static void reals_fill(const struct ops *ops, void *out, size_t n)
{
    float one[RANDOM];
    for (int i = 0; i < RANDOM; i++) one[i] = 1.0f / (float)(i + 1);
    for (size_t i = 0; i < n; i += RANDOM)
        ops->to_real((char *)out + i * ops->real_bytes, one, n - i < RANDOM ? n - i : RANDOM);
}

static void product_new(struct product_case *c, const struct ops *ops)
{
    product_place(c, ops);
    arena_back(&c->arena, &device_host, c->arena.used);
    product_place(c, ops);
    size_t widest = (size_t)(c->N > c->K ? c->N : c->K);
    reals_fill(ops, c->x, widest * (size_t)c->T);
    reals_fill(ops, c->y, widest * (size_t)c->T);
    reals_fill(ops, c->w, (size_t)c->N * (size_t)c->K);
    ops->linear_pack(&c->linear, c->w);
}

static void product_run(const struct product_case *c, const struct ops *ops, enum direction d)
{
    if (d == FORWARD)
        ops->linear_forward(c->y, true, c->x, &c->linear, NULL, c->T);
    else if (d == INPUT)
        ops->linear_backward_input(c->y, true, c->x, &c->linear, c->T);
    else
        ops->linear_backward_weight(c->dw, NULL, c->y, c->x, c->N, c->K, c->T);
}

/* Processor seconds of a call: exactly, and as one call of the library. */
static double product_exact(const struct product_case *c, const struct ops *ops, enum direction d)
{
    int calls = 1 + (int)(LEAST_WORK / (2.0 * c->N * c->K * c->T));
    product_run(c, ops, d);
    struct spent start = spent_now();
    for (int i = 0; i < calls; i++) product_run(c, ops, d);
    return spent_since(start).processor / calls;
}

static double product_free(const struct product_case *c, enum matmul_type type, enum direction d)
{
    if (d == FORWARD) return matmul_call_processor(c->T, c->N, c->K, type);
    if (d == INPUT) return matmul_call_processor(c->T, c->K, c->N, type);
    return matmul_call_processor(c->N, c->K, c->T, type);
}

/* All matrices of a layer together: its projections, the output, gate and up, down. */
static void products_read(struct exactness_run *x, enum direction d, int T)
{
    const struct bench_options *o = x->o;
    int C = o->hidden, F = o->ffn, D = C / o->heads;
    const int shape[][2] = {{(o->heads + 2 * o->kv_heads) * D, C}, {C, C}, {2 * F, C}, {C, F}};
    double exact = 0, free = 0;
    for (int i = 0; i < 4; i++) {
        struct product_case c = {.N = shape[i][0], .K = shape[i][1], .T = T};
        product_new(&c, x->ops);
        exact += product_exact(&c, x->ops, d);
        free += product_free(&c, x->type, d);
        arena_free(&c.arena);
        watchdog_feed();
    }
    case_read(case_of(x, direction_name[d], T), exact, free);
}

/* --- the norm --- */

enum { PARTS = 32 };
static float plain_square_sum(const float *restrict v, size_t n)
{
    float part[PARTS] = {0}, sum = 0;
    for (size_t i = 0; i + PARTS <= n; i += PARTS) {
        memory_ahead(v + i);
        memory_ahead(v + i + PARTS / 2);
        for (int k = 0; k < PARTS; k++) part[k] += v[i + (size_t)k] * v[i + (size_t)k];
    }
    for (int k = 0; k < PARTS; k++) sum += part[k];
    return sum;
}

static void norm_read(struct exactness_run *x, const float *v, size_t n)
{
    struct exact_sum sum = {0};
    struct spent start = spent_now();
    x->ops->square_sum(&sum, v, n);
    double exact = spent_since(start).processor;
    start = spent_now();
    float plain = plain_square_sum(v, n);
    double free = spent_since(start).processor;
    INVARIANT(plain > 0 && exact_value(&sum) > 0, "a sum of squares that is 0");
    case_read(case_of(x, "norm", 0), exact, free);
}

/* --- the reduction --- */

struct summed {
    size_t n, *count, *offset; /* floats; of each rank */
    float *in, *out, *scratch;
    struct reduce *r;
};

static double slowest(const struct world *w, double seconds)
{
    MPI_Request request;
    double all;
    MPI_OK(MPI_Iallreduce(&seconds, &all, 1, MPI_DOUBLE, MPI_MAX, w->comm, &request));
    world_wait(&request, 1);
    watchdog_feed();
    return all;
}

/* Equal slices, so that MPI can do the same work in one call. */
static void summed_new(struct summed *s, const struct world *w, const float *v, size_t n)
{
    size_t R = (size_t)w->size;
    struct reduce_form form = {
        .members = w->size, .me = w->rank, .inner = 1, .path = REDUCE_FLAT, .wire = CODEC_FP32};
    form.map = reduce_map_of(&form);
    *s = (struct summed){.n = n / R * R};
    s->count = memory_take(R, sizeof *s->count, "slices");
    s->offset = memory_take(R, sizeof *s->offset, "slices");
    s->in = memory_take(s->n, sizeof *s->in, "an array");
    s->out = memory_take(s->n / R, sizeof *s->out, "a slice");
    s->scratch = memory_take(reduce_scratch(&form, s->n), sizeof *s->scratch, "sums");
    memcpy(s->in, v, s->n * sizeof *v);
    for (size_t i = 0; i < R; i++) s->count[i] = s->n / R, s->offset[i] = s->n / R * i;
    s->r = reduce_new(&transport_mpi, w->comm, &form, 1);
}

static void summed_free(struct summed *s)
{
    reduce_free(s->r);
    free(s->count);
    free(s->offset);
    free(s->in);
    free(s->out);
    free(s->scratch);
}

/* By the clock, the slowest rank's: who waits for a message uses the processor as well. */
static void reduction_read(struct exactness_run *x, struct summed *s)
{
    const struct world *w = x->w;
    struct reduce_job job = {
        .out = s->out, .in = s->in, .count = s->count, .offset = s->offset, .scratch = s->scratch};
    MPI_Request request;
    slowest(w, 0); /* together */
    double start = clock_now();
    reduce_wait(s->r, reduce_start(s->r, &job));
    double exact = slowest(w, clock_now() - start);
    start = clock_now();
    MPI_OK(MPI_Ireduce_scatter_block(s->in, s->out, (int)s->count[0], MPI_FLOAT, MPI_SUM, w->comm,
                                     &request));
    world_wait(&request, 1);
    double free = slowest(w, clock_now() - start);
    case_read(case_of(x, "reduction", 0), exact, free);
}

/* --- telling --- */

static json_t *case_json(const struct exactness *e)
{
    return json_pack("{s:s, s:i, s:o, s:o, s:o}", "what", e->what, "rows", e->rows, "exact_seconds",
                     readings_json(&e->exact), "free_seconds", readings_json(&e->free), "cost",
                     readings_json(&e->cost));
}

static void case_print(const struct exactness *e)
{
    char rows[16] = "";
    if (e->rows > 0) snprintf(rows, sizeof rows, "%d", e->rows);
    printf("%-16s %6s %12.3f %12.3f %8.1f %% %8.1f to %.1f %%\n", e->what, rows,
           1e3 * readings_median(&e->exact), 1e3 * readings_median(&e->free),
           100 * readings_median(&e->cost), 100 * e->cost.at[0], 100 * e->cost.at[e->cost.n - 1]);
}

/* How busy the machine was belongs to the figures, in both forms. */
static void tell(const struct exactness_run *x, struct busy_ticks ticks, struct spent spent)
{
    struct busy busy = busy_since(ticks);
    json_t *machine = json_pack("{s:i, s:s}", "ranks", x->w->size, "kernels", x->ops->name);
    json_t *results = json_array();
    busy_put(machine, &busy, spent.processor / spent.seconds);
    for (int i = 0; i < x->n; i++) json_array_append_new(results, case_json(&x->at[i]));
    json_t *out = json_pack("{s:s, s:i, s:i, s:i, s:i, s:o, s:o}", "bench", x->o->args[0], "steps",
                            x->o->steps, "hidden", x->o->hidden, "ffn", x->o->ffn, "mib", x->o->mib,
                            "machine", machine, "results", results);
    if (!x->o->text) {
        bench_print(x->w, out);
        return;
    }
    if (x->w->rank == 0) {
        printf("kernels %s%s; milliseconds, medians of %d\n%-16s %6s %12s %12s %10s %10s\n",
               x->ops->name, busy_is(&busy, spent.processor / spent.seconds) ? ", busy" : "",
               x->o->steps, "", "rows", "exact", "free", "cost", "spread");
        for (int i = 0; i < x->n; i++) case_print(&x->at[i]);
    }
    json_decref(out);
}

/* Where bf16 has no instructions it is widened on the way into the library, which is not for
 * exactness' sake: fp32 then. */
static const struct ops *kernels_here(enum matmul_type *type)
{
    bool native = matmul_type_of_bf16() == MATMUL_BF16;
    *type = native ? MATMUL_BF16 : MATMUL_F32;
    return ops_find(native ? PRECISION_BF16 : PRECISION_FP32, NULL);
}

/* All cases once a step, so that what disturbs the machine disturbs each of them. */
void bench_exactness(const struct bench_options *o, const struct world *w)
{
    static const int rows[] = {1, 8, 64, 256, 1024};
    struct exactness_run *x = memory_take(1, sizeof *x, "a benchmark");
    struct busy_ticks ticks = busy_ticks_now();
    struct spent start = spent_now();
    size_t n = (size_t)o->mib << 18;
    float *v = memory_take(n, sizeof *v, "an array");
    struct summed s = {0};
    x->w = w, x->o = o;
    x->ops = kernels_here(&x->type);
    for (size_t i = 0; i < n; i++) v[i] = 1e-3f / (float)((i * 7 + 11) % RANDOM + 1);
    if (w->size > 1) summed_new(&s, w, v, n);
    for (int step = 0; step < o->steps; step++) {
        for (int i = 0; i < 5; i++) products_read(x, FORWARD, rows[i]);
        products_read(x, INPUT, 1024);
        products_read(x, WEIGHT, 1024);
        norm_read(x, v, n);
        if (w->size > 1) reduction_read(x, &s);
    }
    tell(x, ticks, spent_since(start));
    if (w->size > 1) summed_free(&s);
    free(v);
    free(x);
}
