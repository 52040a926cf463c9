/* The JSON around a benchmark's figures. */
#include "trainer/bench/bench.h"
#include "model/precision.h"

#include <stdio.h>
#include <stdlib.h>

/* Every benchmark's object begins with the same members: what was measured, and on what. */
json_t *bench_json(const struct bench_options *o, const struct run *r, struct busy_ticks start,
                   double share)
{
    const struct dims *d = &r->stage.dims;
    json_t *model =
        json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:s?}", "layers", d->L, "hidden", d->C,
                  "ffn", d->F, "heads", d->Hq, "kv_heads", d->Hkv, "vocabulary", d->V, "parameters",
                  (json_int_t)params_count(d), "matrix_parameters",
                  (json_int_t)library_parameters(d), "from", o->args[1]);
    json_t *machine = json_pack("{s:i, s:i, s:i, s:i, s:i, s:s, s:s, s:i}", "ranks", r->world->size,
                                "dp", r->mesh.dp, "pp", r->mesh.pp, "tp", r->mesh.tp, "ep",
                                r->mesh.ep, "schedule", plan_kind_name(r->stage.kind), "kernels",
                                r->ops->name, "threads_per_rank", r->settings.run.threads);
    struct busy busy = busy_since(start);
    busy_put(machine, &busy, share);
    const char *precision = precision_kind(d->precision)->name;
    return json_pack("{s:s, s:s, s:i, s:o, s:o}", "bench", o->args[0], "precision", precision,
                     "steps", o->steps, "model", model, "machine", machine);
}

void bench_print(const struct world *w, json_t *o)
{
    char *text = json_dumps(o, JSON_REAL_PRECISION(6));
    SYS_OK(text, "free memory", "the result is not JSON, or memory ran out");
    if (w->rank == 0) printf("%s\n", text);
    free(text);
    json_decref(o);
}

void bench_print_profiled(const struct bench_options *o, const struct world *w,
                          const struct profile *p, json_t *out)
{
    if (o->profile) json_object_set_new(out, "profile", profile_json(p));
    if (!o->profile || !o->text) {
        bench_print(w, out);
        return;
    }
    if (w->rank == 0) profile_print(json_object_get(out, "profile"));
    json_decref(out);
}
