#include "trainer/planner/remember.h"

#include <stdlib.h>
#include "comm/base/memory.h"
#include "pipeline/check.h"
#include "pipeline/schedules.h"

/* All that a pipeline's times and slots are asked of; crowd: of ranks that share cores. */
struct remember_key {
    enum plan_kind kind;
    int pp, tp, ep, micro_batches;
    enum recompute recompute;
    double crowd;
};

struct remembered {
    struct remember_key key;
    bool timed;
    int slots; /* 0: not counted */
    struct predicted_pipeline pipeline;
    struct remembered *next;
};

void remember_free(struct remember *r)
{
    for (int i = 0; i < REMEMBER_LISTS; i++)
        for (struct remembered *e = r->list[i], *next; e; e = next) {
            next = e->next;
            free(e);
        }
    *r = (struct remember){.shape = NULL};
}

static bool same(const struct remember_key *a, const struct remember_key *b)
{
    return a->kind == b->kind && a->pp == b->pp && a->tp == b->tp && a->ep == b->ep &&
           a->micro_batches == b->micro_batches && a->recompute == b->recompute &&
           !(a->crowd < b->crowd || a->crowd > b->crowd);
}

static struct remember_key key_of(const struct remember *r, const struct layout *l)
{
    long ranks = (long)l->dp * l->pp * l->tp;
    return (struct remember_key){
        .kind = l->kind,
        .pp = l->pp,
        .tp = l->tp,
        .ep = l->ep,
        .micro_batches = l->micro_batches,
        .recompute = l->recompute,
        .crowd = cluster_crowding(r->cluster, ranks, l->threads ? l->threads : 1)};
}

/* The entry of these numbers; a new one knows nothing yet. */
static struct remembered *find(struct remember *r, const struct remember_key *key)
{
    unsigned h = (unsigned)key->kind;
    const int numbers[] = {key->pp, key->tp, key->ep, key->micro_batches};
    for (int i = 0; i < 4; i++) h = h * 31 + (unsigned)numbers[i];
    struct remembered **list = &r->list[h % REMEMBER_LISTS];
    for (struct remembered *e = *list; e; e = e->next)
        if (same(&e->key, key)) return e;
    struct remembered *e = memory_take(1, sizeof *e, "what a search remembers");
    *e = (struct remembered){.key = *key, .next = *list};
    return *list = e;
}

void remember_predict(struct remember *r, struct prediction *out, const struct layout *l)
{
    const struct remember_key key = key_of(r, l);
    struct remembered *e = find(r, &key);
    r->asked++;
    if (!e->timed) {
        predict_pipeline(&e->pipeline, r->shape, r->cluster, l, NULL);
        e->timed = true;
        r->made++;
    }
    predict_step(out, r->shape, r->cluster, l, &e->pipeline);
}

int remember_slots(struct remember *r, const struct layout *l)
{
    int enough = plan_micro_batches(l->kind, l->pp, 2 * l->pp);
    struct remember_key key = {.kind = l->kind, .pp = l->pp};
    key.micro_batches = enough < l->micro_batches ? enough : l->micro_batches;
    struct remembered *e = find(r, &key);
    if (e->slots > 0) return e->slots;
    struct plan plan;
    struct plan_facts facts;
    plan_make(&plan, l->kind, l->pp, key.micro_batches);
    plan_check(&plan, NULL, &facts, NULL);
    plan_free(&plan);
    return e->slots = facts.peak_slots;
}
