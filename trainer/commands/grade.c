/* duet grade: what rewards give to answers, a line at a time.
 *
 * In: {"id", "answer", "expected", "prompt", "tests", "language", "tokens"}, of which a reward may
 * need some; out, in the same order: {"id", "rewards": {"NAME": value, ...}, "why": "..."}, or
 * {"id", "error": "..."} of a line that cannot be graded. Lines are read, answered and forgotten.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/arena.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/commands/commands.h"
#include "trainer/config/check.h"
#include "trainer/config/graders.h"
#include "trainer/config/options.h"
#include "trainer/config/settings.h"
#include "trainer/reward/code/ask.h"
#include "trainer/reward/math/math.h"
#include "trainer/reward/plugin/plugins.h"
#include "trainer/reward/rewards.h"

struct grade_job {
    struct settings settings; /* of one grpo phase */
    unsigned set;             /* of graders */
    struct grading grading;
    struct rewards rewards; /* of one answer */
    struct arena arena;
    long lines, graded;
};

/* --- what a line has --- */

/* A line taken apart; what its pointers point into is the JSON's. */
struct graded_line {
    json_t *o, *id;
    char *tests; /* malloc'ed */
    struct problem problem;
    struct completion completion;
    const char *error; /* NULL: it can be graded */
    char room[512];
};

static void cannot(struct graded_line *l, const char *fmt, const char *name, const char *what)
{
    if (l->error) return;
    snprintf(l->room, sizeof l->room, fmt, name, what);
    l->error = l->room;
}

/* What a reward needs and the line has not. */
static void look_for_needs(struct graded_line *l, const struct grader *g,
                           const struct phase_settings *k)
{
    const unsigned needs = g->needs | (g->also_needs ? g->also_needs(k) : 0);
    const json_t *tests = json_object_get(l->o, "tests");
    bool math = strcmp(g->name, "math") == 0;
    if ((math || (needs & NEEDS_VERDICT) == NEEDS_VERDICT) && !l->problem.answer)
        cannot(l, "%s needs \"%s\": a string", g->name, "expected");
    if (needs & NEEDS_TESTS && !json_is_array(tests))
        cannot(l, "%s needs \"%s\": a list", g->name, "tests");
    if (needs & NEEDS_LANGUAGE && !l->problem.language)
        cannot(l, "%s needs \"%s\": a string", g->name, "language");
    if (needs & NEEDS_COUNT && !json_is_integer(json_object_get(l->o, "tokens")))
        cannot(l, "%s needs \"%s\": how many the answer has", g->name, "tokens");
}

/* What the mathematics grader cannot decide, such as an expected answer that it cannot read, is no
 * wrong answer. */
static void look_for_undecided(struct graded_line *l, const struct grade_job *j)
{
    const int row = grader_named("math");
    char why[256] = "";
    if (row == GRADERS || !graders_have(j->set, row) || l->error) return;
    const struct span answer = {l->completion.text, l->completion.bytes},
                      expected = {l->problem.answer, strlen(l->problem.answer)};
    if (math_grade(answer, expected, why, sizeof why) == MATH_UNDECIDED)
        cannot(l, "%s cannot decide: %s", "math", why);
}

/* Any bytes that are JSON; an answer may hold zeros. */
static void take_apart(struct graded_line *l, const struct grade_job *j, const char *line, size_t n)
{
    json_error_t why;
    *l = (struct graded_line){.o = json_loadb(line, n, JSON_ALLOW_NUL, &why)};
    const json_t *answer = json_object_get(l->o, "answer");
    json_int_t tokens = json_integer_value(json_object_get(l->o, "tokens"));
    l->id = json_object_get(l->o, "id");
    l->problem = (struct problem){.prompt = json_string_value(json_object_get(l->o, "prompt")),
                                  .answer = json_string_value(json_object_get(l->o, "expected")),
                                  .language = json_string_value(json_object_get(l->o, "language"))};
    if (!json_is_object(l->o))
        cannot(l, "%s%s", "not a JSON object: ", l->o ? "" : why.text);
    else if (!json_is_string(answer))
        cannot(l, "%s%s", "no \"answer\": a string", "");
    for (int i = 0; i < GRADERS; i++)
        if (graders_have(j->set, i)) look_for_needs(l, grader_at(i), &j->settings.phases[0]);
    if (l->error) return;
    if (json_object_get(l->o, "tests"))
        l->problem.tests = l->tests = json_dumps(json_object_get(l->o, "tests"), JSON_ENCODE_ANY);
    if (!l->problem.answer) l->problem.answer = "";
    l->completion = (struct completion){.problem = &l->problem,
                                        .n = tokens < 0         ? 0
                                             : tokens > 1 << 24 ? 1 << 24
                                                                : (int)tokens,
                                        .flops_row = 1, /* no model: each token costs the same */
                                        .text = json_string_value(answer),
                                        .bytes = json_string_length(answer)};
    look_for_undecided(l, j);
}

/* --- grading --- */

/* The verdict where a reward goes by it, how a program ended where one ran. */
static const char *why_of(const struct grade_job *j, const struct completion *c)
{
    const struct rewards *r = &j->rewards;
    for (int i = 0; i < GRADERS; i++)
        for (int e = 0; graders_have(j->set, i) && grader_at(i)->counts && grader_at(i)->counts[e];
             e++)
            if (r->counts[i][e] > 0) return grader_at(i)->counts[e];
    bool verdict = (graders_need(j->set) & NEEDS_VERDICT) == NEEDS_VERDICT;
    return verdict ? reason_text(c->verdict.why) : "";
}

static json_t *rewards_json(const struct grade_job *j)
{
    json_t *values = json_object();
    for (int i = 0; i < GRADERS; i++)
        if (graders_have(j->set, i))
            json_object_set_new(values, grader_called(i, &j->settings.phases[0]),
                                json_real((double)j->rewards.value[i][0]));
    return values;
}

static void grade(struct grade_job *j, struct graded_line *l)
{
    const struct phase_settings *k = &j->settings.phases[0];
    rewards_clear(&j->rewards, j->set, 1);
    rewards_grade(&j->rewards, &j->grading, 0, &l->completion, k);
    rewards_collect(&j->rewards, &j->grading, k);
    for (int i = 0; i < GRADERS; i++)
        if (j->rewards.lost[i] > 0)
            cannot(l, "no verdict of %s: %s", grader_called(i, k), why_of(j, &l->completion));
}

/* A line in, a line out. */
static void take_line(struct grade_job *j, const char *line, size_t n)
{
    struct graded_line l;
    take_apart(&l, j, line, n);
    j->lines++;
    if (!l.error) grade(j, &l);
    json_t *id = l.id ? json_incref(l.id) : json_integer((json_int_t)j->lines);
    json_t *out = l.error ? json_pack("{s:o, s:s}", "id", id, "error", l.error)
                          : json_pack("{s:o, s:o, s:s}", "id", id, "rewards", rewards_json(j),
                                      "why", why_of(j, &l.completion));
    INVARIANT(out, "line %ld has no verdict", j->lines);
    int failed = json_dumpf(out, stdout, JSON_REAL_PRECISION(9));
    SYS_OK(failed == 0 && putchar('\n') != EOF, "free space where the output goes",
           "cannot write: %s", strerror(errno));
    j->graded += !l.error;
    json_decref(out);
    json_decref(l.o);
    free(l.tests);
}

static void take_lines(struct grade_job *j, FILE *in, const char *name)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    while ((n = getline(&line, &room, in)) >= 0)
        if (strspn(line, " \t\r\n") != (size_t)n) take_line(j, line, (size_t)n);
    SYS_OK(!ferror(in), "look at the disk or the program before the pipe", "cannot read %s: %s",
           name, strerror(errno));
    SYS_OK(fflush(stdout) == 0, "free space where the output goes", "cannot write: %s",
           strerror(errno));
    free(line);
}

/* --- the command --- */

struct grade_options {
    const char *args[1];
    struct option_list rewards, sets;
};

static void print_rewards(void)
{
    puts("\nRewards that can be given to an answer by itself:\n");
    for (int i = 0; i < GRADERS; i++)
        if ((grader_at(i)->grade || grader_at(i)->start) && !grader_at(i)->called)
            printf("  %-12s %s\n", grader_at(i)->name, grader_at(i)->help);
    puts("\nWhat a reward does not need may be absent from a line. length and efficiency need\n"
         "\"tokens\": how many the answer has. \"language\" names the one that is wanted (en, zh, "
         "...),\nor that of the program (python, c). docs/REWARDS.md defines each reward.\n"
         "Graders of your own are called by their names: --reward judge --set 'graders=[{\"name\": "
         "\"judge\",\n\"command\": \"python3 verifier.py\"}]'.");
}

/* What rewards look at comes by --set, under its name in a recipe: a new reward needs no option. */
static int read_options(struct grade_options *e, int argc, char **argv)
{
    *e = (struct grade_options){.rewards = {.n = 0}};
    const struct option_row rows[] = {
        {"reward", OPT_LIST, &e->rewards, 0, 0, "NAME of a reward"},
        {"set", OPT_LIST, &e->sets, 0, 0,
         "KEY=VALUE; a setting of a grpo phase, such as target_language=en, max_new=512"},
    };
    struct options o = {
        .command = "grade",
        .summary = "What rewards give to answers: reads JSON Lines {\"id\", \"answer\", "
                   "\"expected\", \"prompt\", \"tests\", \"language\"} from FILE or standard input "
                   "and writes {\"id\", \"rewards\": {NAME: value}, \"why\"} for each, in order. "
                   "\"answer\" is what follows <think>. A line that cannot be graded gets "
                   "\"error\"; exit code 2 only where none could be.",
        .usage = "[FILE]",
        .more_help = print_rewards,
        .rows = rows,
        .n_rows = 2,
        .args = e->args,
        .min_args = 0,
        .max_args = 1};
    return options_parse(&o, argc, argv);
}

/* A slot for a grader of one's own that no setting fills is no reward. */
static bool is_there(int row, const struct phase_settings *k)
{
    const struct grader *g = grader_at(row);
    return !g->called || g->called(k);
}

/* The rows of graders of one's own have the names that the settings give them. */
static int row_of(const char *name, const struct phase_settings *k)
{
    for (int i = 0; i < GRADERS; i++)
        if (is_there(i, k) && strcmp(grader_called(i, k), name) == 0) return i;
    return GRADERS;
}

/* Behind take_settings: graders of one's own have their names from there. */
static void take_rewards(struct grade_job *j, const struct option_list *names, struct problems *p)
{
    const struct phase_settings *k = &j->settings.phases[0];
    const char *known[GRADERS];
    int n = 0;
    for (int i = 0; i < GRADERS; i++)
        if (is_there(i, k)) known[n++] = grader_called(i, k);
    if (names->n == 0) problems_add(p, NULL, 0, "--reward NAME is missing: see duet grade --help");
    for (int i = 0; i < names->n; i++) {
        int row = row_of(names->at[i], k);
        const char *near = row == GRADERS ? nearest_name(names->at[i], known, n) : NULL;
        if (row == GRADERS)
            problems_add(p, NULL, 0, "no reward is called \"%.40s\"%s%s%s: see duet grade --help",
                         names->at[i], near ? "; did you mean " : "", near ? near : "",
                         near ? "?" : "");
        else if (!grader_at(row)->grade && !grader_at(row)->start)
            problems_add(p, NULL, 0,
                         "%s cannot be given to an answer by itself: it looks at a whole group, or "
                         "needs the model",
                         names->at[i]);
        else
            j->set |= 1u << row;
    }
}

/* A key without a dot is the phase's. */
static void take_settings(struct grade_job *j, const struct option_list *sets, struct problems *p)
{
    static const char recipe[] = "phases: [{kind: grpo}]";
    settings_defaults(&j->settings);
    settings_parse(&j->settings, recipe, sizeof recipe - 1, "duet grade", p);
    for (int i = 0; i < sets->n; i++) {
        const char *at = sets->at[i], *dot = strchr(at, '.'), *equal = strchr(at, '=');
        bool of_phase = !dot || (equal && equal < dot);
        char *text = memory_take(strlen(at) + 16, 1, "a setting");
        snprintf(text, strlen(at) + 16, "%s%s", of_phase ? "phases.grpo." : "", at);
        settings_set(&j->settings, text, p);
        free(text);
    }
    plugins_check(&(struct check){&j->settings, 1, p}, 0);
}

/* Graders of one's own, where a reward is theirs. */
static void open_plugins(struct grade_job *j, struct problems *p)
{
    const unsigned theirs = ((1u << PLUGINS_MOST) - 1) << GRADER_PLUGIN;
    if (!(j->set & theirs) || p->n > 0) return;
    if (!j->grading.server)
        j->grading.server = grade_server() ? grade_server() : grade_server_fork();
    plugins_open(j->grading.server, &j->settings);
    plugins_agree(j->grading.server, p);
}

/* Programs are judged by the server's sandbox, or not at all. */
static void open_server(struct grade_job *j, struct problems *p)
{
    bool code = graders_have(j->set, GRADER_CODE);
    const struct code_rules rules = code_rules_of(&j->settings.phases[0]);
    if (!code || p->n > 0) return;
    j->grading.server = grade_server() ? grade_server() : grade_server_fork();
    const struct code_level level = code_open(j->grading.server, &rules);
    if (level.level == SANDBOX_REFUSED || (level.level == SANDBOX_REDUCED && !rules.reduced))
        problems_add(p, NULL, 0, "the sandbox for programs is %s: %s (docs/TROUBLE.md)",
                     level.level == SANDBOX_REFUSED ? "refused" : "REDUCED", level.says);
}

/* No world and no model, so that a pipe starts at once. */
int cmd_grade(int argc, char **argv)
{
    struct grade_options e;
    struct problems p = {0};
    int code = read_options(&e, argc, argv);
    if (code >= 0) return code;
    struct grade_job j = {.set = 0};
    take_settings(&j, &e.sets, &p);
    take_rewards(&j, &e.rewards, &p);
    const char *file = e.args[0] ? e.args[0] : "-";
    FILE *in = strcmp(file, "-") != 0 ? fopen(file, "r") : stdin;
    if (!in) problems_add(&p, file, 0, "cannot be read: %s", strerror(errno));
    open_server(&j, &p);
    open_plugins(&j, &p);
    problems_end_if_any(&p);
    j.grading.thinks = j.settings.data.think;
    rewards_place(&j.rewards, j.set, 1, &j.arena);
    arena_back(&j.arena, &device_host, j.arena.used);
    rewards_place(&j.rewards, j.set, 1, &j.arena);
    take_lines(&j, in, file);
    if (in != stdin) fclose(in);
    if (j.graded < j.lines)
        fprintf(stderr, "%ld of %ld lines could not be graded\n", j.lines - j.graded, j.lines);
    arena_free(&j.arena);
    settings_free(&j.settings);
    return j.lines > 0 && j.graded == 0 ? EXIT_USER : EXIT_DONE;
}
