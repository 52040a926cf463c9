/* duet settings: a recipe with all that --set, defaults and the program make of it. Scripts ask it:
 * only the program reads YAML. */
#include <stdlib.h>
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/settings.h"
#include "trainer/commands/commands.h"
#include "trainer/config/options.h"
#include "trainer/config/settings.h"

/* Without a number of ranks the one that the mesh needs; a dp that the recipe leaves open stays 0.
 */
static void check(struct settings *s, int ranks, struct problems *p)
{
    bool open = s->mesh.dp == 0 && ranks == 0;
    settings_check(s, ranks ? ranks : settings_ranks(s), p);
    if (open) s->mesh.dp = 0;
}

static void print(const struct settings *s, const struct option_list *names, struct problems *p)
{
    if (names->n == 0) {
        char *yaml = settings_yaml(s);
        fputs(yaml, stdout);
        free(yaml);
    }
    for (int i = 0; i < names->n; i++) settings_print_named(stdout, s, names->at[i], p);
}

/* A recipe without phases gets one, so that a folder of Hugging Face alone shows its settings, too.
 * */
int cmd_settings(int argc, char **argv)
{
    struct option_list sets = {0}, names = {0};
    int ranks = 0;
    const char *recipe;
    const struct option_row rows[] = {
        {"set", OPT_LIST, &sets, 0, 0, "KEY=VALUE: overrides a setting, as in duet train"},
        {"get", OPT_LIST, &names, 0, 0,
         "prints only this setting, one line each in the order given, text without quotes: --get "
         "out --get mesh.pp; --get phases: one line per phase with its name and kind"},
        {"ranks", OPT_INT, &ranks, 0, 1 << 20,
         "checks the mesh against this number of ranks; 0 or not given: the number that the mesh "
         "needs, and a dp that the recipe leaves open is printed as 0"},
    };
    struct options o = {.command = "settings",
                        .summary = "Prints a recipe as duet train resolves it: YAML with every "
                                   "setting, defaults included. Starts nothing and needs no "
                                   "mpirun; reports mistakes in the recipe as duet train does.",
                        .usage = "RECIPE",
                        .more_help = settings_help,
                        .rows = rows,
                        .n_rows = 3,
                        .args = &recipe,
                        .min_args = 1,
                        .max_args = 1};
    int code = options_parse(&o, argc, argv);
    if (code >= 0) return code;
    struct settings s;
    struct problems p = {0};
    settings_defaults(&s);
    if (hf_settings_load(&s, recipe, "[{kind: grpo}]", sets.at, sets.n, &p) && p.n == 0)
        check(&s, ranks, &p);
    settings_default_out(&s, recipe);
    if (p.n == 0) print(&s, &names, &p);
    problems_print(&p);
    code = p.n > 0 ? EXIT_USER : EXIT_DONE;
    problems_free(&p);
    settings_free(&s);
    return code;
}
