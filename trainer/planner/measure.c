/* The least of several runs is what an operation takes: others of the machine only make it longer.
 */

#include "trainer/planner/measure.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/exact.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "model/chunk.h"
#include "model/part.h"
#include "model/matmul.h"

enum { TRIES = 5 };
static const double ENOUGH = 0.4; /* seconds for one chunk */
static const double AT_MOST = 5;  /* a larger chunk gets fewer runs, at least two */

/* One chunk with one micro-batch on it. */
struct measuring {
    const struct measure_job *job;
    struct param_list params;
    struct chunk *chunk;
    struct arena arena;
    void *weights, *in, *out, *back;
    float *grad, *more, *logp, *entropy, *dlogp;
    int *token, *pos, *start, *target;
    struct rows rows;
    struct head_io head;
};

static void no_loss(void *ctx, const struct head_io *io, int from, int to)
{
    (void)ctx;
    for (int t = from; t < to; t++) io->dlogp[t] = -1e-3f;
}

/* ---- placing ---- */

/* Laid out twice, for measuring and for placing, as a training rank does. */
static void bench_place(struct measuring *b, struct chunk_span span)
{
    const struct measure_job *j = b->job;
    struct arena *a = &b->arena;
    size_t T = (size_t)j->room, stream = T * (size_t)j->dims.C;
    b->weights = arena_take_n(a, b->params.total, j->ops->real_bytes);
    b->grad = arena_take_n(a, b->params.total, sizeof(float));
    b->more = arena_take_n(a, b->params.total, sizeof(float));
    b->in = arena_take_n(a, stream, j->ops->real_bytes);
    b->out = arena_take_n(a, stream, j->ops->real_bytes);
    b->back = arena_take_n(a, stream, j->ops->real_bytes);
    int **const ints[] = {&b->token, &b->pos, &b->start, &b->target};
    for (int i = 0; i < 4; i++) *ints[i] = arena_take_n(a, T + 1, sizeof(int));
    float **const floats[] = {&b->logp, &b->entropy, &b->dlogp};
    for (int i = 0; i < 3; i++) *floats[i] = arena_take_n(a, T, sizeof(float));
    chunk_free(b->chunk);
    b->chunk = chunk_new(&(struct chunk_setup){.dims = &j->dims,
                                               .span = span,
                                               .ops = j->ops,
                                               .weights = b->weights,
                                               .T_max = j->room,
                                               .slots = 1,
                                               .training = true},
                         a);
    chunk_place_slots(&b->chunk, 1, a);
}

static void fill_reals(const struct measuring *b, void *to, size_t n, double scale)
{
    const struct ops *ops = b->job->ops;
    for (size_t i = 0; i < n; i++) {
        float v = (float)(scale * ((double)(i * 2654435761u % 1024) / 512.0 - 1));
        ops->to_real((char *)to + i * ops->real_bytes, &v, 1);
    }
}

/* Small normal numbers: denormals and overflow would change the times. */
static void bench_fill(struct measuring *b)
{
    const struct measure_job *j = b->job;
    size_t stream = (size_t)j->room * (size_t)j->dims.C;
    fill_reals(b, b->weights, b->params.total, 0.03);
    fill_reals(b, b->in, stream, 1);
    fill_reals(b, b->back, stream, 1e-3);
    int sequences = 0;
    for (int t = 0; t < j->rows; t++) {
        b->pos[t] = t % j->context;
        if (b->pos[t] == 0) b->start[sequences++] = t;
        b->token[t] = t * 31 % j->dims.V;
        b->target[t] = (t * 17 + 1) % j->dims.V;
    }
    b->start[sequences] = j->rows;
    b->rows =
        (struct rows){.T = j->rows, .seg = {sequences, b->start}, .token = b->token, .pos = b->pos};
    b->head = (struct head_io){.target = b->target,
                               .logp = b->logp,
                               .entropy = b->entropy,
                               .dlogp = b->dlogp,
                               .inv_temperature = 1,
                               .loss = no_loss,
                               .learns = true};
    chunk_repack(b->chunk);
}

/* ---- timing ---- */

struct measured_times {
    double f, b, w;
    double weights, hold; /* what the weights cost once a step, without their update */
};

/* The device's clock, so that passes on an accelerator are timed when they are done. */
static double time_pass(struct measuring *b, enum pass_kind kind, struct chunk_span span)
{
    bool forward = kind == PASS_F;
    struct pass p = {.kind = kind,
                     .chunk = b->chunk,
                     .rows = &b->rows,
                     .in = forward     ? b->in
                           : span.head ? NULL
                                       : b->back,
                     .out = b->out,
                     .grad = b->grad,
                     .head = span.head ? &b->head : NULL};
    double start = device_clock(b->arena.device);
    pass_run(&p);
    return device_clock(b->arena.device) - start;
}

/* Gradients are cleared, those of two directions added, new weights packed. */
static double time_hold(struct measuring *b)
{
    double start = clock_now();
    memset(b->grad, 0, b->params.total * sizeof(float));
    for (size_t i = 0; i < b->params.total; i++) b->grad[i] += b->more[i];
    chunk_repack(b->chunk);
    return clock_now() - start;
}

static void least(double *best, double t, int i)
{
    if (i == 1 || t < *best) *best = t; /* the first run warms up */
}

/* The least of several tries: other processes only make a pass slower. */
static struct measured_times bench_chunk(const struct measure_job *job, struct chunk_span span)
{
    struct measuring b = {.job = job};
    struct measured_times t = {0};
    param_list_make(&b.params, &job->dims, span);
    t.weights = (double)b.params.total;
    bench_place(&b, span);
    arena_back(&b.arena, &device_host, b.arena.used);
    bench_place(&b, span);
    bench_fill(&b);
    double start = clock_now();
    for (int i = 0; i < 2 || clock_now() - start < (i <= TRIES ? AT_MOST : ENOUGH); i++) {
        least(&t.f, time_pass(&b, PASS_F, span), i);
        least(&t.b, time_pass(&b, PASS_B, span), i);
        least(&t.w, time_pass(&b, PASS_W, span), i);
        least(&t.hold, time_hold(&b), i);
    }
    chunk_free(b.chunk);
    param_list_free(&b.params);
    arena_free(&b.arena);
    return t;
}

/* Milliseconds of a million parameters: their part of the gradient's norm, then AdamW. */
static double bench_update(const struct ops *ops)
{
    enum { N = 1 << 19 };
    float *all = memory_take(4 * (size_t)N, sizeof *all, "the measuring of an update");
    void *real = memory_take(N, ops->real_bytes, "the measuring of an update");
    struct adamw h = {.lr = 1e-3f,
                      .beta1 = 0.9f,
                      .beta2 = 0.95f,
                      .eps = 1e-8f,
                      .grad_scale = 1,
                      .correction1 = 0.1f,
                      .correction2 = 0.05f};
    double best = 0;
    for (int i = 0; i <= TRIES; i++) {
        double start = clock_now();
        struct exact_sum norm = {0};
        for (int k = 0; k < N; k++) exact_add(&norm, (double)all[k] * (double)all[k]);
        ops->adamw_step(real, all, all + N, all + 2 * N, all + 3 * N, N, &h);
        least(&best, clock_now() - start, i);
    }
    free(all);
    free(real);
    return best * 1e3 * 1e6 / N;
}

/* Bytes a second, read and written together, of a copy larger than any cache. */
static double bench_memory(void)
{
    size_t n = (size_t)96 << 20;
    char *a = malloc(n), *b = malloc(n);
    SYS_OK(a && b, "free memory on this machine", "no memory to measure its rate");
    memset(a, 1, n);
    double best = 0;
    for (int i = 0; i <= TRIES; i++) {
        double start = clock_now();
        memcpy(b, a, n);
        a[(size_t)i] = b[n - 1];
        least(&best, clock_now() - start, i);
    }
    free(a);
    free(b);
    return 2 * (double)n / best;
}

/* What matrix products of any shape and type reach here, FLOP/s: the best of those of the model
 * and of a large square one, in the model's own type and in fp32 (bf16 is slower where it is
 * emulated). */
static double bench_peak(const struct ops *ops, int C)
{
    enum { ROWS = 512, SIDE = 1024 };
    double of[] = {ops_matmul_rate(ops, ROWS, 4 * C, C), ops_matmul_rate(ops, ROWS, SIDE, SIDE),
                   matmul_rate(ROWS, 4 * C, C, MATMUL_F32),
                   matmul_rate(ROWS, SIDE, SIDE, MATMUL_F32)};
    double best = 0;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (of[i] > best) best = of[i];
    return 1e9 * best;
}

/* ---- all of it ---- */

/* A model that is planned for a cluster may be far larger than this machine. */
static bool small_enough(const struct measure_job *j, struct problems *p)
{
    const double most = (double)((size_t)1 << 28), most_kept = 2 * most;
    const struct dims *d = &j->dims;
    double layer = part_matrices(&PART_ATTENTION, d) + part_matrices(&PART_FFN, d) +
                   part_elements(&PART_MOE, d, ROLE_EXPERT),
           head = part_matrices(&PART_HEAD, d);
    double rows = (double)j->room * (3.0 * d->F + 8.0 * d->C); /* logits: a block of rows only */
    if (layer < most && head < most && rows < most_kept) return true;
    problems_add(p, NULL, 0,
                 "a layer of %.3g weights, a head of %.3g and %.3g activations are too large to "
                 "measure on this machine: give --cluster FILE",
                 layer, head, rows);
    return false;
}

/* The last layer; of a model with experts, the last that has them. */
static int layer_to_measure(const struct dims *d)
{
    int layer = d->L - 1;
    while (d->E > 0 && layer > 0 && !dims_moe(d, layer)) layer--;
    return layer;
}

/* Scaled to a full micro-batch, which is what the cluster file's times are of. */
static void set_costs(struct cluster *c, const struct measure_job *j)
{
    int last = layer_to_measure(&j->dims);
    struct measured_times layer = bench_chunk(j, (struct chunk_span){last, 1, false, false});
    struct measured_times head = bench_chunk(j, (struct chunk_span){j->dims.L, 0, false, true});
    double ms = 1e3 * j->room / j->rows;
    c->costs = (struct costs_settings){.layer_f = layer.f * ms,
                                       .layer_b = layer.b * ms,
                                       .layer_w = layer.w * ms,
                                       .head_f = head.f * ms,
                                       .head_b = head.b * ms,
                                       .head_w = head.w * ms,
                                       .update = bench_update(j->ops),
                                       .hold = 1e9 * layer.hold / layer.weights};
}

bool measure_costs(struct cluster *c, const struct measure_job *j, struct problems *p)
{
    if (!small_enough(j, p)) return false;
    set_costs(c, j);
    double rate = bench_peak(j->ops, j->dims.C);
    c->top.memory_gbs = 1e-9 * bench_memory();
    cluster_set_peak(c, j->dims.precision, rate);
    return true;
}

void measure_print(FILE *out, const struct cluster *c, const struct measure_job *j)
{
    const struct costs_settings *k = &c->costs;
    fprintf(out,
            "# measured on this machine: %s kernels, micro-batches of %d rows in sequences of "
            "%d\nmemory_gbs: %.3g\ncosts: {layer_f: %.4g, layer_b: %.4g, layer_w: %.4g, head_f: "
            "%.4g, head_b: %.4g, head_w: %.4g, update: %.4g, hold: %.4g}\n",
            j->ops->name, j->room, j->context, c->top.memory_gbs, k->layer_f, k->layer_b,
            k->layer_w, k->head_f, k->head_b, k->head_w, k->update, k->hold);
}
