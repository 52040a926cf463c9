/* What a checkpoint keeps of the optimizer: slices of masters, moments and reference by global
 * tensor name, residuals by rank. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/learn/optimizer.h"

struct slicing {
    const struct optimizer *o;
    struct slice *out;
    int n, what;
    const struct device *device; /* where it lies; NULL: the host */
};

/* What is saved of a tensor. */
enum array { ARRAY_MODEL, ARRAY_ADAM_M, ARRAY_ADAM_V, ARRAY_REFERENCE, ARRAY_REWARD };
static const struct {
    const char *prefix;
    bool optional; /* as of struct slice */
} array_kind[] = {
    [ARRAY_MODEL] = {"model", false},   [ARRAY_ADAM_M] = {"adam_m", false},
    [ARRAY_ADAM_V] = {"adam_v", false}, [ARRAY_REFERENCE] = {"ref", true},
    [ARRAY_REWARD] = {"reward", true},
};

/* Only the reward model uses its scalar head, which older checkpoints do not have. */
static bool is_kept(enum array array, const struct param *p)
{
    return p->role != ROLE_SCORE || (array != ARRAY_MODEL && array != ARRAY_REFERENCE);
}

/* A slice for each range of the whole tensor that the piece covers. data: NULL where nothing is
 * kept of such an array. */
static void slice_add(struct slicing *c, enum array array, struct piece s, float *data)
{
    const char *tensor = param_saved_name(s.param);
    struct range at[PARAM_RANGES];
    int n = is_kept(array, s.param) ? param_ranges(s.param, s.lo, s.hi, at) : 0;
    bool optional = array_kind[array].optional || s.param->role == ROLE_SCORE;
    if (data) data += s.at;
    for (int i = 0; i < n; i++, c->n++) {
        size_t count = range_count(&at[i]);
        if (!c->out) continue;
        struct slice *t = &c->out[c->n];
        *t = (struct slice){.n = s.param->whole,
                            .at = at[i],
                            .data = data,
                            .device = c->device,
                            .optional = optional};
        memcpy(t->shape, s.param->shape, sizeof t->shape);
        snprintf(t->name, sizeof t->name, "%s/%s", array_kind[array].prefix, tensor);
        if (data) data += count;
    }
}

static bool saves(int what)
{
    return what == SLICES_SAVE || what == SLICES_SAVE_MODEL;
}

static void piece_slices(void *ctx, struct bucket *b, struct piece s)
{
    const struct slicing *c = ctx;
    if (saves(c->what) && !bucket_counts(c->o->stage, s.param)) return;
    slice_add(ctx, ARRAY_MODEL, s, b->policy);
    if (c->what == SLICES_READ_MODEL || c->what == SLICES_SAVE_MODEL) return;
    slice_add(ctx, ARRAY_ADAM_M, s, b->m);
    slice_add(ctx, ARRAY_ADAM_V, s, b->v);
    const struct stage *st = c->o->stage;
    if (st->with_reference && st->keep != KEEP_WEIGHTS)
        slice_add(ctx, ARRAY_REFERENCE, s, b->reference);
    if (st->with_reward && st->keep != KEEP_WEIGHTS) slice_add(ctx, ARRAY_REWARD, s, b->reward);
}

/* Holds for this mesh and these ranks only: another mesh starts without residuals (run/state.c says
 * so). */
static void residual_slice(struct slicing *c)
{
    const struct optimizer *o = c->o;
    const struct mesh *m = o->stage->mesh;
    if (o->residuals == 0) return;
    if (c->out) {
        struct slice *s = &c->out[c->n];
        *s = (struct slice){.n = o->residuals,
                            .at = {.hi = o->residuals},
                            .data = o->residual,
                            .device = c->device};
        int rank = mesh_rank_at(m, (struct mesh_at){m->d, m->p, m->t});
        snprintf(s->name, sizeof s->name, "residual/rank-%04d", rank);
    }
    c->n++;
}

int optimizer_slices(struct optimizer *o, struct slice *out, int what)
{
    const struct device *d = o->stage->device;
    struct slicing c = {o, out, 0, what, d == &device_host ? NULL : d};
    bool state = what != SLICES_READ_RESIDUALS;
    for (int i = 0; state && i < o->buckets.n; i++)
        if (!saves(what) || !o->buckets.b[i].tied_copy)
            bucket_pieces(&o->buckets.b[i], piece_slices, &c);
    if (what == SLICES_SAVE || what == SLICES_READ_RESIDUALS) residual_slice(&c);
    return c.n;
}

/* --- read without state --- */

struct piece_filling {
    struct slicing slices;
    size_t from; /* element of my slice that lies first in the piece */
    float *piece;
};

static void piece_filled(void *ctx, struct bucket *b, struct piece s)
{
    struct piece_filling *f = ctx;
    (void)b;
    s.at -= f->from;
    slice_add(&f->slices, ARRAY_MODEL, s, f->piece);
}

/* Counted, then made. The padding between tensors is zero, as that of masters is. */
bool optimizer_read_piece(struct optimizer *o, struct bucket *b, size_t lo, size_t hi,
                          const struct weights_source *from)
{
    struct piece_filling f = {.slices = {.o = o}, .from = lo, .piece = o->piece};
    memset(o->piece, 0, (hi - lo) * sizeof *o->piece);
    bucket_pieces_in(b, lo, hi, piece_filled, &f);
    struct slice *out = memory_take((size_t)f.slices.n + 1, sizeof *out, "slices");
    f.slices = (struct slicing){.o = o, .out = out};
    bucket_pieces_in(b, lo, hi, piece_filled, &f);
    bool ok = from->read(from->ctx, out, f.slices.n);
    free(out);
    return ok;
}
