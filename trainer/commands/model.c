#include "trainer/commands/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "comm/base/file.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/folder.h"
#include "trainer/checkpoint/hf/kept.h"
#include "trainer/checkpoint/hf/settings.h"
#include "trainer/run/position.h"
#include "trainer/run/resume.h"

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    if (strcmp(a, b) == 0) return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A data.file of the command line that the model was not trained on is evaluated as a whole; of its
 * training file still only the held-out tenth, or the recipe's held-out file. */
static void take_own_file(struct settings *s, const char *trained_on)
{
    bool own = s->lines.data.file == LINE_SET;
    bool apart = s->lines.data.heldout_file == LINE_SET && s->data.heldout_file[0];
    if (!own || apart || same_file(s->data.file, trained_on)) return;
    free(s->data.heldout_file);
    s->data.heldout_file = memory_copy_text(s->data.file, "a path");
}

static void take_phases(struct settings *s, const char *phases, struct problems *p)
{
    char yaml[256];
    int n = snprintf(yaml, sizeof yaml, "phases: %s\n", phases);
    INVARIANT(n < (int)sizeof yaml, "a list of %d characters", n);
    settings_parse(s, yaml, (size_t)n, "phases", p);
}

/* The checkpoint's recipe on the mesh of this job: how the run was split does not matter for
 * answers. */
static void settings_of(struct settings *s, const struct checkpoint *c,
                        const struct answer_job *job, int ranks, struct problems *p)
{
    const struct option_list *sets = job->sets;
    settings_defaults(s);
    settings_parse_stored(s, c->recipe, p);
    if (job->phases) take_phases(s, job->phases, p);
    s->files = hf_kept_files(c);
    s->mesh.dp = 0;
    s->mesh.sites = 1;
    s->mesh.pp = s->mesh.tp = s->mesh.ep = 1;
    s->run.schedule = SCHEDULE_AUTO;
    s->mesh.cluster[0] = '\0'; /* the file may have moved since */
    char *trained_on = memory_copy_text(s->data.file, "a path");
    for (int i = 0; i < sets->n; i++) settings_set(s, sets->at[i], p);
    take_own_file(s, trained_on);
    free(trained_on);
    if (p->n == 0) settings_check(s, ranks, p);
    settings_load_cluster(s, p);
    if (p->n == 0) resume_check_model(c, s, NULL, p);
}

void answer_check_options(int prompts, int samples, double temperature, struct problems *p)
{
    if (temperature > 0 && temperature < TEMPERATURE_LEAST)
        problems_add(p, NULL, 0, "--temperature: %g is neither 0 (greedy) nor at least %g",
                     temperature, TEMPERATURE_LEAST);
    if (!settings_can_sample(prompts, samples))
        problems_add(
            p, NULL, 0,
            "%d prompts with %d samples each are too many answers for one step: lower one of them",
            prompts, samples);
}

/* What is asked for beside what the model can. */
static void check_extent(const struct settings *s, const struct extent *e, struct problems *p)
{
    if (!e->sampling) return;
    if (e->max_new >= s->model.max_context)
        problems_add(p, NULL, 0,
                     "%s %d leaves no room for the prompt in the model's context of %d tokens",
                     e->lower ? e->lower : "--max-new", e->max_new, s->model.max_context);
}

/* mesh.tp of the run that saved it; it was checked then. */
static int trained_tp_of(const struct checkpoint *c)
{
    struct settings s;
    struct problems ignored = {0};
    settings_defaults(&s);
    settings_parse_stored(&s, c->recipe, &ignored);
    int tp = s.mesh.tp;
    problems_free(&ignored);
    settings_free(&s);
    return tp;
}

/* What is asked for, put into the extent; then the run of these settings. tokenizer: as of
 * run_open. */
static void enter(struct run *r, struct world *w, struct settings s, const char *tokenizer,
                  struct extent e)
{
    struct problems p = {0};
    if (e.max_new == 0) e.max_new = answer_phase(&s).max_new;
    check_extent(&s, &e, &p);
    problems_end_if_any(&p);
    watchdog_start(s.run.watchdog_s);
    e.longest[SPLIT_HELDOUT] = e.max_new;
    run_open(r, w, s, tokenizer, e);
}

/* In this order: the checkpoint's recipe decides the sizes, the sizes the memory, then the weights
 * are read. */
static void enter_checkpoint(struct run *r, struct world *w, const struct answer_job *job)
{
    struct problems p = {0};
    struct checkpoint c;
    checkpoint_open_if(&c, job->path, w, (struct checkpoint_check){position_check, NULL}, &p);
    world_agree_problems(w, &p, checkpoint_any(job->path) ? EXIT_WORLD : EXIT_USER);
    struct settings s;
    settings_of(&s, &c, job, w->size, &p);
    problems_end_if_any(&p);
    /* the file that the recipe names may have moved since: the checkpoint has the tokenizer in it
     */
    bool other = s.lines.model.tokenizer == LINE_SET;
    enter(r, w, s, other ? NULL : c.tokenizer, job->extent);
    if (other) resume_check_model(&c, &r->settings, r->tokenizer_json, &p);
    problems_end_if_any(&p);
    run_load(r, &c, false, &p);
    world_agree_problems(w, &p, EXIT_WORLD);
    r->step = c.step;
    r->trained_tp = trained_tp_of(&c);
    checkpoint_close(&c);
}

/* Phases that nobody wrote stand in for a recipe; an evaluation asks for the least. */
static void enter_folder(struct run *r, struct world *w, const struct answer_job *job)
{
    struct problems p = {0};
    struct settings s;
    const char *phases = job->phases ? job->phases : "[{kind: eval}]";
    settings_defaults(&s);
    s.mesh.dp = 0;
    bool ok = hf_settings_load(&s, job->path, phases, job->sets->at, job->sets->n, &p);
    if (ok) settings_check(&s, w->size, &p);
    settings_load_cluster(&s, &p);
    world_agree_problems(w, &p, EXIT_USER); /* the folder may be another on another host */
    enter(r, w, s, NULL, job->extent);
    resume_weights(r, job->path);
    r->trained_tp = r->mesh.tp;
}

void answer_enter_as(struct run *r, struct world *w, const struct answer_job *job)
{
    log_set(LOG_QUIET, w->rank);
    if (hf_is_folder(job->path))
        enter_folder(r, w, job);
    else
        enter_checkpoint(r, w, job);
}

void answer_enter(struct run *r, struct world *w, const char *path, const struct option_list *sets,
                  struct extent extent)
{
    const struct answer_job job = {.path = path, .sets = sets, .extent = extent};
    answer_enter_as(r, w, &job);
}

void answer_open(struct run *r, struct world *w, int *argc, char ***argv, const char *path,
                 const struct option_list *sets, struct extent extent)
{
    world_up(w, argc, argv);
    answer_enter(r, w, path, sets, extent);
}

void answer_close(struct run *r, struct world *w)
{
    run_close(r);
    world_down(w);
}

struct phase_settings answer_phase(const struct settings *s)
{
    struct phase_settings k = {.max_new = s->model.max_context / 2,
                               .temperature = 1,
                               .top_p = 1,
                               .prompts = 24,
                               .samples = 1};
    for (int i = 0; i < s->n_phases; i++)
        if (phase_takes(&s->phases[i], "temperature")) k = s->phases[i];
    return k;
}

static char *read_stream(const char *path, size_t *n, struct problems *p)
{
    enum { MOST = 1 << 30 };
    char why[FILE_WHY];
    char *text = strcmp(path, "-") == 0 ? file_read_open(STDIN_FILENO, MOST, n, why)
                                        : file_read(path, FILE_ANY, MOST, n, why);
    if (!text)
        problems_add(p, path, 0,
                     "cannot be read: %s; give a file of at most 1 GiB, or - for standard input",
                     why);
    return text;
}

/* Read by rank 0 only: standard input is its alone. */
char *answer_read(const struct world *w, const char *path, size_t *n)
{
    struct problems p = {0};
    char *text = w->rank == 0 ? read_stream(path, n, &p) : NULL;
    world_agree_problems(w, &p, EXIT_USER);
    unsigned long long size = w->rank == 0 ? *n : 0;
    MPI_OK(MPI_Bcast(&size, 1, MPI_UNSIGNED_LONG_LONG, 0, w->comm));
    *n = (size_t)size;
    if (!text) text = malloc(*n + 1);
    SYS_OK(text, "free memory", "no memory for %s", path);
    MPI_OK(MPI_Bcast(text, (int)*n, MPI_BYTE, 0, w->comm));
    text[*n] = 0;
    return text;
}
