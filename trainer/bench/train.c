/* duet bench train: whole optimizer steps on made-up sequences, and in turn with them the matrix
 * library alone. */
#include <stdlib.h>
#include "comm/base/memory.h"
#include "trainer/bench/bench.h"
#include "trainer/config/table.h"
#include "trainer/learn/lr.h"

/* Sequences of `sequence` rows; the last token is predicted, never read. */
struct train_batch {
    struct sequence *sequence;
    float *weight;
    int *token;
    int n;
};

static int sequences_of(const struct bench_options *o)
{
    int n = o->tokens / o->sequence;
    return n > 0 ? n : 1;
}

struct extent bench_train_extent(const struct bench_options *o)
{
    return (struct extent){.sequences = sequences_of(o),
                           .answers = 1,
                           .max_new = 1,
                           .questions = 1,
                           .profile = o->profile,
                           .all_tokens = true};
}

/* Random tokens: loss and gradients are those of an untrained model, times do not depend on them.
 */
static struct train_batch batch_make(const struct bench_options *o, const struct run *r)
{
    struct train_batch b = {.n = sequences_of(o)};
    size_t n = (size_t)b.n, each = (size_t)o->sequence + 1;
    b.sequence = memory_take(n, sizeof *b.sequence, "a benchmark");
    b.weight = memory_take(n, sizeof *b.weight, "a benchmark");
    b.token = memory_take(n * each, sizeof *b.token, "a benchmark");
    for (size_t i = 0; i < n * each; i++) {
        struct rng_at at = {RNG_TEST, 0, (uint32_t)(i / each), 0, (uint32_t)(i % each)};
        b.token[i] = (int)(rng_uniform(1, at) * r->stage.dims.V);
    }
    for (int i = 0; i < b.n; i++) {
        const int *token = b.token + (size_t)i * each;
        b.sequence[i] =
            (struct sequence){.prompt = i, .n_prompt = 1, .n = (int)each, .token = token};
        b.weight[i] = 1 / (float)(b.n * o->sequence);
    }
    return b;
}

static void batch_free(struct train_batch *b)
{
    free(b->sequence);
    free(b->weight);
    free(b->token);
}

/* Processor time: mean over ranks. */
static struct spent step_run(struct run *r, const struct train_batch *b, struct step_stats *stats)
{
    struct step_job job = {.sequence = b->sequence,
                           .weight = b->weight,
                           .n = b->n,
                           .loss = &loss_sft,
                           .inv_temperature = 1,
                           .adamw = lr_adamw(&r->settings.phases[0], 1, 0),
                           .grad_clip = 1};
    MPI_OK(MPI_Barrier(r->world->comm));
    struct spent start = spent_now();
    learner_step(&r->learner, &job, stats);
    MPI_OK(MPI_Barrier(r->world->comm));
    struct spent t = spent_since(start);
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &t.processor, 1, MPI_DOUBLE, MPI_SUM, r->world->comm));
    t.processor /= r->world->size;
    watchdog_feed();
    return t;
}

/* All ranks at once, as they compute in a step; their rates added up. */
struct library_rates {
    double clock, processor;
};

static struct library_rates machine_rate(const struct run *r, enum matmul_type type)
{
    const struct dims *d = &r->stage.dims;
    MPI_OK(MPI_Barrier(r->world->comm));
    double rate[2] = {library_rate(d, type), library_rate_by_processor(d, type)};
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, rate, 2, MPI_DOUBLE, MPI_SUM, r->world->comm));
    watchdog_feed();
    return (struct library_rates){rate[0], rate[1]};
}

/* The rates of rank 0 decide for all. */
static enum matmul_type choose(const struct run *r, double rate[2])
{
    int type = (int)library_choose(r->ops, &r->stage.dims, &rate[0], &rate[1]);
    MPI_OK(MPI_Bcast(&type, 1, MPI_INT, 0, r->world->comm));
    return (enum matmul_type)type;
}

/* Measured while it trains: figures and limits. */
struct train_figures {
    struct busy_ticks start;
    struct profile profile;
    struct readings seconds, busy, reduce, tokens, gflops, library, fraction;
    struct readings processor_gflops, processor_library, processor_fraction;
};

/* The convention stands beside the figures, since papers differ in it. */
static void add_flop(json_t *out, const struct run *r, const struct bench_options *o)
{
    const struct dims *d = &r->stage.dims;
    /* scores and weighted sums over (sequence + 1) / 2 keys a token on average, forward 4 and
     * backward 8 a key and channel */
    double attention = 6.0 * d->L * d->Hq * d->D * (o->sequence + 1);
    json_object_set_new(
        out, "flop_convention",
        json_string(
            "6 a token and matrix parameter (2 forward, 4 backward), embedding rows not "
            "counted; attention's own products (causal half) stated separately, not counted"));
    json_object_set_new(out, "flop_per_token", json_real(6 * library_parameters(d)));
    json_object_set_new(out, "attention_flop_per_token", json_real(attention));
}

/* What slots hold on the rank with most, and what is computed again for it. */
static void add_activations(json_t *out, const struct run *r)
{
    const struct setting *k = setting_find(&sections[SECTION_MESH], "recompute");
    uint64_t bytes = r->stage.arena.of[ARENA_ACTIVATIONS];
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_UINT64_T, MPI_MAX, r->world->comm));
    json_object_set_new(out, "recompute",
                        json_string(choice_of(k, r->settings.mesh.recompute)->name));
    json_object_set_new(out, "activation_bytes", json_integer((json_int_t)bytes));
}

/* Training and the library's products, their ratio by the clock and by processor time. */
static void print_figures(const struct bench_options *o, const struct run *r,
                          const struct train_figures *f, const struct step_stats *s,
                          enum matmul_type type, const double rate[2])
{
    json_t *out = bench_json(o, r, f->start, readings_median(&f->busy));
    json_object_set_new(out, "tokens_per_step", json_integer(s->rows));
    json_object_set_new(out, "tokens_per_sequence", json_integer(o->sequence));
    json_object_set_new(out, "tokens_per_micro_batch", json_integer(r->stage.T_max));
    add_activations(out, r);
    json_object_set_new(out, "seconds_per_step", readings_json(&f->seconds));
    json_object_set_new(out, "processor_share", readings_json(&f->busy));
    json_object_set_new(out, "reduce_and_update_seconds", readings_json(&f->reduce));
    json_object_set_new(out, "tokens_per_second", readings_json(&f->tokens));
    add_flop(out, r, o);
    json_object_set_new(out, "gflop_per_second", readings_json(&f->gflops));
    json_object_set_new(out, "library_gflop_per_second", readings_json(&f->library));
    json_object_set_new(out, "library_type", json_string(library_type_name(type)));
    json_object_set_new(out, "library_fp32_gflop_per_second_per_rank", json_real(rate[0]));
    json_object_set_new(out, "library_bf16_gflop_per_second_per_rank",
                        rate[1] > 0 ? json_real(rate[1]) : json_null());
    json_object_set_new(out, "fraction_of_library", readings_json(&f->fraction));
    /* the same three by processor time */
    json_object_set_new(out, "gflop_per_processor_second", readings_json(&f->processor_gflops));
    json_object_set_new(out, "library_gflop_per_processor_second",
                        readings_json(&f->processor_library));
    json_object_set_new(out, "fraction_of_library_by_processor",
                        readings_json(&f->processor_fraction));
    json_object_set_new(out, "bubble_fraction", json_real(s->bubble_fraction));
    json_object_set_new(out, "loss", json_real(s->loss));
    bench_print_profiled(o, r->world, &f->profile, out);
}

/* A step and the products measured right after it. */
static void take_figures(struct train_figures *f, struct spent t, struct library_rates library,
                         const struct step_stats *s, const struct run *r)
{
    double gflop = 6e-9 * library_parameters(&r->stage.dims) * (double)s->rows;
    readings_add(&f->seconds, t.seconds);
    readings_add(&f->busy, t.processor / t.seconds);
    readings_add(&f->reduce, s->reduce_seconds);
    readings_add(&f->tokens, (double)s->rows / t.seconds);
    readings_add(&f->gflops, gflop / t.seconds);
    readings_add(&f->library, library.clock);
    readings_add(&f->fraction, gflop / t.seconds / library.clock);
    readings_add(&f->processor_gflops, gflop / t.processor);
    readings_add(&f->processor_library, library.processor);
    readings_add(&f->processor_fraction, gflop / t.processor / library.processor);
}

/* The first step warms up; then steps alternate with the bare products. */
void bench_train(const struct bench_options *o, struct run *r)
{
    struct train_batch b = batch_make(o, r);
    struct train_figures f = {.start = busy_ticks_now()};
    struct step_stats s;
    double rate[2];
    step_run(r, &b, &s);
    enum matmul_type type = choose(r, rate);
    if (o->profile) profile_open(&f.profile, r->world, &r->stage.dims, type);
    for (int i = 0; i < o->steps; i++) {
        if (o->profile) profile_begin(&f.profile);
        struct spent from = spent_now(), t = step_run(r, &b, &s);
        if (o->profile) profile_end(&f.profile, spent_since(from));
        take_figures(&f, t, machine_rate(r, type), &s, r);
    }
    print_figures(o, r, &f, &s, type, rate);
    batch_free(&b);
}
