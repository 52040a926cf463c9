/* Placing a chunk, and stepping passes over its parts. */
#include "model/chunk.h"

#include <stdlib.h>

#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "comm/exchange.h"
#include "comm/watch.h"
#include "model/block.h"

/* --- placing --- */

/* The list of parameters is in the parts' order, so is this walk along both. */
static void unit_make(struct unit *u, const struct param **p, const struct dims *d)
{
    const struct param_table *t = &u->part->params;
    struct tensor_size shape[PART_PARAMS];
    struct weight *w = memory_take((size_t)t->n, sizeof *w, "a chunk");
    t->shapes(shape, d);
    for (int i = 0; i < t->n; i++) {
        if (shape[i].rows == 0) continue;
        w[i].param = (*p)++;
        if (role_is_packed(w[i].param->role))
            w[i].linear = memory_take((size_t)w[i].param->stacked, sizeof *w[i].linear, "a chunk");
    }
    u->weight = w;
    u->scratch = memory_take(1, u->part->scratch.bytes, "a chunk");
}

/* The order of units is that of the parameters in the list, which the INVARIANT checks. */
static void units_make(struct chunk *c)
{
    c->units = span_parts(&c->d, c->span, NULL);
    c->unit = memory_take((size_t)c->units, sizeof *c->unit, "a chunk");
    struct part_at *at = memory_take((size_t)c->units, sizeof *at, "a chunk");
    const struct param *p = c->params.p;
    span_parts(&c->d, c->span, at);
    for (int i = 0; i < c->units; i++) {
        struct unit *u = &c->unit[i];
        bool before = c->span.embed && i == 0, behind = c->span.head && i == c->units - 1;
        u->part = at[i].part;
        u->layer = at[i].layer - c->span.first;
        u->stream = before ? -1 : c->halves;
        if (!before && !behind) c->halves++;
        unit_make(u, &p, &c->d);
    }
    free(at);
    INVARIANT(p == c->params.p + c->params.n, "%d tensors in the list", c->params.n);
}

static void slots_make(struct chunk *c)
{
    c->slot = memory_take((size_t)c->slots + 1, sizeof *c->slot, "a chunk");
    for (int i = 0; i <= c->slots; i++) {
        struct slot *s = &c->slot[i];
        s->gradient = memory_take((size_t)c->halves + 1, sizeof *s->gradient, "a chunk");
        for (int way = 0; way < 2; way++) {
            s->stream[way] = memory_take((size_t)c->halves + 1, sizeof *s->stream[way], "a chunk");
            s->acts[way] = memory_take((size_t)c->units, sizeof *s->acts[way], "a chunk");
            for (int k = 0; k < c->units; k++)
                s->acts[way][k] = memory_take(1, c->unit[k].part->acts.bytes, "a chunk");
        }
    }
}

/* Calls visit for every packed matrix: stacked number e of a tensor. */
static void linears_visit(struct chunk *c, struct arena *a,
                          void (*visit)(struct chunk *c, struct weight *w, int e, struct arena *a))
{
    for (int i = 0; i < c->units; i++) {
        struct weight *w = c->unit[i].weight;
        for (int k = 0; k < c->unit[i].part->params.n; k++)
            for (int e = 0; w[k].linear && e < w[k].param->stacked; e++) visit(c, &w[k], e, a);
    }
}

static void linear_place(struct chunk *c, struct weight *w, int e, struct arena *a)
{
    c->ops->linear_place(&w->linear[e], w->param->rows / w->param->stacked, w->param->cols,
                         c->training, a);
}

static void linear_pack(struct chunk *c, struct weight *w, int e, struct arena *a)
{
    size_t each = w->param->n / (size_t)w->param->stacked, at = w->param->offset + (size_t)e * each;
    (void)a;
    c->ops->linear_pack(&w->linear[e], c->weights + at * c->ops->real_bytes);
}

/* While an arena measures, the groups may be missing. */
static void check_setup(const struct chunk_setup *s, int tp, int ep)
{
    const struct dims *d = s->dims;
    const struct exchange *x = s->parallel.tp, *y = s->parallel.ep;
    INVARIANT(s->span.count > 0 || s->span.embed || s->span.head, "an empty chunk of %d rows",
              s->T_max);
    INVARIANT(s->T_max > 0 && s->slots > 0, "T_max %d, slots %d", s->T_max, s->slots);
    INVARIANT(exchange_size(x) == tp && exchange_rank(x) == d->t, "share %d of %d, tp of %d ranks",
              d->t, tp, exchange_size(x));
    INVARIANT(exchange_size(y) == ep && exchange_rank(y) == d->e,
              "share %d of %d of the experts, ep of %d ranks", d->e, ep, exchange_size(y));
}

/* Called twice, for measuring and for placing (a->base says which); what is checked or computed
 * from weights happens only the second time. */
struct chunk *chunk_new(const struct chunk_setup *s, struct arena *a)
{
    struct chunk *c = memory_take(1, sizeof *c, "a chunk");
    const struct dims *d = s->dims;
    *c = (struct chunk){.d = dims_share(d),
                        .V = d->V,
                        .vocabulary = dims_vocabulary(d),
                        .span = s->span,
                        .ops = s->ops,
                        .device = a->device,
                        .weights = s->weights,
                        .T_max = s->T_max,
                        .head_rows = s->head_rows,
                        .never = s->never,
                        .slots = s->slots,
                        .training = s->training,
                        .recompute = s->training ? s->recompute : RECOMPUTE_NONE,
                        .tp = d->tp > 0 ? d->tp : 1,
                        .t = d->t,
                        .ep = d->ep > 0 ? d->ep : 1,
                        .parallel = s->parallel};
    c->cut = s->cut && c->tp > 1;
    c->T_here = c->cut ? chunk_rows(c->T_max, c->tp, 0).n : c->T_max;
    if (a->base) check_setup(s, c->tp, c->ep);
    c->room = row_room_of(c->T_max, d->K, dims_held(&c->d), c->ep, s->expert_room);
    if (c->ep == 1) c->parallel.ep = NULL;
    param_list_make(&c->params, d, c->span);
    units_make(c);
    slots_make(c);
    enum arena_kind before = arena_kind(a, ARENA_PARAMETERS); /* packed copies */
    linears_visit(c, a, linear_place);
    arena_kind(a, before);
    chunk_place_memory(c, a);
    if (a->base && c->weights) chunk_repack(c);
    return c;
}

static void unit_free(struct unit *u)
{
    struct weight *w = u->weight;
    for (int i = 0; i < u->part->params.n; i++) free(w[i].linear);
    free(w);
    free(u->scratch);
}

static void slot_free(const struct chunk *c, struct slot *s)
{
    for (int way = 0; way < 2; way++) {
        for (int i = 0; i < c->units; i++) free(s->acts[way][i]);
        free(s->acts[way]);
        free(s->stream[way]);
    }
    free(s->gradient);
}

void chunk_free(struct chunk *c)
{
    if (!c) return;
    for (int i = 0; i <= c->slots; i++) slot_free(c, &c->slot[i]);
    for (int i = 0; i < c->units; i++) unit_free(&c->unit[i]);
    free(c->slot);
    free(c->unit);
    param_list_free(&c->params);
    free(c);
}

const struct param_list *chunk_params(const struct chunk *c)
{
    return &c->params;
}

void chunk_repack(struct chunk *c)
{
    linears_visit(c, NULL, linear_pack);
}

static size_t load_bytes(const struct chunk *c)
{
    return (size_t)c->span.count * (size_t)c->d.E * sizeof *c->load.chosen;
}

void chunk_load(const struct chunk *c, uint64_t *chosen, struct exact_sum *balance)
{
    *balance = (struct exact_sum){0};
    if (!c->load.balance) return;
    c->device->copy_out(chosen, c->load.chosen, load_bytes(c));
    c->device->copy_out(balance, c->load.balance, sizeof *balance);
}

int chunk_rounds(const struct chunk *c)
{
    return c->load.rounds;
}

void chunk_load_clear(struct chunk *c)
{
    c->load.rounds = 0;
    if (!c->load.balance) return;
    device_fill(c->device, c->load.chosen, 0, load_bytes(c));
    device_fill(c->device, c->load.balance, 0, sizeof *c->load.balance);
}

void chunk_use_weights(struct chunk *c, const void *weights)
{
    c->weights = weights;
    chunk_repack(c);
}

/* --- passes --- */

/* A pass is one of three directions. */
static bool is_backward(const struct pass *p)
{
    return p->kind == PASS_B || p->kind == PASS_BW;
}

static bool adds_weights(const struct pass *p)
{
    bool again = p->chunk->recompute != RECOMPUTE_NONE;
    return again ? is_backward(p) : p->kind != PASS_B;
}

/* What a pass does next: a sub-step of the unit that it is at, or of another of the same layer. */
struct step {
    sub_step *run; /* NULL: nothing is left */
    const struct unit *unit;
};

/* The i-th of a list, or none: then i counts on from its end. */
static bool step_in(struct step *out, sub_step *const *list, const struct unit *u, int *i)
{
    while (*list && *i > 0) list++, --*i;
    *out = (struct step){*list, u};
    return *list != NULL;
}

/* With `full` the last part of a layer has all of the layer computed again, from the layer's input:
 * those before it go forward as they did. Otherwise each part has its own, from its own input. */
static bool step_again(struct step *out, const struct chunk *c, const struct unit *u, int *i)
{
    const struct unit *end = c->unit + c->units;
    bool full = c->recompute == RECOMPUTE_FULL;
    if (c->recompute == RECOMPUTE_NONE) return false;
    if (full && u + 1 < end && u[1].layer == u->layer) return false;
    const struct unit *first = u;
    while (full && first > c->unit && first[-1].layer == u->layer) first--;
    for (; first < u; first++)
        if (step_in(out, first->part->forward, first, i)) return true;
    return step_in(out, u->part->recompute, u, i);
}

/* The i-th step of a part in this pass. */
static struct step step_at(const struct pass *p, const struct unit *u, int i)
{
    struct step s = {NULL, u};
    if (pass_forward(p)) return (struct step){u->part->forward[i], u};
    if (is_backward(p) && step_again(&s, p->chunk, u, &i)) return s;
    if (is_backward(p) && step_in(&s, u->part->backward_input, u, &i)) return s;
    if (adds_weights(p)) step_in(&s, u->part->backward_weight, u, &i);
    return s;
}

/* Rows of the stream, from a message or into one. */
static void stream_copy(const struct pass *p, void *to, const void *from)
{
    const struct chunk *c = p->chunk;
    size_t bytes = (size_t)c->d.C * c->ops->real_bytes;
    c->ops->copy_rows(to, bytes, from, bytes, rows_here(p).n, bytes);
}

/* What comes from the neighbour is copied: its buffer is free after the pass, the slot lives until
 * W. */
void pass_begin(struct pass *p)
{
    const struct chunk *c = p->chunk;
    int T = p->rows->T;
    bool decode = p->kind == PASS_DECODE;
    INVARIANT(T <= c->T_max, "%d rows, room for %d", T, c->T_max);
    INVARIANT(p->slot >= 0 && p->slot < c->slots + decode, "slot %d of %d", p->slot, c->slots);
    INVARIANT(pass_forward(p) || c->training, "pass %d of a chunk without training", (int)p->kind);
    INVARIANT(c->training || !c->span.head || decode || !p->head->loss || !p->head->learns,
              "a loss that learns, slot %d, without training", p->slot);
    p->at = p->sub = p->row = p->round = 0;
    p->open = EXCHANGE_NONE;
    if (pass_forward(p) && !c->span.embed) stream_copy(p, stream_at(p, 0), p->in);
    if (is_backward(p) && !c->span.head) stream_copy(p, slot_of(p)->gradient[c->halves], p->in);
}

static void pass_end(struct pass *p)
{
    const struct chunk *c = p->chunk;
    if (pass_forward(p) && !c->span.head) stream_copy(p, p->out, stream_at(p, c->halves));
    if (is_backward(p) && !c->span.embed) stream_copy(p, p->out, slot_of(p)->gradient[0]);
}

/* Runs sub-steps until one posts an exchange: then the engine may step the other pass of a pair
 * while it travels. Long rows make a pass of many layers longer than the watchdog waits: it is fed
 * by each sub-step that is done, and by the kernels of those that are long themselves
 * (model/matmul.c, model/cpu/attention.c); never while something is waited for. */
bool pass_step(struct pass *p)
{
    int units = p->chunk->units;
    const struct unit *u = &p->chunk->unit[pass_forward(p) ? p->at : units - 1 - p->at];
    if (p->open != EXCHANGE_NONE) exchange_wait(p->exchange, p->open);
    p->open = EXCHANGE_NONE;
    struct step s;
    while (p->open == EXCHANGE_NONE && (s = step_at(p, u, p->sub)).run) {
        s.run(p, s.unit);
        watchdog_feed();
        p->sub++;
    }
    if (p->open != EXCHANGE_NONE) return false;
    p->sub = 0;
    if (++p->at < units) return false;
    pass_end(p);
    return true;
}

/* Parts run from the last to the first; a layer is done with its first. */
int pass_complete(const struct pass *p)
{
    const struct chunk *c = p->chunk;
    const struct unit *done = &c->unit[c->units - p->at]; /* the last one that was */
    if (p->at == c->units) return -1;
    if (p->at == 0) return c->span.count + (c->span.head ? 1 : 0);
    return done[-1].layer == done->layer ? done->layer + 1 : done->layer;
}

/* --- cached sequences --- */

/* A pass without a slot: nothing is kept for a backward. */
void chunk_decode(struct chunk *c, const struct decode_rows *rows, struct cache *cache,
                  const void *in, void *out, const struct head_draw *draw)
{
    struct rows plain = {.T = rows->T, .token = rows->token, .pos = rows->kv.pos};
    struct pass p = {.kind = PASS_DECODE,
                     .chunk = c,
                     .slot = c->slots,
                     .rows = &plain,
                     .in = in,
                     .out = out,
                     .decode = rows,
                     .cache = cache,
                     .draw = draw};
    pass_run(&p);
}
