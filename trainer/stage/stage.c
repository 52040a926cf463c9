#include "trainer/stage/stage.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "comm/base/environment.h"
#include "comm/base/memory.h"
#include "pipeline/share.h"

struct mesh_shape actor_mesh(const struct settings *s)
{
    struct mesh_shape m = settings_mesh(s);
    m.mirrored = schedule_place(s) == PLACE_MIRROR;
    return m;
}

struct local *actor_local(struct actor *a, int chunk)
{
    for (int k = 0; k < a->n_local; k++)
        if (a->local[k].chunk == chunk) return &a->local[k];
    return NULL;
}

bool actor_has_head(struct actor *a, int m)
{
    const struct local *l = actor_local(a, a->chunks - 1);
    return l && (l->dir < 0 || l->dir == m % 2);
}

int actor_multiple(const struct actor *a)
{
    return a->sums;
}

int actor_least(const struct actor *a)
{
    return schedule_least(a->settings);
}

/* --- the stage: what the engine asks for --- */

static int micro_batch_of(const struct actor *a, struct plan_cell c)
{
    return a->directions == 2 ? 2 * c.mb + c.dir : c.mb;
}

static void head_loss(void *self, const struct head_io *io, int T)
{
    const struct actor *a = self;
    a->loss.run(a->loss.ctx, a->head_mb, io, T);
}

static void head_open(struct actor *a, int m)
{
    struct micro_batch *mb = a->head_mb = &a->mb[m];
    a->head = (struct head_io){.target = mb->target,
                               .logp = mb->logp,
                               .entropy = mb->entropy,
                               .dlogp = mb->dlogp,
                               .inv_temperature = a->inv_temperature,
                               .loss = head_loss,
                               .ctx = a};
}

static void begin(void *self, const struct engine_pass *s)
{
    static const enum pass_kind kind[] = {
        [PLAN_F] = PASS_F, [PLAN_B] = PASS_B, [PLAN_W] = PASS_W, [PLAN_BW] = PASS_BW};
    struct actor *a = self;
    int m = micro_batch_of(a, s->cell);
    struct local *l = actor_local(a, s->cell.chunk);
    struct pass *p = &a->open[s->op != PLAN_F];
    if (s->op == PLAN_F && l->span.head) head_open(a, m);
    *p = (struct pass){.kind = kind[s->op],
                       .chunk = l->model,
                       .slot = s->slot,
                       .rows = &a->mb[m].rows,
                       .in = s->in,
                       .out = s->out,
                       .grad = l->grad[l->dir < 0 ? m % a->sums : 0],
                       .head = l->span.head ? &a->head : NULL,
                       .balance = a->balance};
    pass_begin(p);
}

/* For measuring what a wire costs on a machine whose few cores all ranks share: DUET_PACE_US makes
 * every step of a pass, and every decode batch, sleep so long, as if a device of the rank's own
 * computed it. */
static void pace_read(struct actor *a)
{
    a->pace = 1e-6 * environment_number("DUET_PACE_US", 0);
}

void actor_pace(const struct actor *a, int steps)
{
    double seconds = steps * a->pace;
    const time_t whole = (time_t)seconds;
    if (seconds > 0)
        nanosleep(&(struct timespec){whole, (long)(1e9 * (seconds - (double)whole))}, NULL);
}

static bool step(void *self, const struct engine_pass *s)
{
    struct actor *a = self;
    const struct gradient_listener *listener = &a->listener;
    struct pass *p = &a->open[s->op != PLAN_F];
    bool done = pass_step(p);
    actor_pace(a, s->op == PLAN_BW ? 2 : 1);
    if (listener->self && s->last)
        listener->complete(listener->self, actor_local(a, s->cell.chunk), pass_complete(p));
    else if (listener->self)
        listener->poll(listener->self);
    return done;
}

static double waited(void *self)
{
    const struct actor *a = self;
    double tp = a->parallel.tp ? exchange_waited(a->parallel.tp) : 0;
    return tp + (a->parallel.ep ? exchange_waited(a->parallel.ep) : 0);
}

/* --- plans --- */

static int most_micro_batches(const struct actor *a)
{
    int least = actor_least(a);
    return a->max_mb > least ? a->max_mb : least;
}

/* Counts that `auto` searches for: the first few. */
static int searched_counts(const struct actor *a)
{
    int n = 0, least = actor_least(a);
    for (int m = least; m <= a->max_mb && schedule_searches(a->settings, m); m += actor_multiple(a))
        n++;
    return n;
}

static void plans_place(struct actor *a, struct arena *ar)
{
    int pp = a->mesh->pp, most = most_micro_batches(a), least = actor_least(a);
    a->n_searched = searched_counts(a);
    a->searched = arena_take_n(ar, (size_t)a->n_searched, sizeof *a->searched);
    for (int i = 0; i < a->n_searched; i++) {
        struct plan measured;
        plan_room_take(a->searched ? &a->searched[i] : &measured, a->place, pp,
                       least + i * actor_multiple(a), ar);
    }
    plan_room_take(&a->named, a->place, pp, most, ar);
    plan_room_take(&a->forward, a->place, pp, most, ar);
}

/* Searches take a while: the ranks of the pipeline share them. */
static void plans_search(struct actor *a)
{
    int pp = a->mesh->pp, n = a->n_searched;
    struct plan *found = memory_take((size_t)n + 1, sizeof *found, "plans");
    for (int i = a->mesh->p; i < n; i += pp)
        schedule_plan(&found[i], a->settings, &a->dims, actor_least(a) + i * actor_multiple(a));
    for (int i = 0; i < n; i++) {
        plan_share(&found[i], i % pp, a->mesh->pipe);
        plan_recopy(&a->searched[i], &found[i]);
        plan_free(&found[i]);
    }
    free(found);
}

/* Searched and proved before the first step; or made in its place, by a generator that the property
 * tests prove for every count. */
static const struct plan *whole_plan(struct actor *a, int micro_batches)
{
    for (int i = 0; i < a->n_searched; i++)
        if (a->searched[i].micro_batches == micro_batches) return &a->searched[i];
    if (a->named.micro_batches != micro_batches)
        plan_remake(&a->named, schedule_named(a->settings), micro_batches);
    return &a->named;
}

const struct plan *actor_plan(struct actor *a, int micro_batches, bool forward_only)
{
    const struct plan *whole = whole_plan(a, micro_batches);
    if (!forward_only) return whole;
    if (a->forward.micro_batches != micro_batches) plan_remake_forward(&a->forward, whole);
    return &a->forward;
}

/* Activation slots that the largest plan needs. */
static int slots_needed(const struct actor *a)
{
    return schedule_slots(a->settings, most_micro_batches(a));
}

/* --- placing --- */

static void local_span(struct actor *a, int k, int chunk, int dir)
{
    struct local *l = &a->local[k];
    *l = (struct local){.chunk = chunk, .dir = dir};
    l->span = (struct chunk_span){.first = a->first[chunk],
                                  .count = a->first[chunk + 1] - a->first[chunk],
                                  .embed = chunk == 0,
                                  .head = chunk == a->chunks - 1};
    param_list_make(&l->params, &a->dims, l->span);
}

/* The earlier chunk first, so that the two ranks of a mirror that hold the same two have them in
 * one order. */
static void locals_choose(struct actor *a)
{
    int chunk[2];
    a->n_local = plan_held(a->place, a->mesh->pp, a->mesh->p, chunk);
    bool turned = a->n_local == 2 && chunk[1] < chunk[0], mirror = a->place == PLACE_MIRROR;
    for (int k = 0; k < a->n_local; k++) {
        int from = turned ? 1 - k : k;
        local_span(a, k, chunk[from], mirror ? plan_held_dir(a->place, from) : -1);
    }
}

static void split_layers(struct actor *a)
{
    a->first = memory_take((size_t)a->chunks + 1, sizeof *a->first, "a split of layers");
    schedule_split(a->first, a->settings, &a->dims, a->chunks);
}

static void actor_place(struct actor *a)
{
    struct arena *ar = &a->arena;
    bool training = a->max_mb > 0;
    for (int k = 0; k < a->n_local; k++) {
        struct local *l = &a->local[k];
        arena_kind(ar, ARENA_PARAMETERS);
        l->weights = arena_take_n(ar, l->params.total, a->ops->real_bytes);
        if (a->with_reference) l->reference = arena_take_n(ar, l->params.total, a->ops->real_bytes);
        arena_kind(ar, ARENA_GRADIENTS);
        for (int s = 0; training && s < (l->dir < 0 ? a->sums : 1); s++)
            l->grad[s] = arena_take_n(ar, l->params.total, sizeof(float));
        arena_kind(ar, ARENA_BUFFERS);
        chunk_free(l->model);
        l->model = chunk_new(&(struct chunk_setup){.dims = &a->dims,
                                                   .span = l->span,
                                                   .ops = a->ops,
                                                   .parallel = a->parallel,
                                                   .weights = l->weights,
                                                   .T_max = a->T_max,
                                                   .slots = training ? a->passes.slots : 1,
                                                   .training = training},
                             ar);
    }
    struct chunk *const chunk[] = {a->local[0].model, a->local[a->n_local - 1].model};
    if (training) chunk_place_slots(chunk, a->n_local, ar);
    a->mb = arena_take_n(ar, (size_t)a->max_mb, sizeof *a->mb);
    if (training) plans_place(a, ar);
    for (int m = 0; m < a->max_mb; m++) {
        struct micro_batch measured;
        micro_batch_place(ar->base ? &a->mb[m] : &measured, a->T_max, ar);
    }
}

void actor_measure(struct actor *a, const struct actor_job *job)
{
    const struct settings *s = job->settings;
    const struct mesh *m = job->mesh;
    *a = (struct actor){.settings = s,
                        .mesh = m,
                        .device = &device_host,
                        .ops = job->ops,
                        .dims = job->dims,
                        .max_mb = job->max_mb,
                        .with_reference = job->with_reference};
    a->dims.tp = m->tp;
    a->dims.t = m->t;
    a->dims.ep = m->ep;
    a->dims.e = m->d % m->ep;
    a->kind = schedule_kind(s);
    a->place = schedule_place(s);
    a->chunks = plan_chunks(a->place, m->pp);
    a->directions = a->place == PLACE_MIRROR ? 2 : 1;
    a->sums = schedule_sums(s);
    a->T_max = s->data.micro_batch_tokens;
    a->inv_temperature = 1;
    split_layers(a);
    locals_choose(a);
    a->passes = (struct stage_ops){.self = a,
                                   .device = a->device,
                                   .message_bytes =
                                       (size_t)a->T_max * (size_t)a->dims.C * a->ops->real_bytes,
                                   .slots = a->max_mb > 0 ? slots_needed(a) : 1,
                                   .begin = begin,
                                   .step = step,
                                   .waited = waited,
                                   .in_turn = m->tp > 1 || m->ep > 1,
                                   .forward_last = true};
    actor_place(a);
}

void actor_new(struct actor *a, const struct actor_job *job)
{
    const struct mesh *m = job->mesh;
    actor_measure(a, job);
    pace_read(a);
    arena_back(&a->arena, a->device, a->arena.used);
    if (m->tp > 1) a->parallel.tp = exchange_new(&transport_mpi, m->tensor, EXCHANGE_LANES);
    if (m->ep > 1) a->parallel.ep = exchange_new(&transport_mpi, m->expert, EXCHANGE_LANES);
    actor_place(a);
    if (a->max_mb == 0) return;
    a->p2p = p2p_new(&transport_mpi, m->pipe, 64);
    a->engine = engine_new(a->p2p, m->p, m->pp, &a->passes, a->max_mb);
    plans_search(a);
}

void actor_free(struct actor *a)
{
    if (a->engine) engine_free(a->engine);
    if (a->p2p) p2p_free(a->p2p);
    for (int k = 0; k < a->n_local; k++) {
        chunk_free(a->local[k].model);
        param_list_free(&a->local[k].params);
    }
    exchange_free(a->parallel.tp);
    exchange_free(a->parallel.ep);
    free(a->first);
    arena_free(&a->arena);
}

size_t actor_bytes(const struct actor *a)
{
    return a->arena.size + (a->engine ? engine_bytes(a->engine) : 0);
}

void actor_run(struct actor *a, int micro_batches, bool forward_only, struct engine_times *t)
{
    engine_run(a->engine, actor_plan(a, micro_batches, forward_only), t);
}

void actor_zero_gradients(struct actor *a)
{
    for (int k = 0; k < a->n_local; k++)
        for (int s = 0; s < 2; s++)
            if (a->local[k].grad[s])
                device_fill(a->arena.device, a->local[k].grad[s], 0,
                            a->local[k].params.total * sizeof(float));
}

void actor_clear_load(struct actor *a)
{
    for (int k = 0; k < a->n_local; k++) chunk_load_clear(a->local[k].model);
}
