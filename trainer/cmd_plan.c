/* duet plan: a schedule drawn, proved and measured, before anything runs. */
#include <stdio.h>
#include <string.h>
#include "pipeline/check.h"
#include "trainer/commands.h"
#include "trainer/config/options.h"

struct request {
    const char *schedule, *format;
    int stages, micro_batches;
};

enum { TEXT, JSON, TIMELINE, N_FORMATS };
static const char *const FORMATS[N_FORMATS] = {"text", "json", "timeline"};

static void unknown(struct problems *p, const char *option, const char *word,
                    const char *const *names, int n)
{
    char all[128] = "";
    const char *near = nearest_name(word, names, n);
    for (int i = 0; i < n; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
    }
    problems_add(p, NULL, 0, "%s %.60s is none of %s%s%s%s", option, word, all,
                 near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static bool schedule_find(const char *name, enum plan_kind *k, struct problems *p)
{
    const char *names[PLAN_KINDS];
    if (plan_kind_find(name, k)) return true;
    for (int i = 0; i < PLAN_KINDS; i++) names[i] = plan_kind_name((enum plan_kind)i);
    unknown(p, "--schedule", name, names, PLAN_KINDS);
    return false;
}

/* N_FORMATS if it is none. */
static int format_find(const char *name, struct problems *p)
{
    int f = 0;
    while (f < N_FORMATS && strcmp(name, FORMATS[f]) != 0) f++;
    if (f == N_FORMATS) unknown(p, "--format", name, FORMATS, N_FORMATS);
    return f;
}

static void print_head(const struct plan *plan)
{
    int last = plan->stages - 1;
    printf("%s, %d stage%s, %d micro-batch%s", plan_kind_name(plan->kind), plan->stages,
           plan->stages == 1 ? "" : "s", plan->micro_batches, plan->micro_batches == 1 ? "" : "es");
    if (plan->place == PLACE_MIRROR)
        printf("; a: flow down from stage 0, b: up, on the ranks %d to 0", last);
    if (plan->place == PLACE_VEE)
        printf("; a: chunks 0 to %d on the way down, b: chunks %d to %d on the way back", last,
               last + 1, plan->chunks - 1);
    puts("\nF forward, B backward, I its input part alone, W the oldest weight part left by an I,\n"
         "[F|B] overlapped\n");
}

static void print_costs(const struct plan *plan, const char *what, double fb)
{
    struct plan_costs costs = {1, 1, 1, fb};
    struct plan_facts facts;
    plan_check(plan, &costs, &facts, NULL);
    double formula = plan_bubble_formula(plan->kind, plan->stages, &costs);
    if (plan->kind == PLAN_SERIAL) formula *= plan->micro_batches;
    printf("%-27s step %g, worst idle %g (formula %g), mean idle %.3g, bubble %.1f %%\n", what,
           facts.makespan, facts.worst_idle, formula, facts.mean_idle, 100 * facts.bubble);
}

static void print_facts(const struct plan *plan, const struct plan_facts *facts)
{
    printf("\na rank keeps at most        %d micro-batches%s until their B, %d until their W; %d "
           "weight "
           "parts wait\n",
           facts->peak_live, plan->place == PLACE_VEE ? " of a chunk" : "", facts->peak_slots,
           facts->peak_weights);
    if (plan->place == PLACE_LINE) {
        print_costs(plan, "F = I = W = 1", 3);
    } else {
        print_costs(plan, "F = I = W = 1, [F|B] = 3", 3);
        print_costs(plan, "F = I = W = 1, [F|B] = 2", 2);
    }
}

static void print_plan(enum plan_kind k, const struct request *q, int format)
{
    struct plan plan;
    struct plan_facts facts;
    struct problems wrong = {0};
    plan_make(&plan, k, q->stages, q->micro_batches);
    INVARIANT(plan_check(&plan, NULL, &facts, &wrong), "%s", wrong.n ? wrong.text[0] : "?");
    if (format == JSON) {
        plan_print(stdout, &plan, PLAN_JSON);
    } else {
        print_head(&plan);
        if (format == TIMELINE)
            plan_print_timeline(stdout, &plan);
        else
            plan_print(stdout, &plan, PLAN_TEXT);
        print_facts(&plan, &facts);
    }
    plan_free(&plan);
    SYS_OK(fflush(stdout) == 0 && !ferror(stdout), "see where the output goes",
           "cannot write the plan");
}

int cmd_plan(int argc, char **argv)
{
    struct request q = {.schedule = "dualpipe", .format = "text"};
    const struct option_row rows[] = {
        {"schedule", OPT_STRING, &q.schedule, "serial, 1f1b, zb1p, dualpipe or dualpipev"},
        {"stages", OPT_INT, &q.stages, "pipeline stages = ranks of a pipeline"},
        {"micro-batches", OPT_INT, &q.micro_batches, "micro-batches of a step, both ways together"},
        {"format", OPT_STRING, &q.format, "text, timeline (columns are time) or json"},
    };
    struct options o = {
        .command = "plan",
        .summary = "Draws a pipeline schedule, proves it (complete, ordered, no hang) and\n"
                   "says what it keeps in memory and how long ranks idle.",
        .usage = "",
        .rows = rows,
        .n_rows = sizeof rows / sizeof rows[0]};
    int code = options_parse(&o, argc, argv);
    if (code >= 0) return code;
    struct problems p = {0};
    enum plan_kind k = PLAN_SERIAL;
    int format = format_find(q.format, &p);
    if (schedule_find(q.schedule, &k, &p)) plan_possible(k, q.stages, q.micro_batches, &p);
    if (options_first_rank()) {
        if (p.n > 0)
            problems_print(&p);
        else
            print_plan(k, &q, format);
    }
    code = p.n > 0 ? EXIT_USER : EXIT_DONE;
    problems_free(&p);
    return code;
}
