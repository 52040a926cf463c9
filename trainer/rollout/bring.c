/* The pipelines stand in a ring, and an answer goes on by the bits of its distance: 1 pipeline, 2,
 * 4, ... (as in Bruck et al., IEEE TPDS 8(11), 1997). So a rank has messages with twice the
 * logarithm of the number of pipelines, whoever sampled what, and hands on no more than that half
 * of its share.
 *
 * Every rank knows where each answer is, how long it is and where it is wanted, hence all find the
 * same rounds without a word: as many answers, in order, as pass no rank more than BRING_WINDOW
 * times. A round has a hop for each bit, in which a rank sends to one other and gets from one;
 * before them answers sampled at the other end of a pipeline (a mirror's second direction) come to
 * its first rank. All go through the same hops in the same order, so nobody waits in a circle. */
#include "trainer/rollout/bring.h"
#include <string.h>

struct bring {
    int *load;                /* (dp) answers of the round that pass a pipeline */
    int parcel[BRING_WINDOW]; /* that rest here in the round */
    int n;
    int *token; /* (BRING_WINDOW, max_new) */
    float *logp;
    ticket open[BRING_OPEN];
    int n_open;
    struct answer fetched; /* rollout_fetch */
};

static int steps_of(const struct mesh *m)
{
    int n = 0;
    while (1L << n < m->dp) n++;
    return n;
}

/* Answers rest on the first ranks of pipelines. */
static bool hands_on(const struct mesh *m)
{
    return m->p == 0 && m->t == 0;
}

static int rank_of(const struct mesh *m, int pipeline)
{
    return mesh_rank_at(m, (struct mesh_at){.d = (pipeline + m->dp) % m->dp});
}

int bring_peers(const struct stage *s, int out[BRING_PEERS])
{
    const struct mesh *m = s->mesh;
    int n = 0;
    if (!hands_on(m)) return 0;
    for (int k = 0; k < steps_of(m); k++) {
        out[n++] = rank_of(m, m->d + (1 << k));
        out[n++] = rank_of(m, m->d - (1 << k));
    }
    return n;
}

void bring_place(struct rollout *r, struct arena *a)
{
    const struct mesh *m = r->stage->mesh;
    size_t len = (size_t)r->room.max_new, rest = hands_on(m) ? BRING_WINDOW * len : 0;
    size_t whole = r->world->rank == 0 ? len : 0;
    struct bring b = {.load = arena_take_n(a, (size_t)m->dp, sizeof(int)),
                      .token = arena_take_n(a, rest, sizeof(int)),
                      .logp = arena_take_n(a, rest, sizeof(float)),
                      .fetched = {.token = arena_take_n(a, whole, sizeof(int)),
                                  .logp = arena_take_n(a, whole, sizeof(float))}};
    r->bring = arena_take(a, sizeof b);
    if (r->bring) *r->bring = b;
}

/* --- the way of one answer --- */

struct way {
    struct parcel parcel;
    const struct answer *answer;
    int from, distance; /* pipelines */
};

static struct way way_of(const struct rollout *r, const struct parcels *p, int i)
{
    const struct mesh *m = r->stage->mesh;
    struct way w = {.parcel = p->at(p->context, i)};
    w.answer = &r->answer[w.parcel.answer];
    w.from = mesh_coords(m, w.answer->rank).d;
    w.distance = (w.parcel.to - w.from + m->dp) % m->dp;
    return w;
}

/* The pipeline that it is in when the bits below `step` are done with. */
static int pipeline_at(const struct mesh *m, const struct way *w, int step)
{
    return (w->from + (w->distance & ((1 << step) - 1))) % m->dp;
}

/* Adds it to the load of the pipelines that it passes, unless one of them has no room. */
static bool passes(const struct rollout *r, const struct way *w)
{
    const struct mesh *m = r->stage->mesh;
    int *load = r->bring->load, steps = steps_of(m);
    for (int add = 0; add < 2; add++)
        for (int k = 0; k <= steps; k++) {
            int here = pipeline_at(m, w, k);
            if (k > 0 && here == pipeline_at(m, w, k - 1)) continue;
            if (load[here] == BRING_WINDOW && !add) return false;
            load[here] += add;
        }
    return true;
}

static int round_end(const struct rollout *r, const struct parcels *p, int from)
{
    memset(r->bring->load, 0, (size_t)r->stage->mesh->dp * sizeof(int));
    for (int i = from; i < p->n; i++) {
        struct way w = way_of(r, p, i);
        if (!passes(r, &w)) return i;
    }
    return p->n;
}

/* --- hops --- */

struct tokens {
    int *token;
    float *logp;
};

/* Where parcel i is on this rank: as it was sampled, or on its way. */
static struct tokens tokens_here(const struct rollout *r, const struct way *w, int i)
{
    const struct bring *b = r->bring;
    if (w->answer->token) return (struct tokens){w->answer->token, w->answer->logp};
    int k = 0;
    while (k < b->n && b->parcel[k] != i) k++;
    INVARIANT(k < b->n, "answer %d is not here", w->parcel.answer);
    size_t at = (size_t)k * (size_t)r->room.max_new;
    return (struct tokens){b->token + at, b->logp + at};
}

static void send(struct rollout *r, const struct way *w, int i, int to)
{
    struct bring *b = r->bring;
    struct tokens t = tokens_here(r, w, i);
    size_t n = (size_t)w->answer->n;
    b->open[b->n_open++] = p2p_send(r->p2p, to, TAG_TOKENS, t.token, n * sizeof *t.token);
    b->open[b->n_open++] = p2p_send(r->p2p, to, TAG_LOGP, t.logp, n * sizeof *t.logp);
}

/* To where it is wanted, or to rest. */
static void receive(struct rollout *r, const struct way *w, int i, int from)
{
    struct bring *b = r->bring;
    struct tokens t = {w->parcel.token, w->parcel.logp};
    size_t n = (size_t)w->answer->n;
    if (w->parcel.to != r->stage->mesh->d) {
        b->parcel[b->n++] = i;
        t = tokens_here(r, w, i);
    }
    b->open[b->n_open++] = p2p_recv(r->p2p, from, TAG_TOKENS, t.token, n * sizeof *t.token);
    b->open[b->n_open++] = p2p_recv(r->p2p, from, TAG_LOGP, t.logp, n * sizeof *t.logp);
}

static void move(struct rollout *r, const struct way *w, int i, int from, int to)
{
    if (from == to) return;
    if (r->world->rank == from) send(r, w, i, to);
    if (r->world->rank == to) receive(r, w, i, from);
}

static void hop_end(struct bring *b, struct p2p *p)
{
    for (int i = 0; i < b->n_open; i++) p2p_wait(p, b->open[i]);
    b->n_open = 0;
}

/* What was sampled where it is wanted. */
static void keep_own(const struct rollout *r, const struct way *w)
{
    size_t n = (size_t)w->answer->n;
    bool stays = w->distance == 0 && w->answer->token && hands_on(r->stage->mesh);
    if (!stays) return;
    memcpy(w->parcel.token, w->answer->token, n * sizeof *w->parcel.token);
    memcpy(w->parcel.logp, w->answer->logp, n * sizeof *w->parcel.logp);
}

/* First from the rank that sampled an answer to the pipeline that learns from it, then from stage
 * to stage of that. All ranks go the same steps, so nobody waits for one that is not there. */
static void go_round(struct rollout *r, const struct parcels *p, int from, int to)
{
    const struct mesh *m = r->stage->mesh;
    r->bring->n = 0;
    for (int i = from; i < to; i++) {
        struct way w = way_of(r, p, i);
        keep_own(r, &w);
        move(r, &w, i, w.answer->rank, rank_of(m, w.from));
    }
    hop_end(r->bring, r->p2p);
    for (int k = 0; k < steps_of(m); k++) {
        for (int i = from; i < to; i++) {
            struct way w = way_of(r, p, i);
            move(r, &w, i, rank_of(m, pipeline_at(m, &w, k)),
                 rank_of(m, pipeline_at(m, &w, k + 1)));
        }
        hop_end(r->bring, r->p2p);
    }
}

void rollout_bring(struct rollout *r, const struct parcels *p)
{
    if (!hands_on(r->stage->mesh) && r->most_held == 0) return;
    die_place("answers on their way to the pipelines that want them");
    for (int from = 0, to; from < p->n; from = to) {
        watchdog_feed();
        to = round_end(r, p, from);
        go_round(r, p, from, to);
    }
    die_place(NULL);
}

/* --- one to rank 0 --- */

static struct parcel the_only(void *context, int i)
{
    (void)i;
    return *(const struct parcel *)context;
}

const struct answer *rollout_fetch(struct rollout *r, int i)
{
    struct answer *a = &r->bring->fetched;
    struct parcel p = {i, 0, a->token, a->logp};
    rollout_bring(r, &(struct parcels){1, the_only, &p});
    a->n = r->answer[i].n;
    a->truncated = r->answer[i].truncated;
    a->observed = r->answer[i].observed;
    a->turns = r->answer[i].turns;
    return r->world->rank == 0 ? a : NULL;
}
