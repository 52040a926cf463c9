/* The search, for every placement: the best named plan that fits, and the best by list scheduling
 * (pipeline/list.h) under rules that are first drawn from a family and then changed a little at a
 * time, keeping what is not worse. Ranks decide by themselves, so what is searched there is small:
 * how many micro-batches each chunk lets in, and a policy of seven choices for each rank. Then what
 * is near the best is improved row by row (pipeline/improve.h). All draws come from seeded
 * streams. */
#include "pipeline/auto.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "comm/base/rng.h"
#include "pipeline/improve.h"
#include "pipeline/list.h"

/* How much is tried: plans by rules, and steps of improving, this many a row, but all in all no
 * more than this many rows. With 8 stages and 20 micro-batches either takes a quarter of a second.
 */
static const struct effort {
    int per_row, most_rows;
} BY_RULES = {4, 1 << 20}, BY_STEPS = {12, 1 << 22};
/* One in this many is drawn afresh, the first ones; the others are changed from the best so far. */
enum { DRAWN = 4 };
static const double NEAR = 1.1; /* of the best: what is further away is not improved */
enum { SEED = 1 };
static const double SAME = 1e-9; /* relative: not better */

struct search {
    const struct auto_option *option;
    struct plan plan; /* being made */
    struct sim sim;
    struct list_rule rule, best_rule;
    double best; /* makespan of best_rule */
    struct rng_stream rng;
};

static bool better(double a, double b)
{
    return a < b * (1 - SAME);
}

/* ---- what cannot be beaten ---- */

/* Before a chunk's first input can be there. */
static double head_of(const struct sim_costs *c, int chunk)
{
    double head = 0;
    for (int i = 0; i < chunk; i++) head += c->f[i] + c->message;
    return head;
}

/* The busiest rank, from when it can begin. */
static double lower_bound(const struct plan *p, const struct sim_costs *c)
{
    double bound = 0, saved = c->pair > 0 ? fmin(c->pair, 1) : 1;
    for (int r = 0; r < p->stages; r++) {
        int chunk[2], held = plan_held(p->place, p->stages, r, chunk);
        double work = 0, head = INFINITY;
        for (int k = 0; k < held; k++) {
            int at = chunk[k];
            double parts = c->b[at] + c->w[at];
            double each = c->f[at] + (c->bw ? fmin(c->bw[at], parts) : parts);
            work += saved * each * plan_per_direction(p);
            head = fmin(head, head_of(c, at));
        }
        bound = fmax(bound, head + work);
    }
    return bound;
}

/* ---- rules ---- */

static void rule_new(struct list_rule *r, const struct plan *p)
{
    r->cap = memory_take((size_t)p->chunks, sizeof *r->cap, "the search for a plan");
    r->policy = memory_take((size_t)p->stages, sizeof *r->policy, "the search for a plan");
}

static void rule_free(struct list_rule *r)
{
    free(r->cap);
    free(r->policy);
}

static void rule_copy(struct list_rule *to, const struct list_rule *from, const struct plan *p)
{
    memcpy(to->cap, from->cap, (size_t)p->chunks * sizeof *to->cap);
    memcpy(to->policy, from->policy, (size_t)p->stages * sizeof *to->policy);
}

/* At least one micro-batch a chunk, and no more on a rank than it may keep: else one chunk's would
 * lock out the other's. */
static void rule_fit(struct list_rule *rule, const struct plan *p, const struct plan_limits *l)
{
    int most = l->live > 0 && (l->slots <= 0 || l->live < l->slots) ? l->live : l->slots;
    for (int i = 0; i < p->chunks; i++) rule->cap[i] = rule->cap[i] > 1 ? rule->cap[i] : 1;
    for (int r = 0; r < p->stages; r++) {
        int chunk[2], held = plan_held(p->place, p->stages, r, chunk);
        int *a = &rule->cap[chunk[0]], *b = &rule->cap[chunk[held - 1]];
        if (most <= 0) continue;
        if (held == 1 && *a > most) *a = most;
        while (held == 2 && *a + *b > most && (*a > 1 || *b > 1)) *a >= *b ? (*a)-- : (*b)--;
    }
}

static int draw_below(struct search *s, int n)
{
    return (int)rng_next_below(&s->rng, (uint32_t)n);
}

/* One parameter at a time is drawn again: a hill climb in the space of list policies. */
static void policy_draw(struct search *s, struct list_policy *h, int which)
{
    const struct sim_costs *c = s->option->costs;
    switch (which) {
    case 0: h->fill = 0.25 * draw_below(s, 5); break;
    case 1: h->wait = 0.25 * draw_below(s, 5); break;
    case 2: h->pairs = c->pair > 0 && c->pair < 1 && draw_below(s, 4) > 0; break;
    case 3: h->f_first = draw_below(s, 2); break;
    case 4: h->low_f = draw_below(s, 2); break;
    case 5: h->whole = draw_below(s, 4) == 0; break;
    default: h->low_b = draw_below(s, 2); break;
    }
}
enum { POLICY_CHOICES = 7 };

/* From the family: chunk c lets in a times the chunks from it to the end, and some more; all ranks
 * alike. */
static void rule_draw(struct search *s)
{
    const struct plan *p = &s->plan;
    double a = 0.5 + 0.25 * draw_below(s, 9);
    int more = draw_below(s, 3);
    for (int i = 0; i < p->chunks; i++) s->rule.cap[i] = (int)ceil(a * (p->chunks - i)) + more;
    for (int which = 0; which < POLICY_CHOICES; which++) policy_draw(s, &s->rule.policy[0], which);
    for (int r = 1; r < p->stages; r++) s->rule.policy[r] = s->rule.policy[0];
    rule_fit(&s->rule, p, &s->option->limits);
}

/* One chunk or one rank, or all of them, a little differently. */
static void rule_change(struct search *s)
{
    const struct plan *p = &s->plan;
    int by = draw_below(s, 2) ? 1 : -1, which = draw_below(s, POLICY_CHOICES),
        r = draw_below(s, p->stages);
    switch (draw_below(s, 4)) {
    case 0:
        for (int i = 0; i < p->chunks; i++) s->rule.cap[i] += by;
        break;
    case 1: s->rule.cap[draw_below(s, p->chunks)] += by; break;
    case 2:
        policy_draw(s, &s->rule.policy[0], which);
        for (int i = 1; i < p->stages; i++) s->rule.policy[i] = s->rule.policy[0];
        break;
    default: policy_draw(s, &s->rule.policy[r], which); break;
    }
    rule_fit(&s->rule, p, &s->option->limits);
}

/* ---- one placement ---- */

static bool make(struct search *s)
{
    return list_make(&s->plan, &s->sim, s->option->costs, &s->option->limits, &s->rule);
}

static void try_drawn(struct search *s)
{
    rule_draw(s);
    if (!make(s) || !better(s->sim.makespan, s->best)) return;
    s->best = s->sim.makespan;
    rule_copy(&s->best_rule, &s->rule, &s->plan);
}

static void try_changed(struct search *s)
{
    rule_copy(&s->rule, &s->best_rule, &s->plan);
    for (int n = 1 + draw_below(s, 3); n > 0; n--) rule_change(s);
    if (!make(s) || better(s->best, s->sim.makespan)) return;
    s->best = s->sim.makespan;
    rule_copy(&s->best_rule, &s->rule, &s->plan);
}

static int tries_of(struct effort e, const struct auto_option *o, const struct plan *p)
{
    int rows = plan_room(p) * p->stages, most = e.most_rows / rows;
    int tries = most / e.per_row > rows ? rows * e.per_row : most;
    return o->part > 1 ? tries / o->part : tries;
}

/* The best plan by rules, or none (INFINITY). */
static double search_rules(enum plan_place place, const struct auto_option *o, int stages,
                           int micro_batches, struct plan *found)
{
    struct search s = {.option = o, .best = INFINITY, .rng = {SEED, {.purpose = RNG_SHUFFLE}}};
    plan_begin(&s.plan, PLAN_AUTO, place, stages, micro_batches);
    sim_new(&s.sim, &s.plan);
    rule_new(&s.rule, &s.plan);
    rule_new(&s.best_rule, &s.plan);
    int tries = tries_of(BY_RULES, o, &s.plan), n = 0;
    for (; n < tries / DRAWN; n++) try_drawn(&s);
    for (; n < tries && s.best < INFINITY; n++) try_changed(&s);
    if (s.best < INFINITY) {
        rule_copy(&s.rule, &s.best_rule, &s.plan);
        INVARIANT(make(&s), "a rule that made a plan must make it again");
        plan_copy(found, &s.plan);
    }
    rule_free(&s.rule);
    rule_free(&s.best_rule);
    sim_free(&s.sim);
    plan_free(&s.plan);
    return s.best;
}

/* ---- all of them ---- */

/* What the search has: the best named plan and the best by rules of every placement. */
struct finds {
    struct find {
        struct plan plan;
        double makespan; /* INFINITY: no plan */
    } named[PLACES], ruled[PLACES];
    struct auto_found facts;
};

static bool fits(const struct plan_facts *f, const struct plan_limits *l)
{
    return (l->live <= 0 || f->peak_live <= l->live) &&
           (l->slots <= 0 || f->peak_slots <= l->slots) &&
           (l->weights <= 0 || f->peak_weights <= l->weights);
}

/* The published schedules are candidates too: the search never returns something slower than the
 * best of them that fits. */
static void find_named(struct finds *all, enum plan_kind k, const struct auto_option *o, int stages,
                       int micro_batches)
{
    struct find *best = &all->named[plan_kind_place(k)];
    struct plan plan;
    struct plan_facts facts;
    struct sim sim;
    plan_make(&plan, k, stages, micro_batches);
    sim_new(&sim, &plan);
    INVARIANT(plan_check(&plan, NULL, &facts, NULL) && sim_run(&sim, &plan, o->costs),
              "plan %s is wrong", plan_kind_name(k));
    double makespan = sim.makespan;
    sim_free(&sim);
    if (!fits(&facts, &o->limits) || !better(makespan, best->makespan)) {
        plan_free(&plan);
        return;
    }
    plan_free(&best->plan);
    *best = (struct find){plan, makespan};
    if (all->facts.named == PLAN_AUTO || better(makespan, all->facts.named_makespan))
        all->facts.named = k, all->facts.named_makespan = makespan;
}

static bool place_can(enum plan_place place, int stages, int micro_batches)
{
    return place != PLACE_MIRROR || (stages % 2 == 0 && micro_batches % 2 == 0);
}

static const struct find *best_of(const struct finds *all)
{
    const struct find *best = &all->named[0];
    for (int i = 0; i < PLACES; i++) {
        if (better(all->named[i].makespan, best->makespan)) best = &all->named[i];
        if (better(all->ruled[i].makespan, best->makespan)) best = &all->ruled[i];
    }
    return best;
}

/* Row by row, what is worth it: not far from the best, which its placement allows to be beaten. */
static void improve(const struct finds *all, struct find *f, const struct auto_option *o)
{
    double best = best_of(all)->makespan;
    if (isinf(f->makespan) || f->makespan > NEAR * best) return;
    if (better(lower_bound(&f->plan, o->costs), best))
        f->makespan = plan_improve(&f->plan, o->costs, &o->limits, tries_of(BY_STEPS, o, &f->plan));
}

static void search_place(struct finds *all, enum plan_place place, const struct auto_option *o,
                         int stages, int micro_batches)
{
    struct plan shape;
    plan_begin(&shape, PLAN_AUTO, place, stages, micro_batches);
    double bound = lower_bound(&shape, o->costs);
    plan_free(&shape);
    struct find *f = &all->ruled[place];
    if (better(bound, best_of(all)->makespan))
        f->makespan = search_rules(place, o, stages, micro_batches, &f->plan);
}

static void find_all_named(struct finds *all, const struct auto_option *option, int stages,
                           int micro_batches)
{
    for (int k = 0; k < PLAN_AUTO; k++) {
        enum plan_kind kind = (enum plan_kind)k;
        const struct auto_option *o = &option[plan_kind_place(kind)];
        if (o->costs && plan_possible(kind, stages, micro_batches, NULL))
            find_named(all, kind, o, stages, micro_batches);
    }
}

/* Named plans and searched ones are improved apart: which of them wins is known only afterwards. */
static void find_all(struct finds *all, const struct auto_option *option, int stages,
                     int micro_batches)
{
    bool sane = plan_possible(PLAN_AUTO, stages, micro_batches, NULL);
    *all = (struct finds){.facts = {.named = PLAN_AUTO}};
    for (int i = 0; i < PLACES; i++) all->named[i].makespan = all->ruled[i].makespan = INFINITY;
    find_all_named(all, option, stages, micro_batches);
    for (int i = 0; i < PLACES && sane; i++)
        if (option[i].costs && place_can((enum plan_place)i, stages, micro_batches))
            search_place(all, (enum plan_place)i, &option[i], stages, micro_batches);
    for (int i = 0; i < PLACES; i++) {
        improve(all, &all->named[i], &option[i]);
        improve(all, &all->ruled[i], &option[i]);
    }
}

/* The best plan with its unpaired passes in turn, where that gains. */
static void finish(struct plan *plan, struct finds *all, const struct find *best,
                   const struct auto_option *option)
{
    struct problems wrong = {0};
    const struct auto_option *o = &option[best->plan.place];
    plan_copy(plan, &best->plan);
    plan->kind = PLAN_AUTO;
    all->facts.makespan = plan_interleave(plan, o->costs, &o->limits);
    INVARIANT(plan_check(plan, NULL, NULL, &wrong), "%s", wrong.n ? wrong.text[0] : "?");
}

/* A pure function: the same costs give the same plan on any machine. */
bool plan_auto(struct plan *plan, int stages, int micro_batches,
               const struct auto_option option[PLACES], struct auto_found *found)
{
    struct finds all;
    find_all(&all, option, stages, micro_batches);
    const struct find *best = best_of(&all);
    bool any = best->makespan < INFINITY;
    if (any) finish(plan, &all, best, option);
    if (any && found) *found = all.facts;
    for (int i = 0; i < PLACES; i++) plan_free(&all.named[i].plan), plan_free(&all.ruled[i].plan);
    return any;
}

static void search_unit(struct plan *plan, int stages, int micro_batches)
{
    struct sim_table unit;
    sim_table_even(&unit, stages, &(struct plan_costs){1, 1, 1, 3});
    struct auto_option option[PLACES] = {
        [PLACE_LINE] = {.costs = &unit.sim, .limits = {.slots = stages}}};
    INVARIANT(plan_auto(plan, stages, micro_batches, option, NULL), "1f1b always fits");
    sim_table_free(&unit);
}

void plan_make_any(struct plan *plan, enum plan_kind k, int stages, int micro_batches)
{
    if (k == PLAN_AUTO)
        search_unit(plan, stages, micro_batches);
    else
        plan_make(plan, k, stages, micro_batches);
}
