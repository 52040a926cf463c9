#include "trainer/run/resume.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/folder.h"
#include "trainer/config/changes.h"
#include "trainer/config/table.h"
#include "trainer/learn/lr.h"
#include "trainer/observe/record_file.h"
#include "trainer/run/changed_files.h"
#include "trainer/run/position.h"
#include "trainer/run/sites.h"

/* --- the rate --- */

/* The learning rate of the next step, by either recipe. */
static double next_rate(const struct phase_kind *kind, const struct phase_settings *k, long step)
{
    return (double)lr_adamw(k, kind->size(k).updates, step * kind->size(k).updates).lr;
}

/* A new length of the phase changes the learning rate of the next step, even if lr is the same. */
static void compare_rate(struct changes *c, const struct phase_kind *kinds,
                         const struct settings *then, const struct settings *now,
                         struct standing at)
{
    char name[96], was[64], is[64], means[96];
    if (at.step == 0 || at.phase >= then->n_phases || at.phase >= now->n_phases) return;
    const struct phase_settings *k = &then->phases[at.phase], *l = &now->phases[at.phase];
    const struct phase_kind *kind = phase_kind_of(kinds, k);
    if (k->kind != l->kind || !kind->learns || at.step >= l->steps) return;
    snprintf(was, sizeof was, "%.4g", next_rate(kind, k, at.step));
    snprintf(is, sizeof is, "%.4g", next_rate(kind, l, at.step));
    if (strcmp(was, is) == 0) return;
    snprintf(name, sizeof name, "phases.%.40s: next learning rate", l->name);
    snprintf(means, sizeof means, "it jumps at step %ld of the phase", at.step);
    changes_add(c, false, name, was, is, means);
}

/* --- saying it --- */

static void print_lines(char *text)
{
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        log_info("%s", line);
    }
}

/* All ranks come here with the same differences. */
static void say_changes(const struct run *r, const struct changes *c, const char *folder)
{
    char *text = changes_text(c);
    if (c->unknown > 0)
        log_info("%s does not record %d of the current settings: these are compared with their "
                 "defaults",
                 folder, c->unknown);
    if (c->n > 0 && c->refused > 0 && r->world->first + r->world->rank == 0)
        fprintf(stderr, "%s was saved with other settings:\n%s", folder, text);
    if (c->n > 0 && c->refused == 0) {
        log_info("%s was saved with other settings:", folder);
        print_lines(text);
    }
    free(text);
}

/* The way out depends on what was refused: weights that are meaningless cannot be used by a new run
 * either. */
static void refuse(const struct run *r, const struct changes *c, const struct checkpoint *from,
                   bool weights_only, struct problems *p)
{
    struct changes model = {0};
    struct settings then;
    char names[512];
    if (c->refused == 0) return;
    if (position_recipe(&then, from)) changes_compare_model(&model, &then, &r->settings);
    bool weights = model.n > 0 || changes_name(c, "model.tokenizer");
    settings_free(&then);
    changes_free(&model);
    changes_refused(c, names, sizeof names);
    if (weights_only)
        problems_add(
            p, from->folder, 0,
            "its weights are meaningless with other values of %s: use those of its recipe.yaml",
            names);
    else if (weights)
        problems_add(p, from->folder, 0,
                     "cannot be resumed with other values of %s: restore the old ones (its "
                     "recipe.yaml has them), or start another run with --set out=FOLDER",
                     names);
    else
        problems_add(
            p, from->folder, 0,
            "cannot be resumed with other values of %s: restore the old ones (its recipe.yaml has "
            "them), or start a new run from its weights with --set model.from=%s --set out=FOLDER",
            names, from->folder);
}

/* --- a run --- */

/* Before there was zero_spread, groups without spread were left out: such a run continues that way,
 * unless the recipe says otherwise. */
static void keep_former_zero_spread(struct run *r, struct settings *then, const char *from)
{
    struct settings *now = &r->settings;
    bool kept = false;
    for (int i = 0; i < now->n_phases && i < then->n_phases; i++) {
        if (then->lines.phases[i].zero_spread || !phase_takes(&then->phases[i], "zero_spread"))
            continue;
        then->phases[i].zero_spread = ZERO_SPREAD_DROP;
        if (now->lines.phases[i].zero_spread || !phase_takes(&now->phases[i], "zero_spread"))
            continue;
        now->phases[i].zero_spread = ZERO_SPREAD_DROP;
        kept = true;
    }
    if (kept)
        log_info("%s predates zero_spread: groups without spread are left out as before "
                 "(zero_spread: drop)",
                 from);
}

/* What older checkpoints do not have. */
static void say_unrecorded(const struct run *r, const struct checkpoint *c,
                           const struct position *q)
{
    if (!q->has_data_train)
        log_info("%s has no checksum of its data: they are not compared", c->folder);
    if (!q->has_template && chat_sum(r->chat) != 0)
        log_info("%s has no checksum of its chat template: it is not compared", c->folder);
    if (!q->has_cluster && settings_cluster_sum(&r->settings) != 0)
        log_info("%s has no checksum of its cluster file: it is not compared", c->folder);
}

/* A recipe that cannot be read is not compared, and the log says so. */
static void compare_run(struct run *r, const struct checkpoint *c, const struct position *q,
                        const struct phase_kind *kinds, struct standing *at, struct changes *found)
{
    struct settings then;
    if (position_recipe(&then, c)) {
        keep_former_zero_spread(r, &then, c->folder);
        changes_extend(at, &then, &r->settings);
        changes_compare(found, &then, &r->settings, *at);
        changed_data(found, r, &then, q, *at);
        changed_template(found, r, &then, q, *at);
        changed_cluster(found, r, &then, q);
        changed_tokenizer(found, c->tokenizer, r->tokenizer_json);
        compare_rate(found, kinds, &then, &r->settings, *at);
        if (found->refused == 0) changes_keep_past(&r->settings, &then, *at);
    } else {
        log_info("%s has no recipe that this version can read: nothing is compared", c->folder);
    }
    say_unrecorded(r, c, q);
    settings_free(&then);
}

/* The files of the run are as they were when it was saved. */
static void check_files(const struct run *r, const char *folder, const struct position *q,
                        struct problems *p)
{
    struct record_mark metrics = {q->metrics_bytes, q->has_sums, q->metrics_xxh64},
                       samples = {q->samples_bytes, q->has_sums, q->samples_xxh64};
    if (r->world->rank != 0) return;
    record_file_check(folder, "metrics.jsonl", &metrics, p);
    record_file_check(folder, "samples.jsonl", &samples, p);
}

/* Sites must open the same step: they agree on it. */
static void open_newest(struct checkpoint *c, const struct run *r, const char *folder)
{
    struct problems p = {0};
    char path[PATH_BYTES];
    path_make(path, "%s", folder);
    const struct checkpoint_check check = {position_check, path};
    if (r->world->sites > 1)
        sites_checkpoint(c, folder, r->world);
    else
        checkpoint_open_if(c, folder, r->world, check, &p);
    world_agree_problems(r->world, &p, checkpoint_any(folder) ? EXIT_WORLD : EXIT_USER);
}

/* When all phases are finished: which setting would continue the run. */
static void say_standing(const struct run *r, const struct phase_kind *kinds)
{
    const struct settings *s = &r->settings;
    int last = s->n_phases - 1;
    while (last > 0 && !phase_kind_of(kinds, &s->phases[last])->learns) last--;
    if (r->phase >= s->n_phases)
        log_info("all phases of this run are done: nothing is left to train; for more steps give "
                 "--set phases.%s.steps=N, above %d",
                 s->phases[last].name, s->phases[last].steps);
}

/* As world_agree_problems, over all sites: what all of them see is said once. Collective over the
 * job. */
static void agree_problems(const struct world *w, struct problems *p)
{
    int speaker = p->n > 0 ? w->first + w->rank : INT_MAX;
    MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &speaker, 1, MPI_INT, MPI_MIN, w->comm));
    if (w->sites > 1) MPI_OK(MPI_Allreduce(MPI_IN_PLACE, &speaker, 1, MPI_INT, MPI_MIN, w->across));
    if (speaker != INT_MAX) problems_end(p, speaker, EXIT_USER);
}

/* All differences are collected and told before anything is changed. */
struct resumed resume_run(struct run *r, const char *folder, const struct phase_kind *kinds)
{
    struct problems p = {0};
    struct checkpoint c;
    struct position q;
    struct changes found = {0};
    open_newest(&c, r, folder);
    position_read(&q, c.state, c.folder, &p);
    struct standing at = {(int)q.phase, q.phase_step};
    compare_run(r, &c, &q, kinds, &at, &found);
    say_changes(r, &found, c.folder);
    refuse(r, &found, &c, false, &p);
    check_files(r, folder, &q, &p);
    agree_problems(r->world, &p);
    run_load(r, &c, true, &p);
    world_agree_problems(r->world, &p, EXIT_WORLD);
    run_move(r, at.phase, at.step);
    if (at.phase != (int)q.phase) r->evaluation = (struct tally){0}; /* not due yet */
    if (changes_name(&found, "seed") || changes_name(&found, "data."))
        r->evaluation.of = ~r->evaluation.of; /* of other problems: it starts over */
    free(r->recipe);
    r->recipe = settings_yaml(&r->settings);
    struct resumed done = {c.step, q.metrics_bytes, q.samples_bytes, NULL};
    if (found.n > 0 && c.recipe && r->world->rank == 0)
        done.former = memory_copy_text(c.recipe, "a recipe");
    log_info("resuming from %s (step %ld)", c.folder, c.step);
    say_standing(r, kinds);
    changes_free(&found);
    checkpoint_close(&c);
    return done;
}

/* --- the recipes of a run folder --- */

static const char until[] = "recipe-until-step-%08ld.yaml";

/* A run that went back makes their steps anew. */
static void remove_later(const char *folder, long step)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[PATH_BYTES], name[64];
        long of = -1;
        if (sscanf(e->d_name, until, &of) != 1 || of <= step) continue;
        snprintf(name, sizeof name, until, of);
        path_make(path, "%s/%s", folder, name);
        if (strcmp(name, e->d_name) == 0) unlink(path);
    }
    if (d) closedir(d);
}

/* Former recipes are kept: recipe-until-step-N.yaml says what held before. */
bool resume_keep_recipe(const struct run *r, const char *folder, struct resumed *resumed)
{
    char name[64];
    struct failure f = {0};
    bool goes_on = r->phase < r->settings.n_phases;
    snprintf(name, sizeof name, until, resumed->step);
    remove_later(folder, resumed->step);
    if (goes_on && resumed->former) {
        file_write(folder, name, resumed->former, strlen(resumed->former), &f);
        SYS_OK(!failed(&f), "free space on that disk", "cannot write %s/%s: %s", folder, name,
               f.why);
        log_info("the recipe of the steps so far is kept as %s/%s", folder, name);
    }
    free(resumed->former);
    resumed->former = NULL;
    return goes_on;
}

/* --- weights --- */

static void compare_model(struct changes *found, const struct checkpoint *c,
                          const struct settings *now, const char *json)
{
    struct settings then;
    struct changes all = {0};
    if (position_recipe(&then, c)) changes_compare_model(found, &then, now);
    settings_free(&then);
    if (json) changed_tokenizer(&all, c->tokenizer, json);
    changes_add_refused(found, &all);
    changes_free(&all);
}

/* Its tensors were held against the settings when these were made, on this rank; here the files may
 * be others. */
static void folder_weights(struct run *r, const char *from)
{
    struct problems p = {0};
    struct hf_folder f;
    if (hf_folder_open(&f, from, &p)) hf_folder_check(&f, &r->stage.dims, &p);
    world_agree_problems(r->world, &p, EXIT_USER);
    run_load_folder(r, &f, &p);
    world_agree_problems(r->world, &p, EXIT_WORLD);
    hf_folder_close(&f);
}

/* Only the model must agree: a new run may have any recipe. */
void resume_weights(struct run *r, const char *from)
{
    if (hf_is_folder(from)) {
        folder_weights(r, from);
        return;
    }
    struct problems p = {0};
    struct checkpoint c;
    struct changes found = {0};
    checkpoint_open(&c, from, r->world, &p);
    world_agree_problems(r->world, &p, checkpoint_any(from) ? EXIT_WORLD : EXIT_USER);
    compare_model(&found, &c, &r->settings, r->tokenizer_json);
    say_changes(r, &found, c.folder);
    refuse(r, &found, &c, true, &p);
    world_agree_problems(r->world, &p, EXIT_USER);
    run_load(r, &c, false, &p);
    world_agree_problems(r->world, &p, EXIT_WORLD);
    log_info("weights from %s (step %ld)", c.folder, c.step);
    changes_free(&found);
    checkpoint_close(&c);
}

/* For eval, sample and score: settings of the model cannot be overridden. */
void resume_check_model(const struct checkpoint *c, const struct settings *now, const char *json,
                        struct problems *p)
{
    struct changes found = {0};
    compare_model(&found, c, now, json);
    for (int i = 0; i < found.n; i++)
        problems_add(p, c->folder, 0,
                     "%s: %s in the checkpoint, now %s: the weights are meaningless with it; leave "
                     "it as the checkpoint has it",
                     found.row[i].name, found.row[i].then, found.row[i].now);
    changes_free(&found);
}
