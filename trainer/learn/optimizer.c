#include "trainer/learn/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "comm/base/exact.h"
#include "comm/coll.h"

/* Slices are multiples of this many elements, so that gathered pieces stay aligned. */
enum { SLICE_ALIGN = 16 };

/* --- laying out --- */

static int members_of(const struct optimizer *o, const struct bucket *b)
{
    return b->experts ? o->expert_members : o->members;
}

static MPI_Comm replica_of(const struct optimizer *o, const struct bucket *b)
{
    const struct mesh *m = o->actor->mesh;
    return b->experts ? m->expert_replica : m->replica;
}

static struct bucket *bucket_add(struct optimizer *o, struct local *l, size_t at, size_t n)
{
    INVARIANT(o->n_buckets < MAX_BUCKETS, "%d buckets", o->n_buckets);
    struct bucket *b = &o->bucket[o->n_buckets++];
    *b = (struct bucket){
        .local = l, .at = at, .n = n, .tie = TIE_NONE, .experts = at >= l->params.experts};
    return b;
}

/* Runs of tensors up to the next tied one; a tied one (the embedding of a tied model, or the head's copy) stands alone. Experts
 * are the last run. */
static void buckets_choose(struct optimizer *o, struct local *l)
{
    const struct param_list *p = &l->params;
    size_t from = 0;
    for (int i = 0; i < p->n; i++) {
        const struct param *t = &p->p[i];
        bool tied = t->tied_copy || (o->actor->dims.tied && t->role == ROLE_EMBEDDING);
        size_t end = i + 1 < p->n ? p->p[i + 1].offset : p->experts;
        if (!tied) continue;
        if (t->offset > from) bucket_add(o, l, from, t->offset - from);
        struct bucket *b = bucket_add(o, l, t->offset, t->n);
        b->tied_copy = t->tied_copy;
        b->tie = TIE_REMOTE;
        from = end;
    }
    if (p->experts > from) bucket_add(o, l, from, p->experts - from);
    if (p->total > p->experts) bucket_add(o, l, p->experts, p->total - p->experts);
}

static void ties_choose(struct optimizer *o)
{
    for (int i = 0; i < o->n_buckets; i++)
        for (int j = 0; j < o->n_buckets; j++)
            if (i != j && o->bucket[i].tie != TIE_NONE && o->bucket[j].tie != TIE_NONE)
                o->bucket[i].tie = j;
}

static void bucket_slices(struct optimizer *o, struct bucket *b, bool placed)
{
    size_t R = (size_t)members_of(o, b), each = (b->n + R - 1) / R;
    int me = b->experts ? o->expert_me : o->me;
    each = (each + SLICE_ALIGN - 1) / SLICE_ALIGN * SLICE_ALIGN;
    for (size_t i = 0; i < R; i++) {
        size_t lo = i * each < b->n ? i * each : b->n;
        size_t hi = lo + each < b->n ? lo + each : b->n;
        if (placed) {
            b->offset[i] = lo;
            b->count[i] = hi - lo;
        }
        if ((int)i == me) {
            b->mine = lo;
            b->mine_n = hi - lo;
        }
    }
}

/* Calls visit for every tensor of which the ranks of tp have a part of the gradient each. */
static void each_part(struct optimizer *o, void (*visit)(float *part, float *grad, size_t n))
{
    float *part = o->parts;
    for (int k = 0; k < o->actor->n_local; k++) {
        const struct local *l = &o->actor->local[k];
        for (int i = 0; i < l->params.n; i++) {
            const struct param *p = &l->params.p[i];
            for (int s = 0; p->cut == CUT_NONE_PART && s < 2 && l->grad[s]; s++) {
                visit(part, l->grad[s] + p->offset, p->n);
                part += p->n;
            }
        }
    }
}

static size_t parts_count(const struct optimizer *o)
{
    const struct actor *a = o->actor;
    size_t n = 0;
    for (int k = 0; k < a->n_local; k++) {
        const struct local *l = &a->local[k];
        size_t sums = (size_t)(l->dir < 0 ? a->sums : 1);
        for (int i = 0; i < l->params.n; i++)
            if (l->params.p[i].cut == CUT_NONE_PART) n += sums * l->params.p[i].n;
    }
    return n;
}

static void optimizer_place(struct optimizer *o)
{
    size_t largest = 0, room = 0;
    struct arena *a = &o->arena;
    for (int i = 0; i < o->n_buckets; i++) {
        struct bucket *b = &o->bucket[i];
        size_t R = (size_t)members_of(o, b);
        b->count = arena_take_n(a, R, sizeof(size_t));
        b->offset = arena_take_n(a, R, sizeof(size_t));
        bucket_slices(o, b, a->base != NULL);
        arena_kind(a, ARENA_GRADIENTS);
        b->grad = arena_take_n(a, b->mine_n, sizeof(float));
        arena_kind(a, ARENA_OPTIMIZER);
        float **const state[] = {&b->master, &b->m, &b->v};
        for (int k = 0; k < 3; k++) *state[k] = arena_take_n(a, b->mine_n, sizeof(float));
        if (o->actor->with_reference) b->reference = arena_take_n(a, b->mine_n, sizeof(float));
        arena_kind(a, ARENA_BUFFERS);
        size_t slice = (b->n + R - 1) / R + SLICE_ALIGN;
        if (slice > largest) largest = slice;
        if (slice * R > room) room = slice * R;
    }
    o->scratch = arena_take_n(a, room, sizeof(float));
    o->remote = arena_take_n(a, o->actor->dims.tied ? largest : 0, sizeof(float));
    size_t parts = o->actor->mesh->tp > 1 ? parts_count(o) : 0;
    o->parts = arena_take_n(a, parts, sizeof(float));
    o->parts_scratch = arena_take_n(a, parts + (size_t)o->actor->mesh->tp, sizeof(float));
}

void optimizer_measure(struct optimizer *o, struct actor *a, int members, int me)
{
    *o = (struct optimizer){
        .actor = a, .inner = a->mesh->replica_inner, .members = members, .me = me};
    int ep = a->mesh->ep, inner = o->inner; /* members are in the order of (pipeline, inner) */
    o->expert_members = members / ep;
    o->expert_me = me / inner / ep * inner + me % inner;
    for (int k = 0; k < a->n_local; k++) buckets_choose(o, &a->local[k]);
    ties_choose(o);
    optimizer_place(o);
}

void optimizer_new(struct optimizer *o, struct actor *a)
{
    int members, me;
    MPI_OK(MPI_Comm_size(a->mesh->replica, &members));
    MPI_OK(MPI_Comm_rank(a->mesh->replica, &me));
    optimizer_measure(o, a, members, me);
    arena_back(&o->arena, o->arena.used);
    optimizer_place(o);
}

void optimizer_free(struct optimizer *o)
{
    arena_free(&o->arena);
}

/* --- pieces: the part of a tensor that lies in my slice of a bucket --- */

struct piece {
    const struct param *param;
    size_t lo, hi; /* elements of the tensor */
    size_t at;     /* of the slice */
};

/* Calls visit for every piece of the bucket, in flat order. */
static void bucket_pieces(struct bucket *b, void (*visit)(void *, struct bucket *, struct piece),
                          void *ctx)
{
    size_t from = b->at + b->mine, to = from + b->mine_n;
    for (int i = 0; i < b->local->params.n; i++) {
        const struct param *p = &b->local->params.p[i];
        size_t lo = p->offset > from ? p->offset : from;
        size_t hi = p->offset + p->n < to ? p->offset + p->n : to;
        if (lo >= hi) continue;
        visit(ctx, b, (struct piece){p, lo - p->offset, hi - p->offset, lo - from});
    }
}

struct init {
    const struct dims *dims;
    uint64_t seed;
};

static void piece_init(void *ctx, struct bucket *b, struct piece s)
{
    const struct init *in = ctx;
    for (size_t i = s.lo; i < s.hi; i++)
        b->master[s.at + i - s.lo] = param_init(in->dims, s.param, i, in->seed);
}

void optimizer_init(struct optimizer *o, uint64_t seed)
{
    struct init in = {&o->actor->dims, seed};
    for (int i = 0; i < o->n_buckets; i++) bucket_pieces(&o->bucket[i], piece_init, &in);
    optimizer_reset(o);
    optimizer_publish(o);
}

void optimizer_reset(struct optimizer *o)
{
    o->updates = 0;
    for (int i = 0; i < o->n_buckets; i++) {
        memset(o->bucket[i].m, 0, o->bucket[i].mine_n * sizeof(float));
        memset(o->bucket[i].v, 0, o->bucket[i].mine_n * sizeof(float));
    }
}

/* --- publishing --- */

/* Element i of the bucket's run in a flat array of the local chunk (its weights or its reference). */
static unsigned char *real_at(const struct optimizer *o, const struct bucket *b, void *flat,
                              size_t i)
{
    return (unsigned char *)flat + (b->at + i) * o->actor->ops->real_bytes;
}

static void gather(struct optimizer *o, struct bucket *b, void *flat)
{
    coll_all_gather(real_at(o, b, flat, 0), b->count, b->offset, o->actor->ops->real_bytes,
                    replica_of(o, b));
}

static void gather_and_repack(struct optimizer *o)
{
    for (int i = 0; i < o->n_buckets; i++) gather(o, &o->bucket[i], o->bucket[i].local->weights);
    for (int k = 0; k < o->actor->n_local; k++) chunk_repack(o->actor->local[k].model);
}

void optimizer_publish(struct optimizer *o)
{
    for (int i = 0; i < o->n_buckets; i++) {
        struct bucket *b = &o->bucket[i];
        o->actor->ops->to_real(real_at(o, b, b->local->weights, b->mine), b->master, b->mine_n);
    }
    gather_and_repack(o);
}

void optimizer_snapshot(struct optimizer *o)
{
    for (int i = 0; i < o->n_buckets; i++)
        memcpy(o->bucket[i].reference, o->bucket[i].master, o->bucket[i].mine_n * sizeof(float));
    for (int k = 0; k < o->actor->n_local; k++) {
        struct local *l = &o->actor->local[k];
        memcpy(l->reference, l->weights, l->params.total * o->actor->ops->real_bytes);
    }
}

void optimizer_publish_reference(struct optimizer *o)
{
    for (int i = 0; i < o->n_buckets; i++) {
        struct bucket *b = &o->bucket[i];
        void *flat = b->local->reference;
        o->actor->ops->to_real(real_at(o, b, flat, b->mine), b->reference, b->mine_n);
        gather(o, b, flat);
    }
}

/* --- reducing --- */

static void add_into(float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) a[i] += b[i];
}

/* embedding's gradient + head's gradient, in that order on both sides. */
static void tie_sum(float *mine, const float *other, size_t n, bool mine_is_head)
{
    for (size_t i = 0; i < n; i++) mine[i] = mine_is_head ? other[i] + mine[i] : mine[i] + other[i];
}

static void tie_exchange(struct optimizer *o, struct bucket *b)
{
    const struct mesh *m = o->actor->mesh;
    int peer = m->p == 0 ? m->pp - 1 : 0, n = (int)b->mine_n;
    MPI_Request r[2];
    MPI_OK(MPI_Irecv(o->remote, n, MPI_FLOAT, peer, 0, m->pipe, &r[0]));
    MPI_OK(MPI_Isend(b->grad, n, MPI_FLOAT, peer, 0, m->pipe, &r[1]));
    world_wait(r, 2);
    tie_sum(b->grad, o->remote, b->mine_n, b->tied_copy);
}

static void ties_reduce(struct optimizer *o)
{
    for (int i = 0; i < o->n_buckets; i++) {
        struct bucket *b = &o->bucket[i];
        if (b->tie == TIE_REMOTE) tie_exchange(o, b);
        if (b->tie < 0 || b->tied_copy) continue;
        struct bucket *head = &o->bucket[b->tie];
        add_into(b->grad, head->grad, b->mine_n);
        memcpy(head->grad, b->grad, b->mine_n * sizeof(float));
    }
}

static void part_take(float *part, float *grad, size_t n)
{
    memcpy(part, grad, n * sizeof *part);
}

static void part_give(float *part, float *grad, size_t n)
{
    memcpy(grad, part, n * sizeof *part);
}

/* Gains of all heads, of which every rank of tp has seen some: in one message, and before anything else is added, so that
 * every schedule forms the same sums. */
static void parts_reduce(struct optimizer *o)
{
    const struct mesh *m = o->actor->mesh;
    if (m->tp == 1) return;
    each_part(o, part_take);
    coll_all_reduce(o->parts, parts_count(o), 1, o->parts_scratch, m->tensor);
    each_part(o, part_give);
}

void optimizer_reduce(struct optimizer *o)
{
    parts_reduce(o);
    for (int k = 0; k < o->actor->n_local; k++) {
        struct local *l = &o->actor->local[k];
        if (l->grad[1]) add_into(l->grad[0], l->grad[1], l->params.total);
    }
    for (int i = 0; i < o->n_buckets; i++) {
        struct bucket *b = &o->bucket[i];
        coll_reduce_scatter(b->grad, b->local->grad[0] + b->at, b->count, b->offset, o->inner,
                            o->scratch, replica_of(o, b));
    }
    ties_reduce(o);
}

/* Squares are summed in units of 2^-84: an exact sum keeps 64 binary places, and gradients are small. */
static const double SQUARE_UNIT = 1048576; /* 2^20 */

/* What several ranks of tp hold alike is counted, and saved, by the first of them. */
static bool is_first_holder(const struct optimizer *o, const struct param *p)
{
    bool alike = p->cut == CUT_NONE || p->cut == CUT_NONE_PART || p->cut == CUT_EXPERTS;
    return !alike || o->actor->mesh->t == 0;
}

struct norm {
    const struct optimizer *o;
    struct exact_sum sum;
};

static void piece_norm(void *ctx, struct bucket *b, struct piece s)
{
    struct norm *n = ctx;
    if (!is_first_holder(n->o, s.param)) return;
    for (size_t i = s.at; i < s.at + (s.hi - s.lo); i++)
        exact_add(&n->sum, (double)b->grad[i] * (double)b->grad[i] * SQUARE_UNIT);
}

double optimizer_norm(struct optimizer *o, MPI_Comm world)
{
    struct norm n = {.o = o};
    for (int i = 0; i < o->n_buckets; i++)
        if (!o->bucket[i].tied_copy) bucket_pieces(&o->bucket[i], piece_norm, &n);
    coll_exact_sum(&n.sum, 1, world);
    return sqrt(exact_value(&n.sum) / SQUARE_UNIT);
}

/* --- updating --- */

struct update {
    const struct optimizer *o;
    struct adamw h;
};

static void piece_update(void *ctx, struct bucket *b, struct piece s)
{
    const struct update *u = ctx;
    struct adamw h = u->h;
    if (s.param->role == ROLE_NORM || s.param->role == ROLE_BIAS) h.weight_decay = 0;
    u->o->actor->ops->adamw_step(real_at(u->o, b, b->local->weights, b->mine + s.at),
                                 b->master + s.at, b->m + s.at, b->v + s.at, b->grad + s.at,
                                 s.hi - s.lo, &h);
}

void optimizer_step(struct optimizer *o, struct adamw h)
{
    o->updates++;
    h.correction1 = (float)(1 - pow((double)h.beta1, (double)o->updates));
    h.correction2 = (float)(1 - pow((double)h.beta2, (double)o->updates));
    struct update u = {o, h};
    for (int i = 0; i < o->n_buckets; i++) bucket_pieces(&o->bucket[i], piece_update, &u);
    gather_and_repack(o);
}

/* --- checkpoint slices --- */

struct slicing {
    const struct optimizer *o;
    struct slice *out;
    int n, what;
};

/* A slice for each stretch of the whole tensor that the piece covers. */
static void slice_add(struct slicing *c, const char *prefix, struct piece s, float *data)
{
    const char *tensor = s.param->tied_copy ? "embed" : s.param->name;
    struct stretch at[PARAM_STRETCHES];
    int n = param_stretches(s.param, s.lo, s.hi, at);
    data += s.at;
    for (int i = 0; i < n; i++, c->n++) {
        size_t count = stretch_count(&at[i]);
        if (!c->out) continue;
        struct slice *t = &c->out[c->n];
        *t = (struct slice){.n = s.param->whole, .at = at[i], .data = data};
        snprintf(t->name, sizeof t->name, "%s/%s", prefix, tensor);
        data += count;
    }
}

static void piece_slices(void *ctx, struct bucket *b, struct piece s)
{
    const struct slicing *c = ctx;
    if (c->what == SLICES_SAVE && !is_first_holder(c->o, s.param)) return;
    slice_add(ctx, "model", s, b->master);
    if (c->what == SLICES_READ_MODEL) return;
    slice_add(ctx, "adam_m", s, b->m);
    slice_add(ctx, "adam_v", s, b->v);
    if (b->reference) slice_add(ctx, "ref", s, b->reference);
}

int optimizer_slices(struct optimizer *o, struct slice *out, int what)
{
    struct slicing c = {o, out, 0, what};
    for (int i = 0; i < o->n_buckets; i++)
        if (what != SLICES_SAVE || !o->bucket[i].tied_copy)
            bucket_pieces(&o->bucket[i], piece_slices, &c);
    return c.n;
}
