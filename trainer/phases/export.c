#include "trainer/phases/export.h"

#include <string.h>
#include <time.h>
#include <unistd.h>
#include "comm/base/log.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/files.h"
#include "trainer/checkpoint/hf/export_gguf.h"
#include "trainer/config/size.h"
#include "trainer/config/table.h"
#include "trainer/data/vocabulary.h"
#include "trainer/run/exported.h"

/* --- what and where --- */

void export_describe(struct hf_export *x, const struct settings *s, const struct tokenizer *t,
                     struct ends ends)
{
    x->dims = settings_dims(s, tokenizer_size(t));
    ends_add(&ends, vocabulary_end(s, t));
    for (; x->ends < ends.n && x->ends < HF_EXPORT_ENDS; x->ends++)
        x->end[x->ends] = ends.id[x->ends];
    if (x->ends > 0) tokenizer_decode(t, x->end, 1, x->end_text, sizeof x->end_text);
    x->pad = tokenizer_find(t, "<pad>");
    if (x->as_source) x->dtype = s->run.precision == PRECISION_BF16 ? ST_BF16 : ST_F32;
}

static enum st_dtype dtype_of(const struct phase_settings *k)
{
    return k->dtype == EXPORT_BF16 ? ST_BF16 : k->dtype == EXPORT_FP16 ? ST_F16 : ST_F32;
}

/* NULL: a folder is written. */
static const struct quant *matrices_of(const struct phase_settings *k)
{
    const struct setting *type = setting_find(&sections[SECTION_PHASE], "type");
    return k->format == EXPORT_GGUF ? quant_named(choice_of(type, k->type)->name) : NULL;
}

static void place_of(char to[PATH_BYTES], const struct run *r, const struct phase_settings *k)
{
    if (*k->dir)
        path_make(to, "%s", k->dir);
    else
        path_make(to, "%s/exports/%s%s", r->folder, k->name,
                  k->format == EXPORT_GGUF ? ".gguf" : "");
    for (size_t n = strlen(to); n > 1 && to[n - 1] == '/'; n--) to[n - 1] = 0;
}

static struct hf_export export_of(const struct run *r, const struct phase_settings *k,
                                  const struct checkpoint *from, const char *to)
{
    struct hf_export x = {
        .from = from, .to = to, .as_source = k->dtype == EXPORT_AS_IMPORTED, .dtype = dtype_of(k)};
    size_parse(k->shard_size, &x.shard_bytes);
    export_describe(&x, &r->settings, r->tokenizer, r->ends);
    return x;
}

/* The first one of several sites: their weights are the same at the end of a phase. */
static bool writes(const struct run *r)
{
    return r->world->first + r->world->rank == 0;
}

/* --- before anything is trained --- */

/* What the other side has no words for is refused now, not after the training. */
static void check_one(const struct run *r, const struct phase_settings *k, bool resumed,
                      struct problems *p)
{
    char to[PATH_BYTES];
    const struct checkpoint born = {.files = r->files, .tokenizer = r->tokenizer_json};
    place_of(to, r, k);
    const struct hf_export x = export_of(r, k, &born, to);
    const struct quant *q = matrices_of(k);
    exported_check(&(struct exported){r->folder, to, resumed && !*k->dir}, p);
    if (q)
        hf_export_gguf_check(&x, q, p);
    else
        hf_export_check(&x, p);
}

void export_check(const struct run *r, bool resumed)
{
    struct problems p = {0};
    for (int i = r->phase; i < r->settings.n_phases && writes(r); i++)
        if (r->settings.phases[i].kind == PHASE_EXPORT)
            check_one(r, &r->settings.phases[i], resumed, &p);
    world_heed_first(r->world, &p, EXIT_USER);
}

/* --- the step --- */

/* Every export stands behind a checkpoint with the weights as they are: that of the phase before,
 * or of one made now. */
static void open_weights(struct checkpoint *c, struct run *r)
{
    char path[PATH_BYTES];
    struct problems p = {0};
    if (r->phase == 0) run_save(r, true);
    checkpoint_drain(r->writer);
    path_make(path, "%s/checkpoints", r->folder);
    if (checkpoint_open(c, path, r->world, &p) && c->step != r->step)
        problems_add(&p, c->folder, 0,
                     "the checkpoint of step %ld is damaged, and this one has other weights: "
                     "nothing was exported; restart with --resume auto",
                     r->step);
    world_agree_problems(r->world, &p, EXIT_WORLD);
}

static bool write_model(struct hf_exported *done, const struct run *r,
                        const struct phase_settings *k, const struct checkpoint *c,
                        struct problems *p)
{
    char to[PATH_BYTES], fresh[PATH_BYTES];
    const struct quant *q = matrices_of(k);
    place_of(to, r, k);
    if (!exported_begin(fresh, to, p)) return false;
    const struct hf_export x = export_of(r, k, c, fresh);
    bool ok = q ? hf_export_gguf(done, &x, q, p) : hf_export_run(done, &x, p);
    const struct exported place = {r->folder, to, !*k->dir};
    if (!ok || !exported_end(&place, r->step, p)) return false;
    log_info("exported %s: %zu tensors of step %ld, %.1f MB in %d file%s", to, done->tensors,
             r->step, (double)done->bytes / 1e6, done->files, done->files == 1 ? "" : "s");
    return true;
}

/* The ranks that wait make no progress of their own: the one that writes has a watchdog. */
static void wait_for_all(const struct world *w)
{
    const struct timespec nap = {.tv_nsec = 2000000};
    MPI_Request request;
    int all = 0;
    MPI_OK(MPI_Ibarrier(w->comm, &request));
    while (!all) {
        MPI_OK(MPI_Test(&request, &all, MPI_STATUS_IGNORE));
        if (all) break;
        watchdog_feed();
        nanosleep(&nap, NULL);
    }
}

struct phase_size export_size(const struct phase_settings *k)
{
    (void)k;
    return (struct phase_size){.sequences = 0};
}

/* A stop that is asked for meanwhile is heard behind the step: what is half written would have to
 * be written again. */
bool export_step(struct run *r, const struct phase_settings *k)
{
    double start = clock_now();
    struct checkpoint c;
    struct problems p = {0};
    struct hf_exported done = {0};
    open_weights(&c, r);
    die_place("writing the model of phase %s", k->name);
    if (writes(r)) write_model(&done, r, k, &c, &p);
    wait_for_all(r->world);
    die_place(NULL);
    world_agree_problems(r->world, &p, EXIT_WORLD);
    checkpoint_close(&c);
    metrics_begin(r->metrics, r->step, k->name);
    metrics_put(r->metrics, "export/bytes", (double)done.bytes);
    metrics_put(r->metrics, "export/tensors", (double)done.tensors);
    metrics_put(r->metrics, "export/files", done.files);
    metrics_put_clock(r->metrics, "time/step", clock_now() - start);
    metrics_end(r->metrics);
    return true;
}
