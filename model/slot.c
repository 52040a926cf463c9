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

static void acts_place(struct acts *k, const struct chunk *c, struct arena *a)
{
    const struct dims *d = &c->d;
    k->x = real_rows(c, a, d->C);
    k->n1 = real_rows(c, a, d->C);
    k->raw = d->qk_norm ? real_rows(c, a, dims_qkv(d)) : NULL;
    k->qkv = real_rows(c, a, dims_qkv(d));
    k->att = real_rows(c, a, d->Hq * d->D);
    k->x2 = real_rows(c, a, d->C);
    k->n2 = real_rows(c, a, d->C);
    k->gu = real_rows(c, a, 2 * d->F);
    k->h = real_rows(c, a, d->F);
    k->rstd1 = float_rows(c, a, 1);
    k->rstd2 = float_rows(c, a, 1);
    k->rstd_qk = d->qk_norm ? float_rows(c, a, d->Hq + d->Hkv) : NULL;
    k->lse = float_rows(c, a, d->Hq);
}

static void slot_place(struct slot *s, const struct chunk *c, struct arena *a)
{
    for (int l = 0; l < c->span.count; l++) acts_place(&s->layer[l], c, a);
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

static void scratch_place(struct scratch *s, const struct chunk *c, struct arena *a)
{
    const struct dims *d = &c->d;
    s->branch = real_rows(c, a, d->C);
    s->attention = arena_take(a, c->ops->attention_scratch(d, c->T_max));
    if (c->span.head) s->logits = float_rows(c, a, d->V);
    if (!c->training) return;
    s->dnorm = real_rows(c, a, d->C);
    s->datt = real_rows(c, a, d->Hq * d->D);
    s->dqkv = real_rows(c, a, dims_qkv(d));
    s->dh = real_rows(c, a, d->F);
    s->dgu = real_rows(c, a, 2 * d->F);
}

static void wires_place(struct chunk *c, struct arena *a)
{
    if (c->tp == 1) return;
    for (int k = 0; k < (c->training ? 2 : 1); k++) {
        c->wire[k].sum = float_rows(c, a, c->d.C);
        c->wire[k].scratch = float_rows(c, a, c->tp * c->d.C);
    }
    if (c->span.head) c->gathered = float_rows(c, a, c->V);
}

void chunk_place_memory(struct chunk *c, struct arena *a)
{
    acts_place(&c->once, c, a);
    scratch_place(&c->scratch, c, a);
    wires_place(c, a);
    enum arena_kind before = arena_kind(a, ARENA_ACTIVATIONS);
    for (int i = 0; i <= c->slots; i++) {
        if (c->training && i < c->slots)
            slot_place(&c->slot[i], c, a);
        else
            slot_share(&c->slot[i], c);
    }
    arena_kind(a, before);
}
