/* duet bench decode: a rollout, and in turn with it the products of its linear layers alone.
 *
 * No answer ends early (there is no <eos>), so the calls of a rollout are known: one that reads the
 * prompts, but for their last tokens, then one for every token of the answers, with a row a slot.
 * The products are the same linear_forward calls with the same number of rows on the same weights,
 * packed once more. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/bench/bench.h"

enum { PRODUCT_CALLS = 16 }; /* of each kind, then scaled to the rollout's count */

struct extent bench_decode_extent(const struct bench_options *o)
{
    return (struct extent){.sequences = 1,
                           .answers = o->slots,
                           .samples = o->samples,
                           .questions = o->slots / o->samples,
                           .max_new = o->answer,
                           .sampling = true,
                           .profile = o->profile,
                           .all_tokens = true};
}

/* The packed weights of the model, and rows to multiply them with. */
struct products {
    const struct ops *ops;
    int n;
    const struct dims *dims;
    struct linear *linear; /* the head is the last */
    const struct param **of;
    unsigned char *in, *out;
    struct arena arena, host; /* what is multiplied; lists */
    const struct device *device;
};

static bool is_product(const struct param *w)
{
    return w->role == ROLE_MATRIX || w->role == ROLE_ROUTER || w->role == ROLE_HEAD ||
           w->role == ROLE_EXPERT;
}

/* Where experts are stacked the first one stands for all: it is called once for each. */
static int rows_of_product(const struct products *p, const struct param *w)
{
    return w->role == ROLE_EXPERT ? w->rows / p->dims->E : w->rows;
}

/* The model's products alone, with copies of weights packed as the model has them. */
static void products_place(struct products *p, const struct local *l, int rows)
{
    size_t widest = 0;
    p->n = 0;
    struct arena *host = arena_host(&p->arena);
    p->linear = arena_take_n(host, (size_t)l->params.n, sizeof *p->linear);
    p->of = arena_take_n(host, (size_t)l->params.n, sizeof *p->of);
    for (int i = 0; i < l->params.n; i++) {
        const struct param *w = &l->params.p[i];
        struct linear measured;
        if (!is_product(w)) continue;
        struct linear *to = p->linear ? &p->linear[p->n] : &measured;
        p->ops->linear_place(to, rows_of_product(p, w), w->cols, false, &p->arena);
        size_t wide = (size_t)(to->N > to->K ? to->N : to->K);
        widest = wide > widest ? wide : widest;
        if (p->of) p->of[p->n] = w;
        p->n++;
    }
    p->in = arena_take_n(&p->arena, widest * (size_t)rows, sizeof(float));
    p->out = arena_take_n(&p->arena, widest * (size_t)rows, sizeof(float));
}

static void products_pack(struct products *p, const struct local *l)
{
    const unsigned char *weights = l->weights;
    for (int i = 0; i < p->n; i++)
        p->ops->linear_pack(&p->linear[i], weights + p->of[i]->offset * p->ops->real_bytes);
}

/* Laid out twice, for measuring and for placing. */
static void products_new(struct products *p, const struct stage *s, int rows)
{
    const struct local *l = &s->local[0];
    *p = (struct products){.ops = s->ops, .device = s->device, .dims = &s->dims};
    arena_beside(&p->arena, s->device, &p->host);
    products_place(p, l, rows);
    arena_back(&p->arena, s->device, p->arena.used);
    products_place(p, l, rows);
    products_pack(p, l);
    INVARIANT(l->params.p[l->params.n - 1].role == ROLE_HEAD, "the head is not the last weight");
    /* any rows do: the time of a product does not depend on its (normal) numbers; these bytes are
     * one as bf16 and as float */
    device_fill(s->device, p->in, 0x3f, (size_t)rows * (size_t)s->dims.C * p->ops->real_bytes);
}

/* The products of one decode call of this many rows; `head` of them get logits. */
static void products_call(const struct products *p, int rows, int head)
{
    const struct dims *d = p->dims;
    for (int i = 0; i < p->n - 1; i++) {
        bool experts = p->of[i]->role == ROLE_EXPERT;
        int each = experts ? (rows * d->K + d->E - 1) / d->E : rows; /* an even load */
        for (int k = 0; k < (experts ? d->E : 1); k++)
            p->ops->linear_forward(p->out, false, p->in, &p->linear[i], NULL, each);
    }
    if (head > 0) p->ops->linear_forward(p->out, true, p->in, &p->linear[p->n - 1], NULL, head);
}

/* Time of a call, mean over PRODUCT_CALLS. */
static struct spent call_time(const struct products *p, int rows, int head)
{
    if (rows == 0) return (struct spent){0, 0};
    device_sync(p->device);
    struct spent start = spent_now();
    for (int i = 0; i < PRODUCT_CALLS; i++) products_call(p, rows, head);
    device_sync(p->device);
    struct spent t = spent_since(start);
    return (struct spent){t.seconds / PRODUCT_CALLS, t.processor / PRODUCT_CALLS};
}

static struct spent products_of_rollout(const struct products *p, const struct bench_options *o,
                                        int prompt_rows)
{
    struct spent a = call_time(p, prompt_rows, 0), b = call_time(p, o->slots, o->slots);
    return (struct spent){a.seconds + b.seconds * o->answer, a.processor + b.processor * o->answer};
}

/* --- the rollout --- */

/* All questions have the same length: the figures are of a full batch. */
static struct question *questions_make(const struct bench_options *o, const struct run *r,
                                       int **out)
{
    int n = o->slots / o->samples;
    struct question *q = memory_take((size_t)n, sizeof *q, "a benchmark");
    int *token = memory_take((size_t)n * (size_t)o->prompt, sizeof *token, "a benchmark");
    for (int i = 0; i < n * o->prompt; i++) token[i] = i % r->stage.dims.V;
    for (int i = 0; i < n; i++)
        q[i] = (struct question){token + (size_t)i * (size_t)o->prompt, o->prompt};
    *out = token;
    return q;
}

/* eos -1: every answer has its full length. */
static struct rollout_times rollout_time(const struct bench_options *o, struct run *r,
                                         const struct question *q, int max_new)
{
    struct rollout_times t;
    struct rollout_job job = {.question = q,
                              .questions = o->slots / o->samples,
                              .samples = o->samples,
                              .max_new = max_new,
                              .sampling = {1, 0, 1},
                              .ends = {.n = 0},
                              .sampleable = r->stage.dims.V,
                              .seed = (uint64_t)r->settings.run.seed,
                              .purpose = RNG_TEST};
    rollout_run(r->rollout, &job, &t);
    return t;
}

struct decode_figures {
    struct busy_ticks start;
    struct profile profile;
    struct readings seconds, busy, tokens, products, fraction, processor_fraction;
};

/* Times by the clock and by the processor: the latter are disturbed less by other work. */
static void print_figures(const struct bench_options *o, const struct run *r,
                          const struct decode_figures *f, int prompt_rows)
{
    double matrix = library_parameters(&r->stage.dims);
    double head = (double)r->stage.dims.V * r->stage.dims.C;
    double flops = 2 * (matrix * o->slots * o->answer + (matrix - head) * prompt_rows);
    json_t *out = bench_json(o, r, f->start, readings_median(&f->busy));
    json_object_set_new(out, "slots", json_integer(o->slots));
    json_object_set_new(out, "answers_per_question", json_integer(o->samples));
    json_object_set_new(out, "prompt_tokens", json_integer(o->prompt));
    json_object_set_new(out, "answer_tokens", json_integer(o->answer));
    json_object_set_new(out, "seconds_per_rollout", readings_json(&f->seconds));
    json_object_set_new(out, "processor_share", readings_json(&f->busy));
    json_object_set_new(out, "tokens_per_second", readings_json(&f->tokens));
    json_object_set_new(out, "flop_convention",
                        json_string("2 a row and matrix parameter, attention not counted"));
    json_object_set_new(out, "gflop_per_second_median",
                        json_real(1e-9 * flops / readings_median(&f->seconds)));
    json_object_set_new(out, "products_seconds", readings_json(&f->products));
    json_object_set_new(out, "products_gflop_per_second_median",
                        json_real(1e-9 * flops / readings_median(&f->products)));
    json_object_set_new(out, "products_fraction", readings_json(&f->fraction));
    json_object_set_new(out, "products_fraction_by_processor",
                        readings_json(&f->processor_fraction));
    bench_print_profiled(o, r->world, &f->profile, out);
}

/* The limit is the faster type, as in training. */
static void open_profile(struct profile *p, const struct run *r)
{
    double rate[2];
    enum matmul_type type = library_choose(r->ops, &r->stage.dims, &rate[0], &rate[1]);
    profile_open(p, r->world, &r->stage.dims, type);
}

/* Rollouts alternate with the products that they are compared with, so that both see the same
 * machine. */
void bench_decode(const struct bench_options *o, struct run *r)
{
    struct decode_figures f = {.start = busy_ticks_now()};
    struct products p;
    int *token, prompt_rows = o->slots / o->samples * (o->prompt - 1);
    struct question *q = questions_make(o, r, &token);
    products_new(&p, &r->stage, prompt_rows > o->slots ? prompt_rows : o->slots);
    rollout_time(o, r, q, o->answer < 4 ? o->answer : 4); /* to warm up */
    products_call(&p, o->slots, o->slots);
    if (o->profile) open_profile(&f.profile, r);
    for (int i = 0; i < o->steps; i++) {
        if (o->profile) profile_begin(&f.profile);
        struct spent start = spent_now();
        struct rollout_times t = rollout_time(o, r, q, o->answer);
        struct spent spent = spent_since(start);
        double busy = spent.processor;
        if (o->profile) profile_end(&f.profile, spent);
        struct spent alone = products_of_rollout(&p, o, prompt_rows);
        watchdog_feed();
        readings_add(&f.seconds, t.seconds);
        readings_add(&f.busy, busy / t.seconds);
        readings_add(&f.tokens, (double)t.tokens / t.seconds);
        readings_add(&f.products, alone.seconds);
        readings_add(&f.fraction, alone.seconds / t.seconds);
        readings_add(&f.processor_fraction, alone.processor / busy);
    }
    print_figures(o, r, &f, prompt_rows);
    arena_free(&p.arena);
    free(token);
    free(q);
}
