#include "trainer/learn/bucket.h"

#include <stdlib.h>
#include "comm/base/memory.h"

/* Slices are multiples of this many elements, so that gathered pieces stay aligned. */
enum { SLICE_ALIGN = 16 };

/* --- which runs --- */

/* As pass_complete counts. */
static int layer_of(const struct local *l, const struct param *p)
{
    return p->layer - l->span.first;
}

/* The elements behind p up to the next tensor of its region: padding included. */
static size_t end_of(const struct local *l, int i)
{
    const struct param_list *p = &l->params;
    enum param_region region = p->p[i].region;
    for (int k = i + 1; k < p->n; k++)
        if (p->p[k].region == region) return p->p[k].offset;
    return p->end[region];
}

static size_t parts_of(const struct stage *s, const struct local *l, const struct param *p)
{
    size_t sums = (size_t)(l->dir < 0 ? s->sums : 1);
    return s->mesh->tp > 1 && p->cut == CUT_NONE_PART ? sums * p->n : 0;
}

static void append_bucket(struct bucket_list *l, struct bucket b)
{
    if (l->n == l->room) {
        l->room = 2 * l->room + 16;
        l->b = realloc(l->b, (size_t)l->room * sizeof *l->b);
        SYS_OK(l->b, "free memory on this machine", "no memory for %d buckets", l->room);
    }
    l->b[l->n++] = b;
}

/* The bucket that a run may join: the one that follows it in the flat array, of the same kind.
 * NULL: none. */
static struct bucket *follower(const struct bucket_list *l, const struct bucket *run)
{
    for (int i = l->n - 1; i >= 0; i--) {
        struct bucket *b = &l->b[i];
        if (b->local == run->local && b->at == run->at + run->n && b->region == run->region)
            return b->tie == TIE_NONE && run->tie == TIE_NONE ? b : NULL;
    }
    return NULL;
}

/* A tensor, or several: they join what follows when both are of one layer, or small together. */
static void add_run(struct bucket_list *l, struct bucket run, size_t most)
{
    struct bucket *b = follower(l, &run);
    if (!b || (b->layer != run.layer && b->n + run.n > most)) {
        append_bucket(l, run);
        return;
    }
    b->at = run.at;
    b->n += run.n;
    b->layer = run.layer;
    b->parts += run.parts;
}

/* Tensors from the last to the first; first those of one layer, so that layers join whole. */
static void add_layers(struct bucket_list *l, const struct stage *s, struct local *local,
                       size_t most)
{
    struct bucket_list layers = {0};
    for (int i = local->params.n - 1; i >= 0; i--) {
        const struct param *p = &local->params.p[i];
        add_run(&layers,
                (struct bucket){.local = local,
                                .region = p->region,
                                .layer = layer_of(local, p),
                                .at = p->offset,
                                .n = end_of(local, i) - p->offset,
                                .tie = p->tie ? TIE_REMOTE : TIE_NONE,
                                .tied = p->tie,
                                .tied_copy = p->tied_copy,
                                .parts = parts_of(s, local, p)},
                0);
    }
    for (int i = 0; i < layers.n; i++) add_run(l, layers.b[i], most);
    buckets_free(&layers);
}

/* Stable: buckets of one layer stay as they are. */
static void put_in_order(struct bucket_list *l, int from)
{
    for (int i = from + 1; i < l->n; i++)
        for (int k = i; k > from && l->b[k - 1].layer < l->b[k].layer; k--) {
            struct bucket b = l->b[k];
            l->b[k] = l->b[k - 1];
            l->b[k - 1] = b;
        }
}

static void find_ties(struct bucket_list *l)
{
    for (int i = 0; i < l->n; i++)
        for (int j = 0; j < l->n; j++)
            if (i != j && l->b[i].tied && l->b[i].tied == l->b[j].tied) l->b[i].tie = j;
}

void buckets_make(struct bucket_list *l, struct stage *s)
{
    size_t most = (size_t)(s->settings->reduction.bucket_mib * 0x1p20 / sizeof(float));
    *l = (struct bucket_list){0};
    for (int k = s->n_local - 1; k >= 0; k--) {
        int from = l->n;
        add_layers(l, s, &s->local[k], most);
        put_in_order(l, from);
    }
    find_ties(l);
}

void buckets_free(struct bucket_list *l)
{
    free(l->b);
    *l = (struct bucket_list){0};
}

/* --- slices and pieces --- */

/* Equal slices, rounded up to the alignment: the last ones may be shorter or empty. */
void bucket_cut(struct bucket *b, int members, int me)
{
    size_t R = (size_t)members, each = (b->n + R - 1) / R;
    each = (each + SLICE_ALIGN - 1) / SLICE_ALIGN * SLICE_ALIGN;
    for (size_t i = 0; i < R; i++) {
        size_t lo = i * each < b->n ? i * each : b->n;
        size_t hi = lo + each < b->n ? lo + each : b->n;
        if (b->count) {
            b->offset[i] = lo;
            b->count[i] = hi - lo;
        }
        if ((int)i == me) {
            b->mine = lo;
            b->mine_n = hi - lo;
        }
    }
}

/* A slice may cut a tensor anywhere: pieces are what it has of each. */
void bucket_pieces_in(struct bucket *b, size_t begin, size_t end,
                      void (*visit)(void *ctx, struct bucket *b, struct piece s), void *ctx)
{
    size_t slice = b->at + b->mine, from = slice + begin, to = slice + end;
    for (int i = 0; i < b->local->params.n; i++) {
        const struct param *p = &b->local->params.p[i];
        size_t lo = p->offset > from ? p->offset : from;
        size_t hi = p->offset + p->n < to ? p->offset + p->n : to;
        if (lo >= hi) continue;
        visit(ctx, b, (struct piece){p, lo - p->offset, hi - p->offset, lo - slice});
    }
}

void bucket_pieces(struct bucket *b, void (*visit)(void *ctx, struct bucket *b, struct piece s),
                   void *ctx)
{
    bucket_pieces_in(b, 0, b->mine_n, visit, ctx);
}

bool bucket_counts(const struct stage *s, const struct param *p)
{
    bool alike = p->cut == CUT_NONE || p->cut == CUT_NONE_PART || p->cut == CUT_EXPERTS;
    return !alike || s->mesh->t == 0;
}

/* Gradients of tensors that every rank of tp holds whole are partial on each and need a sum over
 * tp. */
void bucket_parts(const struct bucket *b, const struct device *d, float *part,
                  void (*visit)(const struct device *d, float *part, float *grad, size_t n))
{
    const struct local *l = b->local;
    for (int i = 0; i < l->params.n; i++) {
        const struct param *p = &l->params.p[i];
        bool inside = p->offset >= b->at && p->offset < b->at + b->n;
        for (int s = 0; inside && p->cut == CUT_NONE_PART && s < 2 && l->grad[s]; s++) {
            visit(d, part, l->grad[s] + p->offset, p->n);
            part += p->n;
        }
    }
}
