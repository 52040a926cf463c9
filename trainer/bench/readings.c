/* Figures with their spread, and the JSON around them. */
#include "trainer/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void readings_add(struct readings *r, double value)
{
    INVARIANT(r->n < MOST_STEPS, "%d readings", r->n);
    int i = r->n++;
    for (; i > 0 && r->at[i - 1] > value; i--) r->at[i] = r->at[i - 1]; /* kept in order */
    r->at[i] = value;
}

double readings_median(const struct readings *r)
{
    return (r->at[(r->n - 1) / 2] + r->at[r->n / 2]) / 2;
}

struct spent spent_now(void)
{
    struct timespec t;
    SYS_OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0, "use Linux",
           "no clock of processor time");
    return (struct spent){clock_now(), (double)t.tv_sec + 1e-9 * (double)t.tv_nsec};
}

struct spent spent_since(struct spent start)
{
    struct spent now = spent_now();
    return (struct spent){now.seconds - start.seconds, now.processor - start.processor};
}

json_t *readings_json(const struct readings *r)
{
    return json_pack("{s:f, s:f, s:f}", "min", r->at[0], "median", readings_median(r), "max",
                     r->at[r->n - 1]);
}

json_t *bench_json(const struct bench_options *o, const struct run *r)
{
    const struct dims *d = &r->actor.dims;
    json_t *model = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I}", "layers", d->L, "hidden",
                              d->C, "ffn", d->F, "heads", d->Hq, "kv_heads", d->Hkv, "vocabulary",
                              d->V, "parameters", (json_int_t)params_count(d), "matrix_parameters",
                              (json_int_t)bench_matrix_parameters(d));
    json_t *machine = json_pack("{s:i, s:i, s:i, s:i, s:i, s:s, s:s, s:i}", "ranks", r->world->size,
                                "dp", r->mesh.dp, "pp", r->mesh.pp, "tp", r->mesh.tp, "ep",
                                r->mesh.ep, "schedule", plan_kind_name(r->actor.kind), "kernels",
                                r->ops->name, "threads_per_rank", r->settings.run.threads);
    const char *precision = d->precision == PRECISION_BF16 ? "bf16" : "fp32";
    return json_pack("{s:s, s:s, s:i, s:o, s:o}", "bench", o->what, "precision", precision, "steps",
                     o->steps, "model", model, "machine", machine);
}

void bench_print(const struct world *w, json_t *o)
{
    char *text = json_dumps(o, JSON_REAL_PRECISION(6));
    SYS_OK(text, "free memory", "the result is no JSON, or memory is out");
    if (w->rank == 0) printf("%s\n", text);
    free(text);
    json_decref(o);
}
