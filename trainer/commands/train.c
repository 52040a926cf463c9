/* duet train RECIPE: the main job. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/base/startup.h"
#include "comm/coll.h"
#include "model/precision.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/hf/folder.h"
#include "trainer/checkpoint/hf/kept.h"
#include "trainer/checkpoint/hf/settings.h"
#include "trainer/run/alike.h"
#include "trainer/checkpoint/files.h"
#include "trainer/bench/library.h"
#include "trainer/bench/profile.h"
#include "trainer/commands/commands.h"
#include "trainer/config/cluster.h"
#include "trainer/config/options.h"
#include "trainer/phases/export.h"
#include "trainer/phases/phases.h"
#include "trainer/run/folder.h"
#include "trainer/run/resume.h"
#include "trainer/run/served.h"
#include "trainer/run/sites.h"

struct train_options {
    struct option_list sets;
    const char *resume;
    const char *recipe;
    bool profile;
};

static void check_train_options(const void *checked, struct problems *p)
{
    const struct train_options *t = checked;
    if (strcmp(t->resume, "auto") != 0 && strcmp(t->resume, "no") != 0)
        problems_add(p, NULL, 0, "--resume takes auto or no, not \"%.60s\"", t->resume);
}

/* --resume says no unless told: nobody continues an old run, or starts over in its folder, by
 * accident. */
static int read_train_options(struct train_options *t, int argc, char **argv)
{
    t->resume = "no";
    const struct option_row rows[] = {
        {"set", OPT_LIST, &t->sets, 0, 0,
         "KEY=VALUE: overrides a setting, e.g. --set phases.grpo.lr=1e-4"},
        {"resume", OPT_STRING, &t->resume, 0, 0,
         "auto: resume from the newest checkpoint of the run folder, or start a new run when there "
         "is none; no: refuse a run folder that holds a run"},
        {"profile", OPT_FLAG, &t->profile, 0, 0,
         "at the end: where rank 0's time went by operation, beside the machine's limits"},
    };
    struct options o = {.command = "train",
                        .summary =
                            "Trains a recipe: runs its phases in order, resumable at any step. Run "
                            "it under mpirun; `duet help settings` lists what a recipe may hold.",
                        .usage = "RECIPE",
                        .more_help = settings_help,
                        .check = check_train_options,
                        .checked = t,
                        .rows = rows,
                        .n_rows = sizeof rows / sizeof *rows,
                        .args = &t->recipe,
                        .min_args = 1,
                        .max_args = 1};
    return options_parse(&o, argc, argv);
}

/* The second save waits for the first: then that one was there. */
static bool has_lost_checkpoints(const struct settings *s, const char *folder)
{
    const long every = s->checkpoint.every;
    return every > 0 && folder_last_step(folder) >= 2 * every;
}

/* What stands in the run folder (of all sites) decides, as rank 0 sees it: true: resume from the
 * newest checkpoint. */
static bool resume_or_start(struct world *w, const struct settings *s, const char *folder,
                            const char *resume)
{
    struct problems p = {0};
    struct folder_state state = {false, false};
    if (w->rank == 0) state = folder_state(folder);
    struct sites_answer saved = sites_ask(w, state.saved), begun = sites_ask(w, state.begun);
    bool again = strcmp(resume, "auto") == 0;
    if (!again && (saved.any || begun.any))
        problems_add(&p, NULL, 0,
                     "%s already holds a run: add --resume auto to resume it, or --set out=FOLDER "
                     "to put the new one elsewhere (nothing is overwritten)",
                     folder);
    bool some = again && saved.any && !saved.all;
    if (some && !(begun.all && sites_are_young(w, s, folder)))
        problems_add(&p, NULL, 0,
                     "some sites have checkpoints and others none (%s and its neighbours): restore "
                     "what is lost, or choose a new --set out=FOLDER",
                     folder);
    bool lost = again && !saved.any && begun.any && w->rank == 0 && has_lost_checkpoints(s, folder);
    if (sites_ask(w, lost).any)
        problems_add(&p, NULL, 0,
                     "%s/metrics.jsonl has steps after which checkpoints were saved, but there are "
                     "none: restore them (is their disk mounted?). To start over, move the folder "
                     "away or choose another one with --set out=FOLDER (nothing was changed)",
                     folder);
    problems_end_if_any(&p);
    return again && saved.all;
}

/* Slices are registered once; a save copies them. */
static void open_writer(struct run *r, const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/checkpoints", folder);
    bool sites = r->world->sites > 1;
    int n = optimizer_slices(&r->optimizer, NULL, SLICES_SAVE);
    int more = sites ? outer_slices(&r->outer, NULL, SLICES_SAVE) : 0;
    struct slice *slices = memory_take((size_t)(n + more) + 1, sizeof *slices, "slices");
    optimizer_slices(&r->optimizer, slices, SLICES_SAVE);
    if (sites) outer_slices(&r->outer, slices + n, SLICES_SAVE);
    r->writer = checkpoint_writer_new(r->world, path, slices, n + more, sites_keep(&r->settings),
                                      r->settings.checkpoint.async);
    free(slices);
}

/* What was resolved: sizes, mesh, schedule, kernels. */
static void print_plan(const struct run *r)
{
    const struct stage *s = &r->stage;
    char kernels[128];
    ops_kernels(kernels, sizeof kernels, r->ops);
    log_info(
        "%s: %zu parameters, %d layers of %d, vocabulary %d, %s; mesh %d x %d x %d (dp x pp x tp), "
        "ep %d, schedule %s, at least %d micro-batches of %d tokens per pipeline; kernels %s",
        source_name(r->source), params_count(&s->dims), s->dims.L, s->dims.C, s->dims.V,
        precision_kind(s->dims.precision)->name, r->mesh.dp, r->mesh.pp, r->mesh.tp, r->mesh.ep,
        plan_kind_name(s->kind), stage_least(s), s->T_max, kernels);
    log_info("run folder %s", r->folder);
}

static void end_overtaken(const struct world *w, const char *folder)
{
    struct problems p = {0};
    problems_add(&p, NULL, 0,
                 "another job has started a run in %s in the meantime: choose another run folder "
                 "with --set out=FOLDER, or restart with --resume auto to resume that run",
                 folder);
    world_agree_problems(w, &p, EXIT_USER);
}

/* The model that a new run begins with: that of model.from, or a random one. */
static void start_model(struct run *r)
{
    if (!r->settings.model.from[0]) {
        optimizer_init(&r->optimizer, (uint64_t)r->settings.run.seed);
        return;
    }
    optimizer_reset(&r->optimizer);
    resume_weights(r, r->settings.model.from);
}

/* All phases, timed by operation: rank 0's table at the end, figures of a step. */
static int phases_profile(struct run *r)
{
    struct profile p;
    double rate[2];
    enum matmul_type type = library_choose(r->ops, &r->stage.dims, &rate[0], &rate[1]);
    long before = r->step;
    profile_open(&p, r->world, &r->stage.dims, type);
    profile_begin(&p);
    struct spent start = spent_now();
    int code = phases_run(r);
    profile_end(&p, spent_since(start));
    if (r->step > before) p.n = (int)(r->step - before);
    json_t *table = profile_json(&p);
    if (r->world->rank == 0) profile_print(table);
    json_decref(table);
    return code;
}

/* Everything that may be refused comes before the run folder is touched. */
static int train(struct world *w, struct settings s, const struct train_options *t)
{
    struct run r;
    char index[PATH_BYTES];
    startup_enter(STARTUP_FOLDER);
    folder_enter(w, &s);
    char *folder = sites_enter(w, &s);
    bool again = resume_or_start(w, &s, folder, t->resume);
    struct extent extent = extent_of(phase_kinds, &s);
    path_make(index, "%s/data.index", folder);
    extent.index = index;
    extent.profile = t->profile;
    run_open(&r, w, s, NULL, extent);
    r.folder = folder;
    for (int split = 0; r.source && split < 2; split++)
        r.data_sum[split] = source_sum(r.source, (enum split)split);
    struct resumed resumed = {.metrics_bytes = -1, .samples_bytes = -1};
    startup_enter(STARTUP_WEIGHTS);
    if (again)
        resumed = resume_run(&r, folder, phase_kinds);
    else
        start_model(&r);
    startup_enter(STARTUP_FOLDER);
    export_check(&r, again);
    served_check(&r);
    if (folder_make_out(w, folder)) end_overtaken(w, folder);
    r.metrics = metrics_open(folder, w->rank, resumed.metrics_bytes, resumed.samples_bytes);
    if (r.line) metrics_go_on(r.metrics, r.line);
    if (w->rank == 0 && (!again || resume_keep_recipe(&r, folder, &resumed)))
        folder_write_recipe(folder, r.recipe);
    folder_see(w, folder);
    if (r.source && w->rank == 0) source_keep_index(r.source, index);
    open_writer(&r, folder);
    checkpoint_writer_attach(r.writer, &r.files);
    print_plan(&r);
    startup_say();
    int code = t->profile ? phases_profile(&r) : phases_run(&r);
    run_close(&r);
    folder_leave();
    free(folder);
    return code;
}

/* The recipe may be another on another host. */
static void same_recipe(const struct world *w, const struct settings *s, const char *path,
                        struct problems *p)
{
    char what[2][512];
    char *yaml = p->n == 0 ? settings_yaml(s) : NULL;
    snprintf(what[0], sizeof what[0], "the recipe %.400s", path);
    snprintf(what[1], sizeof what[1], "the cluster file %.400s", s->mesh.cluster);
    const struct alike item[] = {{what[0], yaml ? checksum(yaml, strlen(yaml), 0) : 0},
                                 {what[1], settings_cluster_sum(s)}};
    alike_or_end(w, p, item, 2);
    free(yaml);
}

/* Where settings that the recipe leaves open come from. */
enum model_source { MODEL_OF_RECIPE, MODEL_OF_RUN, MODEL_OF_CHECKPOINT, MODEL_OF_FOLDER };

static enum model_source source_as_seen(const struct settings *s, const char *run, bool resumes)
{
    if (resumes && checkpoint_any(run)) return MODEL_OF_RUN;
    if (!*s->model.from) return MODEL_OF_RECIPE;
    return hf_is_folder(s->model.from) ? MODEL_OF_FOLDER : MODEL_OF_CHECKPOINT;
}

/* As rank 0 sees it: all take the same path. */
static enum model_source source_of(const struct world *w, const struct settings *s, const char *run,
                                   bool resumes)
{
    int source = w->rank == 0 ? (int)source_as_seen(s, run, resumes) : 0;
    coll_bcast(&source, sizeof source, 0, w->comm);
    return (enum model_source)source;
}

/* What the checkpoints of a run that is resumed keep counts, model.from is not looked at; without
 * such a checkpoint it is. A folder every rank reads for itself. Collective. */
static void take_model(const struct world *w, struct settings *s, bool resumes, struct problems *p)
{
    char run[PATH_BYTES];
    path_make(run, "%s%s", s->run.out, s->mesh.sites > 1 ? "/site-1" : "");
    enum model_source source = source_of(w, s, run, resumes);
    const bool anew = source != MODEL_OF_RUN;
    if (source == MODEL_OF_RUN && hf_kept_apply(s, run, w)) return;
    if (source == MODEL_OF_RUN) source = source_of(w, s, run, false);
    if (source == MODEL_OF_RECIPE) return;
    const bool there = !anew || hf_settings_from_there(s, p);
    if (source == MODEL_OF_CHECKPOINT) hf_kept_apply(s, s->model.from, w);
    if (source == MODEL_OF_FOLDER && there) hf_settings_apply(s, p);
}

/* Ranks must agree on the recipe before they read a checkpoint together; those of another recipe
 * meet the others here or at the end (same_recipe). */
static void load(const struct world *w, struct settings *s, const struct train_options *t,
                 struct problems *p)
{
    const bool resumes = strcmp(t->resume, "auto") == 0;
    if (!settings_load(s, t->recipe, t->sets.at, t->sets.n, p)) return;
    settings_default_out(s, t->recipe);
    if (resumes || *s->model.from) {
        same_recipe(w, s, t->recipe, p);
        take_model(w, s, resumes, p);
    }
    if (p->n == 0) settings_check(s, w->size, p);
}

/* Signals are caught before MPI comes up, which may take seconds. The recipe is agreed on over all
 * ranks, because each has read its own file. */
int cmd_train(int argc, char **argv)
{
    struct train_options t = {0};
    int code = read_train_options(&t, argc, argv);
    if (code >= 0) return code;
    struct world w;
    world_catch_signals(); /* a request while we start is heard after the first step */
    world_catch_lost_reader();
    world_up(&w, &argc, &argv);
    startup_enter(STARTUP_RECIPE);
    struct settings s;
    struct problems p = {0};
    settings_defaults(&s);
    load(&w, &s, &t, &p);
    settings_load_cluster(&s, &p);
    if (p.n == 0 && s.n_phases == 0) problems_add(&p, t.recipe, 0, "has no phases: nothing to do");
    same_recipe(&w, &s, t.recipe, &p);
    log_set((enum log_level)s.run.log, w.rank);
    watchdog_start(s.run.watchdog_s);
    code = train(&w, s, &t);
    world_down(&w);
    return code;
}
