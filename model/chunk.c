/* Placing a chunk, and stepping passes over its parts. */
#include "model/chunk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/die.h"
#include "comm/base/memory.h"
#include "comm/exchange.h"
#include "model/block.h"

/* --- placing --- */

/* The list is in the table's order, so is this walk along it. */
static void find_params(struct chunk *c)
{
    const struct dims *d = &c->d;
    const struct param *p = c->params.p;
    if (c->span.embed) c->embed = p++;
    for (int l = 0; l < c->span.count; l++) {
        struct layer *layer = &c->layer[l];
        bool moe = has_experts(c, l);
#define FIND(name, role, rows, cols, there, cut, adds, hf) layer->name = (there) ? p++ : NULL;
        LAYER_PARAMS(FIND)
#undef FIND
    }
    if (c->span.head) {
        c->norm_f = p++;
        c->head = p++;
    }
    INVARIANT(p == c->params.p + c->params.n, "%d tensors in the list", c->params.n);
}

static void linears_place(struct chunk *c, struct arena *a)
{
    const struct dims *d = &c->d;
    for (int l = 0; l < c->span.count; l++) {
        struct layer *layer = &c->layer[l];
        c->ops->linear_place(&layer->qkv, dims_qkv(d), d->C, c->training, a);
        c->ops->linear_place(&layer->o, d->C, d->Hq * d->D, c->training, a);
        if (has_experts(c, l)) {
            moe_place(c, l, a);
            continue;
        }
        c->ops->linear_place(&layer->gu, 2 * d->F, d->C, c->training, a);
        c->ops->linear_place(&layer->down, d->C, d->F, c->training, a);
    }
    if (c->span.head) c->ops->linear_place(&c->head_linear, d->V, d->C, c->training, a);
}

/* Angle i of position p is p * theta^(-2i/D) (RoFormer, arXiv 2104.09864, eq. 15); cosines of D/2 angles, then sines. In double, because a
 * float of the angle is off by 1e-4 at position 2000. */
static void cos_sin_place(struct chunk *c, struct arena *a)
{
    int D = c->d.D, half = D / 2;
    c->cos_sin = arena_take_n(a, (size_t)c->d.max_context, (size_t)D * sizeof(float));
    if (!c->cos_sin) return;
    for (int i = 0; i < half; i++) {
        double frequency = pow((double)c->d.rope_theta, -2.0 * i / D);
        for (int pos = 0; pos < c->d.max_context; pos++) {
            float *row = c->cos_sin + (size_t)pos * (size_t)D;
            row[i] = (float)cos(pos * frequency);
            row[half + i] = (float)sin(pos * frequency);
        }
    }
}

struct chunk *chunk_new(const struct dims *d, struct chunk_span span, const struct ops *ops,
                        struct parallel parallel, const void *weights, int T_max, int slots,
                        bool training, struct arena *a)
{
    struct chunk *c = memory_take(1, sizeof *c, "a chunk");
    INVARIANT(span.count > 0 || span.embed || span.head, "an empty chunk of %d rows", T_max);
    INVARIANT(T_max > 0 && slots > 0, "T_max %d, slots %d", T_max, slots);
    c->tp = d->tp > 0 ? d->tp : 1;
    INVARIANT(!a->base ||
                  (exchange_size(parallel.tp) == c->tp && exchange_rank(parallel.tp) == d->t),
              "share %d of %d, tp of %d ranks", d->t, c->tp, exchange_size(parallel.tp));
    c->ep = d->ep > 0 ? d->ep : 1;
    INVARIANT(
        !a->base || (exchange_size(parallel.ep) == c->ep && exchange_rank(parallel.ep) == d->e),
        "share %d of %d of the experts, ep of %d ranks", d->e, c->ep, exchange_size(parallel.ep));
    c->d = dims_share(d);
    int held = dims_held(&c->d);
    c->R_max = T_max * (c->ep == 1 || d->K < held ? d->K : held) * c->ep;
    c->V = d->V;
    c->vocabulary = dims_vocabulary(d);
    c->span = span;
    c->ops = ops;
    c->parallel = parallel;
    if (c->ep == 1) c->parallel.ep = NULL;
    c->weights = weights;
    c->T_max = T_max;
    c->slots = slots;
    c->training = training;
    param_list_make(&c->params, d, span);
    c->layer = memory_take((size_t)span.count, sizeof *c->layer, "a chunk");
    for (int l = 0; l < span.count; l++)
        if (has_experts(c, l))
            c->layer[l].expert = memory_take((size_t)held, sizeof(struct expert), "a chunk");
    c->slot = memory_take((size_t)slots + 1, sizeof *c->slot, "a chunk");
    for (int i = 0; i <= slots; i++)
        c->slot[i].layer = memory_take((size_t)span.count, sizeof(struct acts), "a chunk");
    find_params(c);
    cos_sin_place(c, a);
    enum arena_kind before = arena_kind(a, ARENA_PARAMETERS); /* packed copies */
    linears_place(c, a);
    arena_kind(a, before);
    chunk_place_memory(c, a);
    if (a->base && weights) chunk_repack(c);
    return c;
}

void chunk_free(struct chunk *c)
{
    if (!c) return;
    for (int i = 0; i <= c->slots; i++) free(c->slot[i].layer);
    for (int l = 0; l < c->span.count; l++) free(c->layer[l].expert);
    free(c->slot);
    free(c->layer);
    param_list_free(&c->params);
    free(c);
}

const struct param_list *chunk_params(const struct chunk *c)
{
    return &c->params;
}

void chunk_repack(struct chunk *c)
{
    for (int l = 0; l < c->span.count; l++) {
        struct layer *layer = &c->layer[l];
        c->ops->linear_pack(&layer->qkv, weight_of(c, layer->wqkv));
        c->ops->linear_pack(&layer->o, weight_of(c, layer->wo));
        if (has_experts(c, l)) {
            moe_pack(c, l);
            continue;
        }
        c->ops->linear_pack(&layer->gu, weight_of(c, layer->wgu));
        c->ops->linear_pack(&layer->down, weight_of(c, layer->wdown));
    }
    if (c->span.head) c->ops->linear_pack(&c->head_linear, weight_of(c, c->head));
}

const struct load *chunk_load(const struct chunk *c)
{
    return &c->load;
}

void chunk_load_clear(struct chunk *c)
{
    size_t n = (size_t)c->span.count * (size_t)c->d.E;
    if (c->load.chosen) memset(c->load.chosen, 0, n * sizeof *c->load.chosen);
    c->load.balance = (struct exact_sum){0};
}

void chunk_use_weights(struct chunk *c, const void *weights)
{
    c->weights = weights;
    chunk_repack(c);
}

/* --- passes --- */

static int parts_of(const struct chunk *c)
{
    return (c->span.embed ? 1 : 0) + 2 * c->span.count + (c->span.head ? 1 : 0);
}

/* The i-th part, counted in forward order. */
static const struct part *part_at(const struct chunk *c, int i, int *layer)
{
    *layer = 0;
    if (c->span.embed && i == 0) return &PART_EMBED;
    i -= c->span.embed ? 1 : 0;
    if (i == 2 * c->span.count) return &PART_HEAD;
    *layer = i / 2;
    return i % 2 == 0 ? &PART_ATTENTION : has_experts(c, *layer) ? &PART_MOE : &PART_FFN;
}

/* A pass is one of three directions, decoding a forward one. */
static bool is_forward(const struct pass *p)
{
    return p->kind == PASS_F || p->kind == PASS_DECODE;
}
static bool is_backward(const struct pass *p)
{
    return p->kind == PASS_B || p->kind == PASS_BW;
}

/* The i-th sub-step of a part in this pass, NULL behind the last. */
static sub_step *sub_step_at(const struct pass *p, const struct part *part, int i)
{
    if (is_forward(p)) return part->forward[i];
    int before = 0;
    if (is_backward(p)) {
        while (part->backward_input[before]) before++;
        if (i < before) return part->backward_input[i];
    }
    return i == before && p->kind != PASS_B ? part->backward_weight : NULL;
}

static size_t stream_bytes(const struct chunk *c, int T)
{
    return (size_t)T * (size_t)c->d.C * c->ops->real_bytes;
}

/* What comes from the neighbour is copied: its buffer is free after the pass, the slot lives until W. */
void pass_begin(struct pass *p)
{
    const struct chunk *c = p->chunk;
    int T = p->rows->T;
    bool decode = p->kind == PASS_DECODE;
    INVARIANT(T <= c->T_max, "%d rows, room for %d", T, c->T_max);
    INVARIANT(p->slot >= 0 && p->slot < c->slots + decode, "slot %d of %d", p->slot, c->slots);
    INVARIANT(is_forward(p) || c->training, "pass %d of a chunk without training", (int)p->kind);
    INVARIANT(c->training || !c->span.head || decode || !p->head->loss,
              "a loss, slot %d, without training", p->slot);
    p->at = p->sub = 0;
    p->open = EXCHANGE_NONE;
    if (is_forward(p) && !c->span.embed) memcpy(stream_at(p, 0), p->in, stream_bytes(c, T));
    if (is_backward(p) && !c->span.head) memcpy(slot_of(p)->dy, p->in, stream_bytes(c, T));
}

static void pass_end(struct pass *p)
{
    const struct chunk *c = p->chunk;
    size_t bytes = stream_bytes(c, p->rows->T);
    if (is_forward(p) && !c->span.head) memcpy(p->out, slot_of(p)->y, bytes);
    if (is_backward(p) && !c->span.embed) memcpy(p->out, gradient_at(p, 0), bytes);
}

bool pass_step(struct pass *p)
{
    int parts = parts_of(p->chunk), layer;
    const struct part *part = part_at(p->chunk, is_forward(p) ? p->at : parts - 1 - p->at, &layer);
    if (p->open != EXCHANGE_NONE) exchange_wait(p->exchange, p->open);
    p->open = EXCHANGE_NONE;
    sub_step *run;
    while (p->open == EXCHANGE_NONE && (run = sub_step_at(p, part, p->sub))) {
        run(p, layer);
        p->sub++;
    }
    if (p->open != EXCHANGE_NONE) return false;
    p->sub = 0;
    if (++p->at < parts) return false;
    pass_end(p);
    return true;
}

/* Parts run from the last to the first; a layer is done with the second of its two. */
int pass_complete(const struct pass *p)
{
    const struct chunk *c = p->chunk;
    int halves = p->at - (c->span.head ? 1 : 0);
    if (p->at == parts_of(c)) return -1;
    return halves < 0 ? c->span.count + 1 : c->span.count - halves / 2;
}

/* --- cached sequences --- */

void chunk_decode(struct chunk *c, const struct decode_rows *rows, struct cache *cache,
                  const void *in, void *out, float *logits)
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
                     .logits = logits};
    pass_run(&p);
}

void chunk_logprob(struct chunk *c, const struct decode_logits *l, float *logp, float *entropy)
{
    struct exchange *tp = c->parallel.tp;
    struct wire *w = &c->wire[0];
    int lane = LANE_DECODE + l->lane;
    if (!tp) {
        c->ops->logprob_forward(logp, entropy, l->logits, l->target, l->inv_temperature, l->T,
                                c->V);
        return;
    }
    if (l->T == 0) return;
    const float *logits = c->scratch.logits;
    exchange_wait(tp, vocabulary_most(c, w, lane, logits, l->inv_temperature, l->T));
    exchange_wait(tp, vocabulary_sums(c, w, lane, logits, l->target, l->inv_temperature, l->T));
    vocabulary_logprob(logp, entropy, w, l->target, l->T);
}
