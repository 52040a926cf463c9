#include "trainer/learn/optimizer.h"

#include <math.h>
#include <string.h>
#include "comm/base/exact.h"
#include "comm/base/log.h"
#include "comm/coll.h"

/* --- laying out --- */

static bool keeps_training(const struct optimizer *o)
{
    return o->stage->keep == KEEP_TRAINING;
}

/* The only replica sums in place: what the passes have added up is its slice. */
static void place_gradient(struct bucket *b, int members, struct arena *a)
{
    float *sum = b->local->grad[0];
    if (members > 1)
        b->grad = arena_take_n(a, b->mine_n, sizeof(float));
    else if (sum) /* the stage is not a measured one */
        b->grad = sum + b->at + b->mine;
}

/* ZeRO-1: a rank has master weights and moments of its slice only. */
static void place_state(struct optimizer *o, struct bucket *b)
{
    const struct reduce_form *f = grad_reduce_form_of(&o->grad_reduce, b);
    struct arena *a = &o->arena, *host = arena_host(a);
    b->count = arena_take_n(host, (size_t)f->members, sizeof(size_t));
    b->offset = arena_take_n(host, (size_t)f->members, sizeof(size_t));
    bucket_cut(b, f->members, f->me);
    if (o->stage->keep == KEEP_WEIGHTS) return;
    arena_kind(a, ARENA_GRADIENTS);
    if (keeps_training(o)) place_gradient(b, f->members, a);
    if (bucket_shares(b)) {
        arena_kind(a, ARENA_BUFFERS);
        return;
    }
    arena_kind(a, ARENA_OPTIMIZER);
    float **const state[] = {&b->policy, &b->m, &b->v};
    for (int k = 0; k < (keeps_training(o) ? 3 : 1); k++)
        *state[k] = arena_take_n(a, b->mine_n, sizeof(float));
    b->master = b->policy;
    if (o->stage->with_reference) b->reference = arena_take_n(a, b->mine_n, sizeof(float));
    if (o->stage->with_reward) b->reward = arena_take_n(a, b->mine_n, sizeof(float));
    arena_kind(a, ARENA_BUFFERS);
}

/* A tie's copy has what its other has. */
static void share_state(struct optimizer *o)
{
    for (int i = 0; i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        if (!bucket_shares(b)) continue;
        const struct bucket *of = &o->buckets.b[b->tie];
        INVARIANT(b->mine_n == of->mine_n, "%zu numbers tied to %zu", b->mine_n, of->mine_n);
        b->master = b->policy = of->policy;
        b->reward = of->reward;
        b->m = of->m;
        b->v = of->v;
        b->reference = of->reference;
    }
}

/* One array for all buckets, since a checkpoint takes it as one. */
static void place_residuals(struct optimizer *o)
{
    size_t at = 0;
    o->residuals = 0;
    for (int i = 0; i < o->buckets.n; i++) {
        const struct bucket *b = &o->buckets.b[i];
        o->residuals += reduce_residual(grad_reduce_form_of(&o->grad_reduce, b), b->n);
    }
    arena_kind(&o->arena, ARENA_OPTIMIZER);
    o->residual = arena_take_n(&o->arena, o->residuals, sizeof(float));
    arena_kind(&o->arena, ARENA_BUFFERS);
    for (int i = 0; o->residual && i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        size_t n = reduce_residual(grad_reduce_form_of(&o->grad_reduce, b), b->n);
        if (n > 0) b->residual = o->residual + at;
        at += n;
    }
}

/* Numbers that are read at a time: enough that a file is not read more slowly for it. */
enum { PIECE = 8 << 20 };

/* Read by the host, rounded by the device. */
static void place_piece(struct optimizer *o)
{
    struct arena *a = &o->arena, *host = arena_host(a);
    o->piece_n = 0;
    for (int i = 0; i < o->buckets.n; i++)
        if (o->buckets.b[i].mine_n > o->piece_n) o->piece_n = o->buckets.b[i].mine_n;
    if (o->piece_n > PIECE) o->piece_n = PIECE;
    o->piece = o->there = arena_take_n(host, o->piece_n, sizeof *o->piece);
    if (host != a) o->there = arena_take_n(a, o->piece_n, sizeof *o->there);
}

/* Laid out twice, for measuring and for placing. */
static void optimizer_place(struct optimizer *o)
{
    size_t tied = 0;
    for (int i = 0; i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        place_state(o, b);
        if (b->tie == TIE_REMOTE && b->mine_n > tied) tied = b->mine_n;
    }
    share_state(o);
    if (o->stage->keep == KEEP_WEIGHTS) place_piece(o);
    if (!keeps_training(o)) return;
    place_residuals(o);
    o->remote = arena_take_n(&o->arena, tied, sizeof(float));
    o->squares = arena_take(&o->arena, sizeof *o->squares);
    grad_reduce_place(&o->grad_reduce, &o->arena);
}

static void optimizer_cut(struct optimizer *o, struct stage *s, int members, int me)
{
    *o = (struct optimizer){.stage = s};
    arena_beside(&o->arena, s->device, &o->host);
    buckets_make(&o->buckets, s);
    grad_reduce_form(&o->grad_reduce, &o->buckets, s, members, me);
}

void optimizer_measure(struct optimizer *o, struct stage *s, int members, int me,
                       int *const node[REGIONS])
{
    optimizer_cut(o, s, members, me);
    grad_reduce_nodes_are(&o->grad_reduce, node);
    optimizer_place(o);
}

/* The reduction's groups, and who is on which host, are asked of MPI; the planner says it. */
void optimizer_new(struct optimizer *o, struct stage *s)
{
    int members, me;
    MPI_OK(MPI_Comm_size(s->mesh->replica, &members));
    MPI_OK(MPI_Comm_rank(s->mesh->replica, &me));
    optimizer_cut(o, s, members, me);
    grad_reduce_nodes(&o->grad_reduce);
    optimizer_place(o);
    arena_back(&o->arena, s->device, o->arena.used);
    optimizer_place(o);
    grad_reduce_open(&o->grad_reduce);
}

void optimizer_free(struct optimizer *o)
{
    grad_reduce_free(&o->grad_reduce);
    buckets_free(&o->buckets);
    arena_free(&o->arena);
}

enum { INIT_BLOCK = 8192 };
struct init {
    const struct optimizer *o;
    uint64_t seed;
    size_t done, all; /* weights */
    double said;
};

/* Minutes for billions of weights. */
static void tell_init(struct init *in, size_t n)
{
    in->done += n;
    if (watchdog_long(&in->said))
        log_info("weights: %.2f of %.2f billion drawn", 1e-9 * (double)in->done,
                 1e-9 * (double)in->all);
}

/* Initial values are made on the host, block by block. */
static void piece_init(void *ctx, struct bucket *b, struct piece s)
{
    struct init *in = ctx;
    const struct stage *st = in->o->stage;
    float block[INIT_BLOCK];
    for (size_t from = s.lo, n; from < s.hi; from += n) {
        n = s.hi - from < INIT_BLOCK ? s.hi - from : INIT_BLOCK;
        param_init_run(block, &st->dims, s.param, from, n, in->seed);
        tell_init(in, n);
        st->device->copy_in(b->master + s.at + (from - s.lo), block, n * sizeof *block);
    }
}

void optimizer_init(struct optimizer *o, uint64_t seed)
{
    struct init in = {.o = o, .seed = seed, .said = clock_now()};
    for (int i = 0; i < o->buckets.n; i++) in.all += o->buckets.b[i].mine_n;
    for (int i = 0; i < o->buckets.n; i++) bucket_pieces(&o->buckets.b[i], piece_init, &in);
    optimizer_reset(o);
    optimizer_publish(o);
}

void optimizer_skip(struct optimizer *o)
{
    device_fill(o->stage->device, o->residual, 0, o->residuals * sizeof(float));
}

void optimizer_reset(struct optimizer *o)
{
    o->updates = 0;
    optimizer_skip(o);
    for (int i = 0; i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        device_fill(o->stage->device, b->m, 0, b->mine_n * sizeof(float));
        device_fill(o->stage->device, b->v, 0, b->mine_n * sizeof(float));
    }
}

/* --- publishing --- */

/* Element i of the bucket's run in a flat array of the local chunk (its weights or its reference).
 */
static unsigned char *real_at(const struct optimizer *o, const struct bucket *b, void *flat,
                              size_t i)
{
    return (unsigned char *)flat + (b->at + i) * o->stage->ops->real_bytes;
}

static void gather_weights(struct optimizer *o, int i)
{
    struct bucket *b = &o->buckets.b[i];
    grad_reduce_gather(&o->grad_reduce, i, real_at(o, b, b->local->weights, 0),
                       o->stage->ops->real_bytes);
}

static void gathered_and_repack(struct optimizer *o)
{
    grad_reduce_gather_end(&o->grad_reduce);
    for (int k = 0; k < o->stage->n_local; k++) chunk_repack(o->stage->local[k].model);
}

void optimizer_publish(struct optimizer *o)
{
    for (int i = 0; i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        o->stage->ops->to_real(real_at(o, b, b->local->weights, b->mine), b->master, b->mine_n);
        gather_weights(o, i);
    }
    gathered_and_repack(o);
}

void optimizer_snapshot(struct optimizer *o)
{
    const struct device *d = o->stage->device;
    for (int i = 0; i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        device_copy(d, b->reference, b->master, b->mine_n * sizeof(float));
    }
    for (int k = 0; k < o->stage->n_local; k++) {
        struct local *l = &o->stage->local[k];
        device_copy(d, l->reference, l->weights, l->params.total * o->stage->ops->real_bytes);
    }
}

/* A set of weights beside those that are computed with, from its masters. */
static void publish_set(struct optimizer *o, bool reward)
{
    for (int i = 0; i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        void *flat = reward ? b->local->reward : b->local->reference;
        o->stage->ops->to_real(real_at(o, b, flat, b->mine), reward ? b->reward : b->reference,
                               b->mine_n);
        grad_reduce_gather(&o->grad_reduce, i, real_at(o, b, flat, 0), o->stage->ops->real_bytes);
    }
    grad_reduce_gather_end(&o->grad_reduce);
}

void optimizer_publish_reference(struct optimizer *o)
{
    publish_set(o, false);
}

void optimizer_publish_reward(struct optimizer *o)
{
    publish_set(o, true);
}

/* Also after a failure every bucket is gathered: the others of the group wait for it. */
bool optimizer_fill(struct optimizer *o, struct weights_source from)
{
    bool ok = true;
    for (int i = 0; i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        for (size_t lo = 0; ok && lo < b->mine_n; lo += o->piece_n) {
            size_t n = b->mine_n - lo < o->piece_n ? b->mine_n - lo : o->piece_n;
            ok = optimizer_read_piece(o, b, lo, lo + n, &from);
            if (o->there != o->piece)
                o->stage->device->copy_in(o->there, o->piece, n * sizeof *o->piece);
            o->stage->ops->to_real(real_at(o, b, b->local->weights, b->mine + lo), o->there, n);
        }
        gather_weights(o, i);
    }
    gathered_and_repack(o);
    return ok;
}

/* --- sums of gradients --- */

/* embedding's gradient + head's gradient, in that order on both sides. */
static void tie_sum(const struct optimizer *o, struct bucket *b, const float *other)
{
    const float *first = b->tied_copy ? other : b->grad, *second = b->tied_copy ? b->grad : other;
    transport_add(o->stage->transport, b->grad, first, second, b->mine_n);
}

static void tie_exchange(struct optimizer *o, struct bucket *b)
{
    const struct mesh *m = o->stage->mesh;
    struct p2p *p2p = o->stage->p2p;
    int peer = m->p == 0 ? m->pp - 1 : 0;
    size_t bytes = b->mine_n * sizeof *b->grad;
    ticket received = p2p_recv(p2p, peer, ENGINE_TAGS, o->remote, bytes);
    ticket sent = p2p_send(p2p, peer, ENGINE_TAGS, b->grad, bytes);
    p2p_wait(p2p, received);
    p2p_wait(p2p, sent);
    tie_sum(o, b, o->remote);
}

static void ties_reduce(struct optimizer *o)
{
    for (int i = 0; i < o->buckets.n; i++) {
        struct bucket *b = &o->buckets.b[i];
        if (b->tie == TIE_REMOTE) tie_exchange(o, b);
        if (b->tie < 0 || b->tied_copy) continue;
        tie_sum(o, b, o->buckets.b[b->tie].grad);
    }
}

void optimizer_begin(struct optimizer *o)
{
    if (o->stage->settings->reduction.overlap) grad_reduce_begin(&o->grad_reduce);
}

void optimizer_reduce(struct optimizer *o)
{
    grad_reduce_finish(&o->grad_reduce);
    ties_reduce(o);
}

double optimizer_waited(struct optimizer *o)
{
    return grad_reduce_waited(&o->grad_reduce);
}

static void piece_norm(void *ctx, struct bucket *b, struct piece s)
{
    const struct optimizer *o = ctx;
    if (bucket_counts(o->stage, s.param))
        o->stage->ops->square_sum(o->squares, b->grad + s.at, s.hi - s.lo);
}

double optimizer_norm(struct optimizer *o, MPI_Comm world)
{
    const struct device *d = o->stage->device;
    struct exact_sum sum;
    device_fill(d, o->squares, 0, sizeof *o->squares);
    for (int i = 0; i < o->buckets.n; i++)
        if (!o->buckets.b[i].tied_copy) bucket_pieces(&o->buckets.b[i], piece_norm, o);
    d->copy_out(&sum, o->squares, sizeof sum);
    coll_exact_sum(&sum, 1, world);
    return sqrt(ldexp(exact_value(&sum), -SQUARE_BITS));
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
    const enum param_role role = s.param->role;
    if (role == ROLE_NORM || role == ROLE_BIAS || role == ROLE_SCORE) h.weight_decay = 0;
    u->o->stage->ops->adamw_step(real_at(u->o, b, b->local->weights, b->mine + s.at),
                                 b->master + s.at, b->m + s.at, b->v + s.at, b->grad + s.at,
                                 s.hi - s.lo, &h);
}

/* A tie on this rank: the copy that has the state, then the other's weights, when the first of the
 * two has its turn. Gathers go in order. */
static void bucket_update(struct update *u, int i)
{
    const struct optimizer *o = u->o;
    struct bucket *b = &o->buckets.b[i];
    if (b->tie < 0) bucket_pieces(b, piece_update, u);
    if (b->tie < i) return;
    struct bucket *other = &o->buckets.b[b->tie];
    struct bucket *own = bucket_shares(b) ? other : b, *copy = bucket_shares(b) ? b : other;
    bucket_pieces(own, piece_update, u);
    device_copy(o->stage->device, real_at(o, copy, copy->local->weights, copy->mine),
                real_at(o, own, own->local->weights, own->mine),
                own->mine_n * o->stage->ops->real_bytes);
}

/* Bias correction in double: beta^updates loses its digits in float. */
void optimizer_step(struct optimizer *o, struct adamw h)
{
    o->updates++;
    h.correction1 = (float)(1 - pow((double)h.beta1, (double)o->updates));
    h.correction2 = (float)(1 - pow((double)h.beta2, (double)o->updates));
    struct update u = {o, h};
    for (int i = 0; i < o->buckets.n; i++) {
        bucket_update(&u, i);
        gather_weights(o, i); /* on its way while the next is updated */
    }
    gathered_and_repack(o);
}

/* --- layout --- */

/* FNV-1a, 64 bits */
static uint64_t hash_add(uint64_t h, uint64_t x)
{
    for (int k = 0; k < 8; k++) h = (h ^ (x >> 8 * k & 255)) * 0x100000001b3u;
    return h;
}

/* How this rank's messages are cut and where they go. */
static uint64_t layout_of(const struct optimizer *o)
{
    uint64_t h = 0xcbf29ce484222325u;
    const struct mesh *m = o->stage->mesh;
    const int mesh[] = {m->dp, m->pp, m->tp, m->ep, m->d, m->p, m->t, (int)o->stage->place};
    for (size_t i = 0; i < sizeof mesh / sizeof *mesh; i++) h = hash_add(h, (uint64_t)mesh[i]);
    for (int i = 0; i < o->buckets.n; i++) {
        const struct bucket *b = &o->buckets.b[i];
        const struct reduce_form *f = grad_reduce_form_of(&o->grad_reduce, b);
        const char *why;
        h = hash_add(hash_add(hash_add(h, b->at), b->n), (uint64_t)b->local->chunk);
        h = hash_add(hash_add(h, (uint64_t)f->wire), (uint64_t)reduce_choose(f, b->n, &why));
        for (int k = 0; k < f->members; k++) h = hash_add(h, (uint64_t)f->node[k]);
    }
    return h;
}

uint64_t optimizer_layout(const struct optimizer *o, MPI_Comm world)
{
    uint64_t mine[2] = {o->residuals > 0, o->residuals > 0 ? layout_of(o) : 0}, all[2];
    if (o->stage->settings->reduction.wire == CODEC_FP32) return 0; /* on every rank */
    MPI_OK(MPI_Allreduce(mine, all, 2, MPI_UINT64_T, MPI_SUM, world));
    return all[0] == 0 ? 0 : all[1] | 1;
}
