/* duet eval MODEL: pass@1, pass@k and maj@k on held-out problems, as JSON. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "trainer/commands/model.h"
#include "trainer/phases/evaluate.h"
#include "trainer/run/served.h"
#include "trainer/commands/commands.h"

struct eval_options {
    struct option_list sets;
    int prompts, samples, max_new, top_k;
    double temperature, top_p;
    const char *path;
};

/* Not given: of a generator. */
enum { PROMPTS = 128 };
static int prompts_of(const struct eval_options *e)
{
    return e->prompts > 0 ? e->prompts : PROMPTS;
}

static void check_eval_options(const void *checked, struct problems *p)
{
    const struct eval_options *e = checked;
    answer_check_options(prompts_of(e), e->samples, e->temperature, p);
}

/* -1 is what no user can give: the recipe's value counts. */
static int read_eval_options(struct eval_options *e, int argc, char **argv)
{
    *e = (struct eval_options){.samples = 8, .temperature = -1, .top_p = -1, .top_k = -1};
    const struct option_row rows[] = {
        {"prompts", OPT_INT, &e->prompts, 1, 1 << 20,
         "number of held-out problems, each used once; all of them when there are fewer (default: "
         "128 of a generator, all of a file)"},
        {"samples", OPT_INT, &e->samples, 1, 4096, "answers per problem"},
        {"max-new", OPT_INT, &e->max_new, 1, 1 << 20,
         "maximum answer length in tokens (default: the recipe's)"},
        {"temperature", OPT_REAL, &e->temperature, 0, 100,
         "0: greedy, else at least 0.001 (default: the recipe's)"},
        {"top-k", OPT_INT, &e->top_k, 0, 1 << 20, "sample from the k most likely tokens; 0: off"},
        {"top-p", OPT_REAL, &e->top_p, 1e-6, 1,
         "sample from the most likely tokens with this total probability; 1: off"},
        {"set", OPT_LIST, &e->sets, 0, 0,
         "KEY=VALUE: overrides a setting of the checkpoint's recipe, e.g. "
         "--set data.difficulty=4, or --set data.file=problems.jsonl: a file that the model was "
         "not trained on is evaluated completely"},
    };
    struct options o = {.command = "eval",
                        .summary =
                            "Evaluates a checkpoint on held-out problems; prints one JSON object.",
                        .usage = "MODEL",
                        .check = check_eval_options,
                        .checked = e,
                        .rows = rows,
                        .n_rows = 7,
                        .args = &e->path,
                        .min_args = 1,
                        .max_args = 1};
    return options_parse(&o, argc, argv);
}

static void print_text(const char *name, const char *text)
{
    json_t *value = json_string(text);
    char *quoted = json_dumps(value, JSON_ENCODE_ANY);
    printf(", \"%s\": %s", name, quoted ? quoted : "null");
    free(quoted);
    json_decref(value);
}

/* ", "NAME": value", null for what was not measured */
static void print_value(const char *name, double value)
{
    if (isfinite(value))
        printf(", \"%s\": %.9g", name, value);
    else
        printf(", \"%s\": null", name);
}

/* One JSON object; "stopped" only when it is not complete. */
static void print_score(const struct run *r, const struct score *s, bool whole)
{
    const struct task *task = source_task(r->source);
    char name[32];
    char source[4096];
    source_describe_heldout(r->source, source, sizeof source);
    printf("{\"step\": %ld", r->step);
    print_text("task", source_name(r->source));
    printf(", \"prompts\": %d, \"asked\": %d, \"samples\": %d", s->prompts, s->asked, s->samples);
    print_text("source", source);
    print_value("pass@1", s->pass1);
    snprintf(name, sizeof name, "pass@%d", s->samples);
    if (s->samples > 1) print_value(name, s->pass_k);
    snprintf(name, sizeof name, "maj@%d", s->samples);
    if (s->samples > 1) print_value(name, s->maj_k);
    print_value("length", s->length);
    print_value("truncated_fraction", s->truncated);
    print_value("format", s->format);
    for (int i = 0; task && task->part_names && task->part_names[i]; i++)
        print_value(task->part_names[i], s->part[i]);
    printf("%s}\n", whole ? "" : ", \"stopped\": true");
}

/* A file is evaluated whole unless --prompts says otherwise: how many problems it has is known only
 * when it is open, hence `every` in place of a number. */
int cmd_eval(int argc, char **argv)
{
    struct eval_options e;
    int code = read_eval_options(&e, argc, argv);
    if (code >= 0) return code;
    struct run r;
    struct world w;
    struct extent extent = {.keep = KEEP_WEIGHTS,
                            .answers = prompts_of(&e) * e.samples,
                            .samples = e.samples,
                            .questions = prompts_of(&e),
                            .heldout = prompts_of(&e),
                            .every = e.prompts > 0 ? 0 : e.samples,
                            .max_new = e.max_new,
                            .sampling = true,
                            .data = {SPLITS_HELDOUT, SPLITS_HELDOUT}};
    world_catch_signals(); /* a request while we load is heard by the first decode batch */
    answer_open(&r, &w, &argc, &argv, e.path, &e.sets, extent);
    served_check(&r);
    struct phase_settings k = answer_phase(&r.settings);
    if (e.max_new > 0) k.max_new = e.max_new;
    if (e.temperature >= 0) k.temperature = e.temperature;
    if (e.top_k >= 0) k.top_k = e.top_k;
    if (e.top_p > 0) k.top_p = e.top_p;
    bool all = e.prompts == 0 && !source_task(r.source);
    int asked = all ? source_heldout(r.source, INT_MAX) : prompts_of(&e);
    struct tally t = evaluate_begin(&r, &k, r.step, asked, e.samples);
    bool whole = evaluate_go_on(&r, &k, &t);
    struct score s = tally_score(&t);
    if (w.rank == 0) print_score(&r, &s, whole);
    if (w.rank == 0 && !whole)
        fprintf(stderr, "stopped on request after %d of %d problems: the figures are for those\n",
                t.done, t.prompts);
    answer_close(&r, &w);
    return whole ? EXIT_DONE : EXIT_STOPPED;
}
