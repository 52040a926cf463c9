/* A step that is planned but never run: a small model on any mesh, its ranks dealt to hosts. */
#ifndef DUET_TESTS_SUPPORT_PLANNED_STEP_H
#define DUET_TESTS_SUPPORT_PLANNED_STEP_H

#include <stdlib.h>

#include "trainer/phases/phases.h"
#include "trainer/planner/hosts.h"
#include "trainer/planner/traffic_step.h"
#include "tests/support/recipe_text.h"

static const char *const PLANNED_MODEL =
    "model: {layers: 4, hidden: 32, heads: 4, kv_heads: 2, ffn: 48, "
    "max_context: 64%s}\n"
    "mesh: {pp: %d, tp: %d, ep: %d, decode_slots: 8}\n"
    "data: {task: arithmetic, micro_batch_tokens: 64}\n"
    "schedule: %s\nprecision: %s\n"
    "phases: [{kind: sft, batch: 8, steps: 1}]\n";
enum { PLANNED_V = 101, PLANNED_ROWS = 48 }; /* of 64 rows of room 48 are in use */

struct planned_wish {
    const char *model;
    int dp, pp, tp, ep;
    const char *schedule, *precision;
    int micro_batches;
};

/* A step's bytes, of ranks dealt to hosts that have `slots` each. */
struct planned_step {
    struct settings settings;
    struct plan plan;
    struct traffic_job job;
    int *first, *host;
    struct hosts hosts;
    struct traffic t;
};

static inline void planned_step_new(struct planned_step *s, struct planned_wish w, int slots)
{
    int ranks = w.dp * w.pp * w.tp, chunks;
    s->settings =
        recipe_of(ranks, PLANNED_MODEL, w.model, w.pp, w.tp, w.ep, w.schedule, w.precision);
    struct dims d = settings_dims(&s->settings, PLANNED_V);
    schedule_plan(&s->plan, &s->settings, &d, w.micro_batches);
    struct memory_job m = {&s->settings, ops_find(d.precision, NULL), PLANNED_V,
                           extent_of(phase_kinds, &s->settings), NULL};
    s->first = memory_split(&m, &chunks);
    s->job = (struct traffic_job){
        .memory = m, .plan = &s->plan, .first = s->first, .rows = PLANNED_ROWS};
    s->hosts = (struct hosts){0};
    struct cluster c;
    cluster_defaults(&c);
    c.top.nodes = (ranks + slots - 1) / slots;
    c.top.devices = slots;
    hosts_of_cluster(&s->hosts, &c);
    s->host = hosts_place(&s->hosts, ranks);
    traffic_new(&s->t, s->hosts.n, ranks, s->host, true);
    cluster_free(&c);
}

static inline void planned_step_free(struct planned_step *s)
{
    traffic_free(&s->t);
    hosts_free(&s->hosts);
    free(s->host);
    free(s->first);
    plan_free(&s->plan);
    settings_free(&s->settings);
}

#endif
