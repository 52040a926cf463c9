/* Every mesh of the ranks and every schedule is tried as training would try it: the settings are
 * read anew and checked, the memory measured, the step predicted. Of what the backward pass may
 * compute again (mesh.recompute) each takes the least that makes it fit: more of it only takes
 * longer. */
#include "trainer/planner/propose.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "trainer/planner/working.h"

struct candidate {
    int dp, pp, ep, tp;
    enum plan_kind kind;
    enum recompute recompute;
    bool can[PLACES]; /* of auto: where chunks may be */
    struct memory memory;
    struct prediction time;
    int micro_batches;
    char *reason; /* NULL: it can be */
};

enum { BEST = 12 };

/* What sums of gradients take follows from the mesh, from where its chunks are and how layers are
 * split over them, not from the schedule: it is worked out once for each. */
struct sums {
    int dp, pp, ep, tp;
    enum plan_place place;
    enum recompute recompute;
    double reduce, gather;
    int buckets;
};
struct known {
    struct sums *at;
    int n;
};

/* ---- one ---- */

static bool fits(const struct recipe *r, const struct memory *m)
{
    double have = r->cluster.top.memory_gib * 0x1p30;
    return have <= 0 || (double)m->total <= have;
}

/* A mesh that does not fit stays in the list, with the reason. */
static char *why_not(const struct recipe *r, const struct candidate *c)
{
    char text[200];
    double have = r->cluster.top.memory_gib * 0x1p30, want = (double)c->memory.total;
    int most = ARENA_PARAMETERS;
    for (int k = 0; k < ARENA_KINDS; k++)
        if (c->memory.of[k] > c->memory.of[most]) most = k;
    snprintf(text, sizeof text,
             "memory: needs %.1f GiB, has %.1f (largest: %s, %.1f; mesh.recompute %s)",
             want / 0x1p30, have / 0x1p30, arena_kind_name((enum arena_kind)most),
             (double)c->memory.of[most] / 0x1p30, layout_recompute_name(c->recompute));
    return memory_copy_text(text, "a reason");
}

/* The rank that needs most, where chunks are placed by the schedule's kind. */
static bool fits_named(const struct recipe *r, const struct settings *s, struct candidate *c)
{
    c->memory = recipe_memory(r, s);
    return fits(r, &c->memory);
}

/* auto may place chunks wherever a device's memory holds them, as in training (trainer/run/run.c).
 * Where none does, a line stands for all: it needs least. */
static bool fits_anywhere(const struct recipe *r, struct settings *s, struct candidate *c)
{
    bool any = false;
    for (int place = PLACES - 1; place >= 0; place--) {
        c->can[place] = schedule_can(s, (enum plan_place)place);
        s->auto_place = place;
        if (c->can[place]) any |= c->can[place] = fits_named(r, s, c);
    }
    return any;
}

static bool fits_with(const struct recipe *r, struct settings *s, struct candidate *c,
                      enum recompute recompute)
{
    s->mesh.recompute = (int)(c->recompute = recompute);
    return c->kind == PLAN_AUTO ? fits_anywhere(r, s, c) : fits_named(r, s, c);
}

/* The least that fits. What --set asks for stays; what the recipe says does not, since it was right
 * for the recipe's mesh. The most is tried second: most of what does not fit fits with none. */
static bool choose_recompute(const struct recipe *r, struct settings *s, struct candidate *c)
{
    bool asked = s->lines.mesh.recompute == LINE_SET;
    enum recompute least = asked ? (enum recompute)s->mesh.recompute : RECOMPUTE_NONE;
    enum recompute most = asked ? least : RECOMPUTE_FULL;
    if (fits_with(r, s, c, least)) return true;
    if (asked || !fits_with(r, s, c, most)) return false;
    for (int i = (int)least + 1; i < (int)most; i++)
        if (fits_with(r, s, c, (enum recompute)i)) return true;
    return fits_with(r, s, c, most);
}

static bool same_sums(const struct sums *a, const struct sums *b)
{
    return a->dp == b->dp && a->pp == b->pp && a->ep == b->ep && a->tp == b->tp &&
           a->place == b->place && a->recompute == b->recompute;
}

/* From what is known, or worked out and kept. */
static void take_sums(struct known *known, const struct recipe *r, const struct settings *s,
                      struct layout *l)
{
    struct sums key = {l->dp, l->pp, l->ep, l->tp, schedule_place(s), l->recompute, 0, 0, 0};
    int i = known->n - 1; /* the last are of the same mesh */
    while (i >= 0 && !same_sums(&known->at[i], &key)) i--;
    if (i < 0) {
        recipe_reduction(r, s, l);
        key.reduce = l->sums, key.gather = l->gathers, key.buckets = l->buckets;
        known->at = realloc(known->at, (size_t)(known->n + 1) * sizeof *known->at);
        SYS_OK(known->at, "free memory on this host", "no memory for %d meshes", known->n + 1);
        known->at[known->n++] = key;
        return;
    }
    l->sums = known->at[i].reduce;
    l->gathers = known->at[i].gather;
    l->buckets = known->at[i].buckets;
}

/* As for the recipe's own mesh: the same functions, so that the table and the report agree. Memory
 * first: of what does not fit no time is asked. */
static void estimate(const struct recipe *r, struct settings *s, struct candidate *c,
                     struct known *known)
{
    recipe_take_cluster(r, s);
    if (!choose_recompute(r, s, c)) {
        c->reason = why_not(r, c);
        return;
    }
    if (c->kind == PLAN_AUTO) schedule_choose(s, &r->dims, c->can);
    if (c->kind == PLAN_AUTO) c->memory = recipe_memory(r, s);
    struct plan plan;
    struct layout l = recipe_layout(r, s, &plan);
    struct memory_job job = {s, &r->ops, r->dims.V, extent_of(r->job->kinds, s), NULL};
    int chunks, *first = memory_split(&job, &chunks);
    l.first = first;
    c->micro_batches = l.micro_batches;
    take_sums(known, r, s, &l);
    predict(&c->time, &r->shape, &r->cluster, &l, NULL);
    plan_free(&plan);
    free(first);
}

/* "recipe.yaml:3: pp 8 ..." without the file. */
static const char *message(const char *text)
{
    const char *colon = strstr(text, ": ");
    return colon ? colon + 2 : text;
}

/* Each candidate is the recipe with its mesh set: what training would refuse is refused here, with
 * its words. */
static void try(const struct recipe *r, int ranks, struct layout l, struct candidate *c,
                struct known *known)
{
    char pp[32], ep[32], tp[32], schedule[32];
    const char *const sets[] = {pp, ep, tp, schedule, NULL};
    struct settings s;
    struct problems p = {0};
    *c = (struct candidate){
        .dp = ranks / l.pp / l.tp, .pp = l.pp, .ep = l.ep, .tp = l.tp, .kind = l.kind};
    snprintf(pp, sizeof pp, "mesh.pp=%d", l.pp);
    snprintf(ep, sizeof ep, "mesh.ep=%d", l.ep);
    snprintf(tp, sizeof tp, "mesh.tp=%d", l.tp);
    snprintf(schedule, sizeof schedule, "schedule=%s", plan_kind_name(l.kind));
    if (recipe_settings(&s, r->job, ranks * r->settings.mesh.sites, sets, &p))
        estimate(r, &s, c, known);
    else
        c->reason = memory_copy_text(message(p.text[0]), "a reason");
    settings_free(&s);
    problems_free(&p);
}

/* ---- all ---- */

/* Possible ones first, the fastest of them first, of equals the one that needs less memory. */
static int better(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (!x->reason != !y->reason) return x->reason ? 1 : -1;
    if (x->reason && x->tp != y->tp) return x->tp - y->tp;
    if (x->reason && x->ep != y->ep) return x->ep - y->ep;
    if (x->reason) return x->pp - y->pp;
    if (x->time.step != y->time.step) return x->time.step < y->time.step ? -1 : 1;
    return (x->memory.total > y->memory.total) - (x->memory.total < y->memory.total);
}

struct candidates {
    struct candidate *at;
    int n;
    struct known known;
};

static void print_mesh(const struct candidate *c)
{
    printf("%5d x %2d x %3d x %-2d  %-10s ", c->dp, c->pp, c->ep, c->tp, plan_kind_name(c->kind));
}

static void print_one(const struct candidate *c)
{
    print_mesh(c);
    char mfu[16] = "-"; /* what cannot be is not shown (report.c says why) */
    if (c->time.mfu > 0 && c->time.mfu <= 1)
        snprintf(mfu, sizeof mfu, "%.1f %%", 100 * c->time.mfu);
    printf("%-9s  %5d %11.4g %7.1f %% %7.1f %% %9s %10.2f\n", layout_recompute_name(c->recompute),
           c->micro_batches, 1e3 * c->time.step, 100 * c->time.bubble, 100 * c->time.exposed, mfu,
           (double)c->memory.total / 0x1p30);
}

/* The best first; then those that are not possible, each with its reason. */
static void print_all(const struct candidates *all)
{
    const struct candidate *c = all->at;
    int shown = 0, n = c ? all->n : 0;
    printf("\n%20s  %-10s %-9s  %5s %11s %9s %9s %9s %10s\n", "dp x pp x ep x tp", "schedule",
           "recompute", "M", "step, ms", "bubble", "exposed", "MFU", "GiB a rank");
    while (shown < n && shown < BEST && !c[shown].reason) print_one(&c[shown++]);
    if (shown == 0) printf("nothing fits\n");
    for (int i = 0; i < n; i++) {
        if (!c[i].reason) continue;
        print_mesh(&c[i]);
        printf("no: %.160s\n", c[i].reason);
    }
}

static struct candidate *one_more(struct candidates *all)
{
    all->at = realloc(all->at, (size_t)(all->n + 1) * sizeof *all->at);
    SYS_OK(all->at, "free memory on this host", "no memory for %d meshes", all->n + 1);
    working_did(1);
    return &all->at[all->n++];
}

static void try_schedules(const struct recipe *r, int ranks, struct layout l,
                          struct candidates *all)
{
    for (int k = 0; k < PLAN_AUTO; k++) {
        l.kind = (enum plan_kind)k;
        if ((l.pp == 1) == (l.kind == PLAN_SERIAL)) try(r, ranks, l, one_more(all), &all->known);
    }
}

/* The fastest of candidates [first, end); INFINITY: none of them can be. */
static double fastest(const struct candidates *all, int first, int end)
{
    double step = INFINITY;
    for (int i = first; i < end; i++)
        if (!all->at[i].reason && all->at[i].time.step < step) step = all->at[i].time.step;
    return step;
}

/* auto for the mesh of a candidate; kept where it is faster than `named`, the named ones of it. */
static void try_auto(const struct recipe *r, int ranks, struct candidates *all, int of,
                     double named)
{
    const struct candidate *c = &all->at[of];
    const struct layout l = {.pp = c->pp, .tp = c->tp, .ep = c->ep, .kind = PLAN_AUTO};
    struct candidate *found = one_more(all);
    try(r, ranks, l, found, &all->known);
    if (!found->reason && named > 1.001 * found->time.step) return;
    free(found->reason);
    all->n--;
}

/* A search takes a tenth of a second and more, so it is made for meshes that come into question: of
 * which a named schedule fits, and takes at most twice the shortest step of all. */
static void try_searched(const struct recipe *r, int ranks, struct candidates *all)
{
    int n = all->n;
    double most = fmin(2 * fastest(all, 0, n), DBL_MAX); /* none of it where nothing fits */
    for (int first = 0, end; first < n; first = end) {
        const struct candidate c = all->at[first];
        for (end = first + 1; end < n && all->at[end].pp == c.pp && all->at[end].ep == c.ep &&
                              all->at[end].tp == c.tp;)
            end++;
        double named = fastest(all, first, end);
        if (c.pp > 1 && named <= most) try_auto(r, ranks, all, first, named);
    }
}

static void try_experts(const struct recipe *r, int ranks, struct layout l, struct candidates *all)
{
    l.dp = ranks / (l.pp * l.tp);
    for (l.ep = 1; l.ep <= l.dp && l.ep <= (r->dims.E > 0 ? r->dims.E : 1); l.ep++)
        if (l.dp % l.ep == 0 && (l.ep == 1 || r->dims.E % l.ep == 0))
            try_schedules(r, ranks, l, all);
}

/* Layers are shared within a node only: their sums cannot wait for anything slower. */
void propose(const struct recipe *r, int ranks)
{
    struct candidates all = {0};
    struct layout l = {0};
    log_set(LOG_QUIET, 0); /* what the search says of every mesh */
    working_begin("trying meshes and schedules", 0);
    for (l.tp = 1; l.tp <= r->cluster.top.devices && l.tp <= r->dims.Hkv; l.tp++)
        for (l.pp = 1; l.pp * l.tp <= ranks && l.pp <= r->dims.L; l.pp++)
            if (ranks % (l.pp * l.tp) == 0 && r->dims.Hkv % l.tp == 0)
                try_experts(r, ranks, l, &all);
    try_searched(r, ranks, &all);
    working_end();
    log_set(LOG_INFO, 0);
    if (all.at) qsort(all.at, (size_t)all.n, sizeof *all.at, better);
    print_all(&all);
    for (int i = 0; all.at && i < all.n; i++) free(all.at[i].reason);
    free(all.at);
    free(all.known.at);
}
