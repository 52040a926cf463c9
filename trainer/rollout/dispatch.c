/* Handing out questions: rank 0 counts; every first stage asks it for the next number, always
 * one ahead of its need. Which pipeline answers what depends on who is free; the answers do not
 * (P3). */
#include "trainer/rollout/dispatch.h"

struct asker { /* a first stage on another rank, seen from rank 0 */
    int rank, dir;
    int request, reply; /* request: does it stop? */
    ticket in, out;
    bool ended;
};
struct stock { /* this rank's lane: the number held ready */
    int request, reply;
    int ready; /* question, DISPATCH_NONE, or DISPATCH_WAIT */
    ticket asked, answer;
};
struct dispatch {
    int next; /* rank 0 */
    struct asker *asker;
    int askers;
    struct stock stock[2];
    int *which; /* of the tickets offered last: asker number, or -1 - direction */
};

static int first_rank(const struct rollout *r, int d, int dir)
{
    const struct actor *a = r->actor;
    return mesh_rank(a->mesh, d, plan_rank(a->place, a->mesh->pp, 0, dir));
}

int dispatch_most_tickets(const struct rollout *r)
{
    return 2 * r->actor->mesh->dp + 2;
}

void dispatch_place(struct dispatch **out, const struct rollout *r, struct arena *a)
{
    struct dispatch *d = arena_take(a, sizeof *d);
    size_t most = (size_t)dispatch_most_tickets(r);
    struct asker *asker = arena_take_n(a, most, sizeof *asker);
    int *which = arena_take_n(a, most, sizeof *which);
    if (!d) return;
    *out = d;
    d->asker = asker;
    d->which = which;
    for (int i = 0; i < r->actor->mesh->dp; i++)
        for (int dir = 0; dir < r->actor->directions; dir++) {
            int rank = first_rank(r, i, dir);
            if (rank == 0) continue;
            d->asker[d->askers++] = (struct asker){.rank = rank, .dir = dir};
        }
}

static int count_up(struct rollout *r)
{
    struct dispatch *d = r->dispatch;
    return d->next < r->job->questions && !rollout_stops(r) ? d->next++ : DISPATCH_NONE;
}

static void listen_to(struct rollout *r, struct asker *k)
{
    k->in = p2p_recv(r->p2p, k->rank, TAG_ASK + k->dir, &k->request, sizeof k->request);
}

static void ask(struct rollout *r, struct stock *s, int dir)
{
    s->ready = DISPATCH_WAIT;
    s->answer = p2p_recv(r->p2p, 0, TAG_GIVE + dir, &s->reply, sizeof s->reply);
    p2p_wait(r->p2p, s->asked);
    s->request = r->stopping;
    s->asked = p2p_send(r->p2p, 0, TAG_ASK + dir, &s->request, sizeof s->request);
}

/* In rounds first stages are numbered through all pipelines, and question q is number (q mod
 * their count)'s. */
static int first_stages(const struct rollout *r)
{
    return r->actor->mesh->dp * r->actor->directions;
}

static void start_dealing(struct rollout *r)
{
    const struct actor *a = r->actor;
    struct dispatch *d = r->dispatch;
    for (int dir = 0; dir < 2; dir++)
        d->stock[dir] = (struct stock){
            .ready = a->mesh->d * a->directions + dir, .asked = TICKET_NONE, .answer = TICKET_NONE};
}

void dispatch_start(struct rollout *r)
{
    struct dispatch *d = r->dispatch;
    if (r->actor->mesh->ep > 1) {
        start_dealing(r);
        return;
    }
    d->next = 0;
    for (int i = 0; r->world->rank == 0 && i < d->askers; i++) {
        d->asker[i].ended = false;
        d->asker[i].out = TICKET_NONE;
        listen_to(r, &d->asker[i]);
    }
    d->stock[0].asked = d->stock[0].answer = d->stock[1].asked = d->stock[1].answer = TICKET_NONE;
    for (int i = 0; i < r->lanes; i++) {
        struct stock *s = &d->stock[r->lane[i].dir];
        if (r->lane[i].first && r->world->rank != 0) ask(r, s, r->lane[i].dir);
    }
}

bool dispatch_left(const struct rollout *r, const struct lane *l)
{
    return !r->stopping && r->dispatch->stock[l->dir].ready < r->job->questions;
}

static int deal(struct rollout *r, const struct lane *l)
{
    if (!dispatch_left(r, l)) return DISPATCH_NONE;
    struct stock *s = &r->dispatch->stock[l->dir];
    int q = s->ready;
    s->ready += first_stages(r);
    return q;
}

int dispatch_take(struct rollout *r, struct lane *l)
{
    if (r->actor->mesh->ep > 1) return deal(r, l);
    if (r->world->rank == 0) return count_up(r);
    struct stock *s = &r->dispatch->stock[l->dir];
    int q = s->ready;
    if (q >= 0) ask(r, s, l->dir);
    return q;
}

int dispatch_tickets(struct rollout *r, ticket *t)
{
    struct dispatch *d = r->dispatch;
    int n = 0;
    for (int i = 0; r->world->rank == 0 && i < d->askers; i++)
        if (!d->asker[i].ended) {
            d->which[n] = i;
            t[n++] = d->asker[i].in;
        }
    for (int i = 0; i < r->lanes; i++) {
        int dir = r->lane[i].dir;
        if (d->stock[dir].answer == TICKET_NONE || !r->lane[i].first) continue;
        d->which[n] = -1 - dir;
        t[n++] = d->stock[dir].answer;
    }
    return n;
}

void dispatch_arrived(struct rollout *r, int i)
{
    struct dispatch *d = r->dispatch;
    if (d->which[i] < 0) {
        struct stock *s = &d->stock[-1 - d->which[i]];
        s->answer = TICKET_NONE;
        s->ready = s->reply;
        return;
    }
    struct asker *k = &d->asker[d->which[i]];
    p2p_wait(r->p2p, k->out);
    r->stopping = r->stopping || k->request != 0;
    k->reply = count_up(r);
    k->out = p2p_send(r->p2p, k->rank, TAG_GIVE + k->dir, &k->reply, sizeof k->reply);
    k->ended = k->reply == DISPATCH_NONE;
    if (!k->ended) {
        listen_to(r, k);
        return;
    }
    p2p_wait(r->p2p, k->out);
    k->out = TICKET_NONE;
}

bool dispatch_done(const struct rollout *r)
{
    const struct dispatch *d = r->dispatch;
    for (int i = 0; r->world->rank == 0 && i < d->askers; i++)
        if (!d->asker[i].ended) return false;
    return true;
}

void dispatch_close(struct rollout *r)
{
    for (int dir = 0; dir < 2; dir++) {
        p2p_wait(r->p2p, r->dispatch->stock[dir].asked);
        r->dispatch->stock[dir].asked = TICKET_NONE;
    }
}
