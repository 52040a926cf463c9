#include "trainer/planner/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "pipeline/auto.h"
#include "pipeline/timeline.h"
#include "trainer/planner/working.h"

const char *const DRAW_FORMAT_NAMES[DRAW_FORMATS] = {"text", "timeline", "json", "svg", "trace"};

/* ---- costs ---- */

/* With three numbers a pair takes as long as its halves. */
bool draw_costs_parse(struct draw_costs *c, const char *text, struct problems *p)
{
    double *const to[] = {&c->f, &c->b, &c->w, &c->pair};
    const char *at = text;
    int n = 0;
    for (; n < 4; n++) {
        char *end;
        *to[n] = strtod(at, &end);
        if (end == at || !(*to[n] > 0 && *to[n] < 1e12)) break;
        at = end;
        if (*at != ',') {
            n++;
            break;
        }
        at++;
    }
    if (n == 3) c->pair = c->f + c->b;
    bool read = n >= 3 && *at == '\0';
    if (!read)
        problems_add(
            p, NULL, 0,
            "--costs %.60s: write F,B,W or F,B,W,PAIR: times above 0, such as 49,107,32,144 "
            "(B is the full backward, W its weight part)",
            text);
    else if (c->w >= c->b)
        problems_add(p, NULL, 0, "--costs %.60s: W %g is part of B %g and must be less", text, c->w,
                     c->b);
    else if (c->pair < c->f || c->pair < c->b)
        problems_add(p, NULL, 0, "--costs %.60s: the pair, %g, is shorter than one of its halves",
                     text, c->pair);
    return read && c->w < c->b && c->pair >= c->f && c->pair >= c->b;
}

static struct plan_costs each_chunk(const struct draw_costs *c)
{
    return (struct plan_costs){c->f, c->b - c->w, c->w, c->pair};
}

static void table_of(struct sim_table *t, int chunks, const struct draw_costs *c)
{
    const struct plan_costs each = each_chunk(c);
    sim_table_even(t, chunks, &each);
    t->sim.message = c->message;
}

/* A whole backward counts as B, although it does W's work too. */
static void share_row(struct draw_shares *s, const struct plan_row *row, double takes)
{
    switch (row->op) {
    case PLAN_F: s->f += takes; break;
    case PLAN_B:
    case PLAN_BW: s->b += takes; break;
    case PLAN_W: s->w += takes; break;
    case PLAN_FB:
    case PLAN_INTERLEAVED: s->pair += takes; break;
    case PLAN_OPS: break;
    }
}

/* shares may be NULL: then only the makespan is wanted. */
double draw_simulate(const struct plan *plan, const struct draw_costs *c,
                     struct draw_shares *shares)
{
    struct sim_table costs;
    struct sim sim;
    table_of(&costs, plan->chunks, c);
    sim_new(&sim, plan);
    INVARIANT(sim_run(&sim, plan, &costs.sim), "the plan hangs");
    double makespan = sim.makespan;
    for (int r = 0; shares && r < plan->stages; r++) {
        shares[r] = (struct draw_shares){.idle = sim.idle[r]};
        for (int i = 0; i < plan->n_rows[r]; i++)
            share_row(&shares[r], &plan->rows[r][i], sim_row(&plan->rows[r][i], &costs.sim));
    }
    sim_free(&sim);
    sim_table_free(&costs);
    return makespan;
}

/* ---- text ---- */

/* The two flows of a bidirectional schedule are explained, since cells are marked a and b. */
static void print_head(FILE *out, const struct plan *plan)
{
    int last = plan->stages - 1;
    fprintf(out, "%s, %d stage%s, %d micro-batch%s", plan_kind_name(plan->kind), plan->stages,
            plan->stages == 1 ? "" : "s", plan->micro_batches,
            plan->micro_batches == 1 ? "" : "es");
    if (plan->place == PLACE_MIRROR)
        fprintf(out,
                "; a: direction from rank 0 down the pipeline, b: the other direction, on ranks %d "
                "to 0",
                last);
    if (plan->place == PLACE_VEE)
        fprintf(out, "; a: chunks 0 to %d on the way down, b: chunks %d to %d on the way back",
                last, last + 1, plan->chunks - 1);
    fputs("\nF forward, B backward, I its input part only, W the oldest weight part deferred by an "
          "I,\n[F|B] overlapped\n\n",
          out);
}

/* The published formula's idle time in words; nothing for a schedule that has none. */
struct formula_text {
    char text[120];
};
static struct formula_text formula_text(const struct plan *plan, const struct plan_costs *c,
                                        const char *before, const char *after)
{
    struct formula_text t = {""};
    double formula = plan_bubble_formula(plan->kind, plan->stages, plan->micro_batches, c);
    if (!isnan(formula)) snprintf(t.text, sizeof t.text, "%s%.5g%s", before, formula, after);
    return t;
}

static void print_unit(FILE *out, const struct plan *plan, const char *what, double fb)
{
    struct plan_costs costs = {1, 1, 1, fb};
    struct plan_facts facts;
    plan_check(plan, &costs, &facts, NULL);
    struct formula_text formula = formula_text(plan, &costs, " (formula ", ")");
    working_did(1);
    fprintf(out, "%-27s step %g, worst idle %g%s, mean idle %.3g, bubble %.1f %%\n", what,
            facts.makespan, facts.worst_idle, formula.text, facts.mean_idle, 100 * facts.bubble);
}

static void print_share(FILE *out, const char *who, const struct draw_shares *s, double step)
{
    fprintf(out, "%-10s %10.5g %10.5g %10.5g %10.5g %10.5g %6.1f %%\n", who, s->f, s->b, s->w,
            s->pair, s->idle, 100 * s->idle / step);
}

/* Every rank's row would be too much: the first, the last of a half, and the mean. */
static void print_shares(FILE *out, const struct plan *plan, const struct draw_costs *c)
{
    struct draw_shares mean = {0};
    struct draw_shares *all =
        memory_take((size_t)plan->stages, sizeof *all, "the drawing of a plan");
    double step = draw_simulate(plan, c, all), n = plan->stages;
    struct plan_costs costs = each_chunk(c);
    struct formula_text formula = formula_text(
        plan, &costs, "; the formula gives, for the worst rank and free messages, an idle time of ",
        "");
    fprintf(out,
            "F %g, B %g, W %g, pair %g, message %g:\nstep %.6g%s\n%-10s %10s %10s %10s %10s %10s\n",
            c->f, c->b, c->w, c->pair, c->message, step, formula.text, "", "F alone", "B alone",
            "W alone", "pairs", "idle");
    for (int r = 0; r < plan->stages; r++) {
        char who[32];
        mean.f += all[r].f / n, mean.b += all[r].b / n, mean.w += all[r].w / n;
        mean.pair += all[r].pair / n, mean.idle += all[r].idle / n;
        snprintf(who, sizeof who, "rank %d", r);
        if (r == 0 || r == (plan->stages - 1) / 2) print_share(out, who, &all[r], step);
    }
    print_share(out, "mean", &mean, step);
    free(all);
}

/* Without --costs the unit times of the papers: F = I = W = 1, and pairs that take 3 (nothing
 * gained) or 2. */
static void print_facts(FILE *out, const struct plan *plan, const struct draw_costs *c)
{
    struct plan_facts facts;
    plan_check(plan, NULL, &facts, NULL);
    working_did(1);
    fprintf(out,
            "\npeak per rank               %d micro-batches%s held until their B, %d until their "
            "W; %d weight parts deferred\n",
            facts.peak_live, plan->place == PLACE_VEE ? " of a chunk" : "", facts.peak_slots,
            facts.peak_weights);
    if (c) {
        print_shares(out, plan, c);
    } else if (plan->place == PLACE_LINE) {
        print_unit(out, plan, "F = I = W = 1", 3);
    } else {
        print_unit(out, plan, "F = I = W = 1, [F|B] = 3", 3);
        print_unit(out, plan, "F = I = W = 1, [F|B] = 2", 2);
    }
}

/* ---- pictures ---- */

/* Drawn from the simulation, not from the order of rows: idle time shows. */
static void draw_picture(FILE *out, const struct plan *plan, const struct draw *d)
{
    static const struct draw_costs unit = {1, 2, 1, 3, 0};
    struct sim_table costs;
    struct sim sim;
    struct timeline t;
    char title[128];
    table_of(&costs, plan->chunks, d->costs ? d->costs : &unit);
    sim_new(&sim, plan);
    INVARIANT(sim_run(&sim, plan, &costs.sim), "the plan hangs");
    timeline_of_sim(&t, plan, &sim);
    snprintf(title, sizeof title, "%s, %d stages, %d micro-batches", plan_kind_name(plan->kind),
             plan->stages, plan->micro_batches);
    struct timeline_drawing drawing = {.title = title,
                                       .name = {"simulated"},
                                       .timeline = {&t},
                                       .n = 1,
                                       .unit = "units",
                                       .per_unit = 1};
    (d->format == DRAW_SVG ? timeline_svg : timeline_trace)(out, &drawing);
    timeline_free(&t);
    sim_free(&sim);
    sim_table_free(&costs);
}

/* auto is searched for with the costs given, in 1f1b's memory. */
static void make_plan(struct plan *plan, const struct draw *d)
{
    if (d->kind != PLAN_AUTO || !d->costs) {
        plan_make_any(plan, d->kind, d->stages, d->micro_batches);
        return;
    }
    struct sim_table costs;
    table_of(&costs, d->stages, d->costs);
    struct auto_option option[PLACES] = {
        [PLACE_LINE] = {.costs = &costs.sim, .limits = {.slots = d->stages}}};
    INVARIANT(plan_auto(plan, d->stages, d->micro_batches, option, NULL), "1f1b always fits");
    sim_table_free(&costs);
}

/* A schedule is proved before it is printed, whatever the format. */
void draw_print(FILE *out, const struct draw *d)
{
    struct plan plan;
    struct problems wrong = {0};
    working_begin("building, checking and measuring the schedule, step", 0);
    make_plan(&plan, d);
    working_did(1);
    INVARIANT(plan_check(&plan, NULL, NULL, &wrong), "%s", wrong.n ? wrong.text[0] : "?");
    working_did(1);
    if (d->format == DRAW_JSON) {
        plan_print(out, &plan, PLAN_JSON);
    } else if (d->format == DRAW_SVG || d->format == DRAW_TRACE) {
        draw_picture(out, &plan, d);
    } else {
        print_head(out, &plan);
        if (d->format == DRAW_TIMELINE)
            plan_print_timeline(out, &plan);
        else
            plan_print(out, &plan, PLAN_TEXT);
        print_facts(out, &plan, d->costs);
    }
    working_end();
    plan_free(&plan);
}
