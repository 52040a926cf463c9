/* duet plan: a schedule drawn, proved and measured, before anything runs. */
#include <stdio.h>
#include <string.h>
#include "trainer/commands.h"
#include "trainer/config/options.h"
#include "trainer/plan/draw.h"

struct request {
    const char *schedule, *format, *costs;
    int stages, micro_batches;
    double message;
};

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

static enum draw_format format_find(const char *name, struct problems *p)
{
    int f = 0;
    while (f < DRAW_FORMATS && strcmp(name, DRAW_FORMAT_NAMES[f]) != 0) f++;
    if (f == DRAW_FORMATS) unknown(p, "--format", name, DRAW_FORMAT_NAMES, DRAW_FORMATS);
    return (enum draw_format)f;
}

static void draw_or_say(const struct request *q, struct problems *p)
{
    struct draw_costs costs = {.message = q->message};
    struct draw d = {.stages = q->stages,
                     .micro_batches = q->micro_batches,
                     .format = format_find(q->format, p)};
    if (schedule_find(q->schedule, &d.kind, p))
        plan_possible(d.kind, q->stages, q->micro_batches, p);
    if (q->costs && draw_costs_parse(&costs, q->costs, p)) d.costs = &costs;
    if (!q->costs && q->message != 0)
        problems_add(p, NULL, 0, "--message is a time beside others: give --costs too");
    if (!(q->message >= 0 && q->message < 1e12))
        problems_add(p, NULL, 0, "--message %g: a time of 0 or more", q->message);
    if (!options_first_rank()) return;
    if (p->n > 0) {
        problems_print(p);
        return;
    }
    draw_print(stdout, &d);
    SYS_OK(fflush(stdout) == 0 && !ferror(stdout), "see where the output goes",
           "cannot write the plan");
}

int cmd_plan(int argc, char **argv)
{
    struct request q = {.schedule = "dualpipe", .format = "text"};
    const struct option_row rows[] = {
        {"schedule", OPT_STRING, &q.schedule,
         "serial, 1f1b, zb1p, dualpipe, dualpipev, or auto: searched for, in 1f1b's memory"},
        {"stages", OPT_INT, &q.stages, "pipeline stages = ranks of a pipeline"},
        {"micro-batches", OPT_INT, &q.micro_batches, "micro-batches of a step, both ways together"},
        {"costs", OPT_STRING, &q.costs,
         "F,B,W or F,B,W,PAIR: times of a chunk's forward, full backward, its weight part, and an "
         "overlapped pair, in any unit (default: 1,2,1 and a pair of 3 or 2)"},
        {"message", OPT_REAL, &q.message, "time of a message between stages, in that unit (0)"},
        {"format", OPT_STRING, &q.format,
         "text, timeline (columns are time), json, svg (a picture), trace (for ui.perfetto.dev)"},
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
    draw_or_say(&q, &p);
    code = p.n > 0 ? EXIT_USER : EXIT_DONE;
    problems_free(&p);
    return code;
}
