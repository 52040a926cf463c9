#include "trainer/stage/stage.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "comm/base/environment.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/base/missing.h"
#include "comm/base/startup.h"
#include "pipeline/plan_parts.h"

struct mesh_shape stage_mesh(const struct settings *s)
{
    struct mesh_shape m = settings_mesh(s);
    m.mirrored = schedule_place(s) == PLACE_MIRROR;
    return m;
}

struct local *stage_local(struct stage *s, int chunk)
{
    for (int k = 0; k < s->n_local; k++)
        if (s->local[k].chunk == chunk) return &s->local[k];
    return NULL;
}

/* Does micro-batch m pass the chunk on this rank? */
static bool holds(struct stage *s, int chunk, int m)
{
    const struct local *l = stage_local(s, chunk);
    return l && (l->dir < 0 || l->dir == m % 2);
}

bool stage_has_head(struct stage *s, int m)
{
    return holds(s, s->chunks - 1, m);
}

bool stage_has_embedding(struct stage *s, int m)
{
    return holds(s, 0, m);
}

int stage_multiple(const struct stage *s)
{
    return s->sums;
}

int stage_least(const struct stage *s)
{
    return schedule_least(s->settings);
}

/* --- the stage: what the engine asks for --- */

static int micro_batch_of(const struct stage *s, struct plan_cell c)
{
    return s->directions == 2 ? 2 * c.mb + c.dir : c.mb;
}

/* A device without the row: what passes or an earlier loss have made is fetched, and what this one
 * makes goes back. The rest of the micro-batch the host has. */
static void loss_on_host(const struct stage *s, int from, int to)
{
    const struct micro_batch *mb = &s->mb[s->head_mb], *there = &s->there[s->head_mb];
    const struct device *d = s->device;
    size_t bytes = (size_t)(to - from) * sizeof(float);
    missing_row(d->name, s->loss.name);
    d->copy_out(mb->logp + from, there->logp + from, bytes);
    d->copy_out(mb->entropy + from, there->entropy + from, bytes);
    d->copy_out(mb->ref_logp + from, there->ref_logp + from, bytes);
    s->loss.host(s->loss.ctx, mb, from, to);
    d->copy_in(there->dlogp + from, mb->dlogp + from, bytes);
    d->copy_in(there->ref_logp + from, mb->ref_logp + from, bytes);
}

static void head_loss(void *self, const struct head_io *io, int from, int to)
{
    const struct stage *s = self;
    (void)io;
    if (s->loss.row)
        s->loss.row(s->loss.ctx, &s->there[s->head_mb], from, to);
    else
        loss_on_host(s, from, to);
}

/* The loss is called from inside the head's forward, when logits of a block exist. */
static void head_open(struct stage *s, int m)
{
    const struct micro_batch *mb = &s->there[m];
    s->head_mb = m;
    s->head = (struct head_io){.target = mb->target,
                               .logp = mb->logp,
                               .entropy = mb->entropy,
                               .dlogp = mb->dlogp,
                               .inv_temperature = s->inv_temperature,
                               .loss = head_loss,
                               .learns = s->loss.learns,
                               .whole = s->loss.whole,
                               .scalar = s->loss.scalar,
                               .ctx = s};
}

/* F and backward have a pass each: both may be open, as halves of a pair. */
static void stage_begin(void *self, const struct engine_pass *s)
{
    static const enum pass_kind kind[] = {
        [PLAN_F] = PASS_F, [PLAN_B] = PASS_B, [PLAN_W] = PASS_W, [PLAN_BW] = PASS_BW};
    struct stage *st = self;
    int m = micro_batch_of(st, s->cell);
    struct local *l = stage_local(st, s->cell.chunk);
    struct pass *p = &st->open[s->op != PLAN_F];
    if (s->op == PLAN_F && l->span.head) head_open(st, m);
    *p = (struct pass){.kind = kind[s->op],
                       .chunk = l->model,
                       .slot = s->slot,
                       .rows = &st->there[m].rows,
                       .in = s->in,
                       .out = s->out,
                       .grad = l->grad[l->dir < 0 ? m % st->sums : 0],
                       .head = l->span.head ? &st->head : NULL,
                       .balance = st->balance};
    pass_begin(p);
}

/* For measuring what a wire costs on a machine whose few cores all ranks share: DUET_PACE_US makes
 * every step of a pass, and every decode batch, sleep so long, as if a device of the rank's own
 * computed it. */
static void pace_read(struct stage *s)
{
    s->pace = 1e-6 * environment_number("DUET_PACE_US", 0);
}

void stage_pace(const struct stage *s, int steps)
{
    double seconds = steps * s->pace;
    const time_t whole = (time_t)seconds;
    if (seconds > 0)
        nanosleep(&(struct timespec){whole, (long)(1e9 * (seconds - (double)whole))}, NULL);
}

/* In a chunk's last weight pass the listener hears after each sub-step how far its gradients are
 * complete; otherwise it is polled, so that its sums move on. */
static bool stage_step(void *self, const struct engine_pass *s)
{
    struct stage *st = self;
    const struct gradient_listener *listener = &st->listener;
    struct pass *p = &st->open[s->op != PLAN_F];
    bool done = pass_step(p);
    stage_pace(st, s->op == PLAN_BW ? 2 : 1);
    if (listener->self && s->last)
        listener->complete(listener->self, stage_local(st, s->cell.chunk), pass_complete(p));
    else if (listener->self)
        listener->poll(listener->self);
    return done;
}

static double waited(void *self)
{
    const struct stage *s = self;
    double tp = s->parallel.tp ? exchange_waited(s->parallel.tp) : 0;
    return tp + (s->parallel.ep ? exchange_waited(s->parallel.ep) : 0);
}

/* --- plans --- */

static int most_micro_batches(const struct stage *s)
{
    int least = stage_least(s);
    return s->max_mb > least ? s->max_mb : least;
}

/* Counts that `auto` searches for: the first few. */
static int searched_counts(const struct stage *s)
{
    int n = 0, least = stage_least(s);
    for (int m = least; m <= s->max_mb && schedule_searches(s->settings, m); m += stage_multiple(s))
        n++;
    return n;
}

/* Number i of the counts that are searched for. */
static int searched_count(const struct stage *s, int i)
{
    return stage_least(s) + i * stage_multiple(s);
}

/* Plans lie in an arena too: choosing one inside a step allocates nothing. */
static void plans_place(struct stage *s, struct arena *ar)
{
    int pp = s->mesh->pp, p = s->mesh->p, most = most_micro_batches(s);
    size_t before = ar->used;
    s->n_searched = searched_counts(s);
    s->searched = arena_take_n(ar, (size_t)s->n_searched, sizeof *s->searched);
    for (int i = 0; i < s->n_searched; i++) {
        struct plan_part measured;
        plan_part_place(s->searched ? &s->searched[i] : &measured, s->place, pp, p,
                        searched_count(s, i), ar);
    }
    plan_part_place(&s->named, s->place, pp, p, most, ar);
    plan_part_place(&s->forward, s->place, pp, p, most, ar);
    s->plans_bytes = ar->used - before;
}

/* Searches take a while: the ranks of the pipeline share them, one each at a time. Of what is
 * found, proved by who found it, each rank keeps its own rows. */
static void plans_search(struct stage *s)
{
    int pp = s->mesh->pp, n = s->n_searched;
    double said = clock_now();
    for (int from = 0; from < n; from += pp) {
        struct plan found = {0};
        int mine = from + s->mesh->p;
        if (mine < n) schedule_plan(&found, s->settings, &s->dims, searched_count(s, mine));
        int to = from + pp < n ? from + pp : n;
        for (int i = from; i < to; i++)
            plan_scatter(&s->searched[i], &found, i - from, s->mesh->pipe);
        plan_free(&found);
        if (watchdog_long(&said)) log_info("plans: %d of %d searched", to, n);
    }
}

/* Searched and proved before the first step; or made in its place, by a generator that the property
 * tests prove (test_plan, longer_plans_repeat_their_middle: for every count). */
static const struct plan_part *whole_plan(struct stage *s, int micro_batches)
{
    for (int i = 0; i < s->n_searched; i++)
        if (s->searched[i].of.micro_batches == micro_batches) return &s->searched[i];
    if (s->named.of.micro_batches != micro_batches)
        plan_part_make(&s->named, schedule_named(s->settings), micro_batches);
    return &s->named;
}

const struct plan_part *stage_plan(struct stage *s, int micro_batches, bool forward_only)
{
    const struct plan_part *whole = whole_plan(s, micro_batches);
    if (!forward_only) return whole;
    if (s->forward.of.micro_batches != micro_batches) plan_part_forward(&s->forward, whole);
    return &s->forward;
}

/* Activation slots that the largest plan needs. */
static int slots_needed(const struct stage *s)
{
    return schedule_slots(s->settings, most_micro_batches(s));
}

/* --- placing --- */

static void local_span(struct stage *s, int k, int chunk, int dir)
{
    struct local *l = &s->local[k];
    *l = (struct local){.chunk = chunk, .dir = dir};
    l->span = (struct chunk_span){.first = s->first[chunk],
                                  .count = s->first[chunk + 1] - s->first[chunk],
                                  .embed = chunk == 0,
                                  .head = chunk == s->chunks - 1};
    param_list_make(&l->params, &s->dims, l->span);
}

/* The earlier chunk first, so that the two ranks of a mirror that hold the same two have them in
 * one order. */
static void locals_choose(struct stage *s)
{
    int chunk[2];
    s->n_local = plan_held(s->place, s->mesh->pp, s->mesh->p, chunk);
    bool turned = s->n_local == 2 && chunk[1] < chunk[0], mirror = s->place == PLACE_MIRROR;
    for (int k = 0; k < s->n_local; k++) {
        int from = turned ? 1 - k : k;
        local_span(s, k, chunk[from], mirror ? plan_held_dir(s->place, from) : -1);
    }
}

static void split_layers(struct stage *s)
{
    s->first = memory_take((size_t)s->chunks + 1, sizeof *s->first, "a split of layers");
    schedule_split(s->first, s->settings, &s->dims, s->chunks);
}

/* Without an arena of the host's own the two of a micro-batch are one. */
static void micro_batches_place(struct stage *st, struct arena *ar)
{
    struct arena *host = arena_host(ar);
    struct micro_batch measured;
    for (int m = 0; m < st->max_mb; m++) {
        micro_batch_place(st->mb ? &st->mb[m] : &measured, st->T_max, host);
        if (host != ar) micro_batch_place(st->there ? &st->there[m] : &measured, st->T_max, ar);
    }
}

static bool learns(const struct stage *s)
{
    return s->keep == KEEP_TRAINING && s->max_mb > 0;
}

/* Runs twice, measuring and placing; the order of allocations is the layout. */
static void stage_place(struct stage *st)
{
    struct arena *ar = &st->arena, *host = arena_host(ar);
    bool training = learns(st);
    for (int k = 0; k < st->n_local; k++) {
        struct local *l = &st->local[k];
        arena_kind(ar, ARENA_PARAMETERS);
        l->weights = arena_take_n(ar, l->params.total, st->ops->real_bytes);
        if (st->with_reference)
            l->reference = arena_take_n(ar, l->params.total, st->ops->real_bytes);
        if (st->with_reward) l->reward = arena_take_n(ar, l->params.total, st->ops->real_bytes);
        arena_kind(ar, ARENA_GRADIENTS);
        for (int s = 0; training && s < (l->dir < 0 ? st->sums : 1); s++)
            l->grad[s] = arena_take_n(ar, l->params.total, sizeof(float));
        arena_kind(ar, ARENA_BUFFERS);
        chunk_free(l->model);
        l->model = chunk_new(
            &(struct chunk_setup){.dims = &st->dims,
                                  .span = l->span,
                                  .ops = st->ops,
                                  .parallel = st->parallel,
                                  .weights = l->weights,
                                  .T_max = st->T_max,
                                  .expert_room = st->settings->mesh.expert_room,
                                  .never = st->never,
                                  .slots = st->passes.slots,
                                  .recompute = (enum recompute)st->settings->mesh.recompute,
                                  .cut = schedule_cut(st->settings),
                                  .training = training},
            ar);
    }
    struct chunk *const chunk[] = {st->local[0].model, st->local[st->n_local - 1].model};
    if (training) chunk_place_slots(chunk, st->n_local, ar);
    st->mb = st->there = arena_take_n(host, (size_t)st->max_mb, sizeof *st->mb);
    if (host != ar) st->there = arena_take_n(host, (size_t)st->max_mb, sizeof *st->there);
    if (st->max_mb > 0) plans_place(st, host);
    micro_batches_place(st, ar);
}

/* No MPI: the planner measures any rank of any mesh. */
void stage_measure(struct stage *st, const struct stage_job *job)
{
    const struct settings *s = job->settings;
    const struct mesh *m = job->mesh;
    *st = (struct stage){.settings = s,
                         .mesh = m,
                         .transport = job->transport,
                         .device = job->transport->device,
                         .ops = job->ops,
                         .dims = job->dims,
                         .max_mb = job->max_mb,
                         .keep = job->keep,
                         .with_reference = job->with_reference,
                         .with_reward = job->with_reward,
                         .never = job->never};
    st->dims.score = job->with_reward;
    st->dims.tp = m->tp;
    st->dims.t = m->t;
    st->dims.ep = m->ep;
    st->dims.e = m->d % m->ep;
    st->kind = schedule_kind(s);
    st->place = schedule_place(s);
    st->chunks = plan_chunks(st->place, m->pp);
    st->directions = st->place == PLACE_MIRROR ? 2 : 1;
    st->sums = schedule_sums(s);
    st->T_max = s->data.micro_batch_tokens;
    st->inv_temperature = 1;
    split_layers(st);
    locals_choose(st);
    int rows = schedule_cut(s) ? chunk_rows(st->T_max, m->tp, 0).n : st->T_max;
    st->passes =
        (struct stage_ops){.self = st,
                           .device = st->device,
                           .message_bytes = (size_t)rows * (size_t)st->dims.C * st->ops->real_bytes,
                           .slots = learns(st) ? slots_needed(st) : 1,
                           .begin = stage_begin,
                           .step = stage_step,
                           .waited = waited,
                           .in_turn = m->tp > 1 || m->ep > 1,
                           .forward_last = true};
    arena_beside(&st->arena, st->device, &st->host);
    stage_place(st);
}

/* To the neighbours, and between the ends of the pipeline, which hold the two copies of a tied
 * embedding (trainer/learn/optimizer.c). */
static struct p2p *messages_open(const struct stage *s)
{
    const struct mesh *m = s->mesh;
    int near[PLAN_NEIGHBOURS + 1], n = plan_neighbours(s->place, m->pp, m->p, near);
    int other_end = m->pp - 1 - m->p, i = 0;
    if (m->p == 0 || other_end == 0) {
        while (i < n && near[i] != other_end) i++;
        near[n] = other_end;
        n += i == n && other_end != m->p;
    }
    return p2p_new_near(s->transport, m->pipe, &(struct peers){near, n}, 64);
}

/* Exchanges are opened before the chunks, which refer to them, are placed. */
void stage_new(struct stage *s, const struct stage_job *job)
{
    const struct mesh *m = job->mesh;
    stage_measure(s, job);
    pace_read(s);
    arena_back(&s->arena, s->device, s->arena.used);
    if (m->tp > 1) s->parallel.tp = exchange_new(s->transport, m->tensor, EXCHANGE_CHANNELS);
    if (m->ep > 1) s->parallel.ep = exchange_new(s->transport, m->expert, EXCHANGE_CHANNELS);
    stage_place(s);
    if (s->max_mb == 0) return;
    s->p2p = messages_open(s);
    s->engine = engine_new(s->p2p, m->p, m->pp, &s->passes, s->max_mb);
    const enum startup_part former = startup_enter(STARTUP_PLANS);
    plans_search(s);
    startup_enter(former);
}

/* The engine first: it still refers to the passes and the messages. */
void stage_free(struct stage *s)
{
    if (s->engine) engine_free(s->engine);
    if (s->p2p) p2p_free(s->p2p);
    for (int k = 0; k < s->n_local; k++) {
        chunk_free(s->local[k].model);
        param_list_free(&s->local[k].params);
    }
    exchange_free(s->parallel.tp);
    exchange_free(s->parallel.ep);
    free(s->first);
    arena_free(&s->arena);
}

size_t stage_bytes(const struct stage *s)
{
    return s->arena.size + s->host.size + (s->engine ? engine_bytes(s->engine) : 0);
}

void stage_copy_in(struct stage *s, int micro_batches)
{
    for (int m = 0; m < micro_batches; m++) micro_batch_copy_in(&s->there[m], &s->mb[m], s->device);
}

void stage_run(struct stage *s, int micro_batches, bool forward_only, struct engine_times *t)
{
    engine_run(s->engine, stage_plan(s, micro_batches, forward_only), t);
}

const float *stage_reference(struct stage *s, int m)
{
    const struct micro_batch *mb = &s->mb[m], *there = &s->there[m];
    if (there != mb)
        s->device->copy_out(mb->ref_logp, there->ref_logp, (size_t)mb->rows.T * sizeof(float));
    return mb->ref_logp;
}

void stage_zero_gradients(struct stage *st)
{
    for (int k = 0; k < st->n_local; k++)
        for (int s = 0; s < 2; s++)
            if (st->local[k].grad[s])
                device_fill(st->arena.device, st->local[k].grad[s], 0,
                            st->local[k].params.total * sizeof(float));
}

void stage_clear_load(struct stage *s)
{
    for (int k = 0; k < s->n_local; k++) chunk_load_clear(s->local[k].model);
}
