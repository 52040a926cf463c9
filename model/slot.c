/* The memory of a chunk that grows with a micro-batch's rows: one function measures it and places it. */
#include "model/block.h"

static void *real_rows(const struct chunk *c, struct arena *a, int cols)
{
    return arena_take_n(a, (size_t)c->T_max, (size_t)cols * c->ops->real_bytes);
}

static float *float_rows(const struct chunk *c, struct arena *a, int cols)
{
    return arena_take_n(a, (size_t)c->T_max, (size_t)cols * sizeof(float));
}

/* Room for the rows of a micro-batch or for expert rows. */
static void *inner_rows(const struct chunk *c, struct arena *a, int cols, int expert_cols)
{
    size_t rows = (size_t)c->T_max * (size_t)cols, expert = (size_t)c->R_max * (size_t)expert_cols;
    return arena_take_n(a, rows > expert ? rows : expert, c->ops->real_bytes);
}

/* The FFN half of a dense layer, of one with experts, or of both in turn. */
static void ffn_place(struct acts *k, const struct chunk *c, bool dense, bool moe, struct arena *a)
{
    const struct dims *d = &c->d;
    size_t T = (size_t)c->T_max, K = (size_t)d->K, E = (size_t)d->E;
    k->gu = inner_rows(c, a, dense ? 2 * d->F : 0, moe ? 2 * d->Fe : 0);
    k->h = inner_rows(c, a, dense ? d->F : 0, moe ? d->Fe : 0);
    if (!moe) return;
    k->xe = inner_rows(c, a, 0, d->C);
    k->ye = inner_rows(c, a, 0, d->C);
    k->yh = c->ep == 1 ? k->ye : real_rows(c, a, d->K * d->C);
    k->route = (struct routing){.prob = arena_take_n(a, T * E, sizeof(float)),
                                .weight = arena_take_n(a, T * K, sizeof(float)),
                                .expert = arena_take_n(a, T * K, sizeof(int)),
                                .at = arena_take_n(a, T * K, sizeof(int)),
                                .start = arena_take_n(a, E + 1, sizeof(int))};
    k->route.first = k->route.start;
    if (c->ep == 1) return;
    size_t held = (size_t)dims_held(d);
    k->route.first = arena_take_n(a, held + 1, sizeof(int));
    k->route.from = arena_take_n(a, held * (size_t)c->ep, sizeof(int));
}

static void acts_place(struct acts *k, const struct chunk *c, bool dense, bool moe, struct arena *a)
{
    const struct dims *d = &c->d;
    k->x = real_rows(c, a, d->C);
    k->n1 = real_rows(c, a, d->C);
    k->raw = d->qk_norm ? real_rows(c, a, dims_qkv(d)) : NULL;
    k->qkv = real_rows(c, a, dims_qkv(d));
    k->att = real_rows(c, a, d->Hq * d->D);
    k->x2 = real_rows(c, a, d->C);
    k->n2 = real_rows(c, a, d->C);
    ffn_place(k, c, dense, moe, a);
    k->rstd1 = float_rows(c, a, 1);
    k->rstd2 = float_rows(c, a, 1);
    k->rstd_qk = d->qk_norm ? float_rows(c, a, d->Hq + d->Hkv) : NULL;
    k->lse = float_rows(c, a, d->Hq);
}

static void slot_place(struct slot *s, const struct chunk *c, struct arena *a)
{
    for (int l = 0; l < c->span.count; l++)
        acts_place(&s->layer[l], c, !has_experts(c, l), has_experts(c, l), a);
    s->y = real_rows(c, a, c->d.C);
    s->dy = real_rows(c, a, c->d.C);
    if (!c->span.head) return;
    s->nf = real_rows(c, a, c->d.C);
    s->rstd_f = float_rows(c, a, 1);
    s->dlogits = real_rows(c, a, c->d.V);
}

/* Nothing is kept: every layer works in the same memory, on a stream that stays where it is. */
static void slot_share(struct slot *s, const struct chunk *c)
{
    for (int l = 0; l < c->span.count; l++) s->layer[l] = c->once;
    s->y = c->once.x;
    s->nf = c->once.n1;
    s->rstd_f = c->once.rstd1;
}

static void scratch_place(struct scratch *s, const struct chunk *c, bool dense, bool moe,
                          struct arena *a)
{
    const struct dims *d = &c->d;
    s->branch = real_rows(c, a, d->C);
    s->attention = arena_take(a, c->ops->attention_scratch(d, c->T_max));
    if (c->span.head) s->logits = float_rows(c, a, d->V);
    if (moe) s->count = arena_take_n(a, (size_t)d->E, sizeof(int));
    if (!c->training) return;
    s->dnorm = real_rows(c, a, d->C);
    s->datt = real_rows(c, a, d->Hq * d->D);
    s->dqkv = real_rows(c, a, dims_qkv(d));
    s->dh = inner_rows(c, a, dense ? d->F : 0, moe ? d->Fe : 0);
    if (!moe) return;
    s->dxe = inner_rows(c, a, 0, d->C);
    s->dweight = float_rows(c, a, d->K);
}

static void wires_place(struct chunk *c, bool moe, struct arena *a)
{
    int kinds = c->training ? 2 : 1;
    for (int k = 0; moe && c->ep > 1 && k < kinds; k++) travel_place(c, &c->wire[k], a);
    if (c->tp == 1) return;
    for (int k = 0; k < kinds; k++) {
        c->wire[k].sum = float_rows(c, a, c->d.C);
        c->wire[k].scratch = float_rows(c, a, c->tp * c->d.C);
    }
    if (c->span.head) c->gathered = float_rows(c, a, c->V);
}

void chunk_place_memory(struct chunk *c, struct arena *a)
{
    bool dense = false, moe = false;
    for (int l = 0; l < c->span.count; l++) *(has_experts(c, l) ? &moe : &dense) = true;
    acts_place(&c->once, c, dense, moe, a);
    scratch_place(&c->scratch, c, dense, moe, a);
    size_t chosen = moe ? (size_t)c->span.count * (size_t)c->d.E : 0;
    if (moe) c->load.chosen = arena_take_n(a, chosen, sizeof *c->load.chosen);
    wires_place(c, moe, a);
    for (int i = c->training ? c->slots : 0; i <= c->slots; i++) slot_share(&c->slot[i], c);
}

void chunk_place_slots(struct chunk *const *c, int n, struct arena *a)
{
    enum arena_kind before = arena_kind(a, ARENA_ACTIVATIONS);
    for (int i = 0; i < c[0]->slots; i++) {
        size_t most = 0;
        for (int k = 0; k < n; k++) {
            struct arena measured = {0};
            slot_place(&c[k]->slot[i], c[k], &measured);
            if (measured.used > most) most = measured.used;
        }
        unsigned char *at = arena_take(a, most);
        for (int k = 0; k < n; k++) {
            struct arena same = {.base = at, .size = most};
            slot_place(&c[k]->slot[i], c[k], &same);
        }
    }
    arena_kind(a, before);
}
