/* Handing out questions: rank 0 counts; every first stage asks it for the next number, always
 * one ahead of its need. Which pipeline answers what depends on who is free; the answers do not
 * (P3). */
#include "trainer/rollout/queue.h"

struct asker { /* a first stage on another rank, seen from rank 0 */
    int rank, dir;
    int request, reply; /* request: does it stop? */
    ticket in, out;
    bool ended;
};
struct stock { /* this rank's decoder: the number held ready */
    int request, reply;
    int ready; /* question, QUEUE_NONE, or QUEUE_WAIT */
    ticket asked, answer;
};
struct queue {
    int next; /* rank 0 */
    struct asker *asker;
    int askers;
    struct stock stock[2];
    int *which; /* of the tickets offered last: asker number, or -1 - direction */
};

static int first_rank(const struct rollout *r, int d, int dir)
{
    const struct stage *s = r->stage;
    return mesh_rank(s->mesh, d, plan_rank(s->place, s->mesh->pp, 0, dir));
}

int queue_most_tickets(const struct rollout *r)
{
    return 2 * r->stage->mesh->dp + 2;
}

/* Rank 0's own first stages take numbers without a message, so they are not among the askers. */
void queue_place(struct queue **out, const struct rollout *r, struct arena *a)
{
    struct queue *queue = arena_take(a, sizeof *queue);
    size_t most = (size_t)queue_most_tickets(r);
    struct asker *asker = arena_take_n(a, most, sizeof *asker);
    int *which = arena_take_n(a, most, sizeof *which);
    if (!queue) return;
    *out = queue;
    queue->asker = asker;
    queue->which = which;
    for (int i = 0; i < r->stage->mesh->dp; i++)
        for (int dir = 0; dir < r->stage->directions; dir++) {
            int rank = first_rank(r, i, dir);
            if (rank == 0) continue;
            queue->asker[queue->askers++] = (struct asker){.rank = rank, .dir = dir};
        }
}

static int count_up(struct rollout *r)
{
    struct queue *queue = r->queue;
    return queue->next < r->job->questions && !rollout_stops(r) ? queue->next++ : QUEUE_NONE;
}

static void listen_to(struct rollout *r, struct asker *k)
{
    k->in = p2p_recv(r->p2p, k->rank, TAG_ASK + k->dir, &k->request, sizeof k->request);
}

static void ask(struct rollout *r, struct stock *s, int dir)
{
    s->ready = QUEUE_WAIT;
    s->answer = p2p_recv(r->p2p, 0, TAG_GIVE + dir, &s->reply, sizeof s->reply);
    p2p_wait(r->p2p, s->asked);
    s->request = r->stopping;
    s->asked = p2p_send(r->p2p, 0, TAG_ASK + dir, &s->request, sizeof s->request);
}

/* In lockstep first stages are numbered through all pipelines, and question q is number (q mod
 * their count)'s. */
static int first_stages(const struct rollout *r)
{
    return r->stage->mesh->dp * r->stage->directions;
}

static void start_dealing(struct rollout *r)
{
    const struct stage *s = r->stage;
    struct queue *queue = r->queue;
    for (int dir = 0; dir < 2; dir++)
        queue->stock[dir] = (struct stock){
            .ready = s->mesh->d * s->directions + dir, .asked = TICKET_NONE, .answer = TICKET_NONE};
}

/* Everybody asks for a first question at once, before a decode batch has room for it. */
void queue_start(struct rollout *r)
{
    struct queue *queue = r->queue;
    if (r->stage->mesh->ep > 1) {
        start_dealing(r);
        return;
    }
    queue->next = 0;
    for (int i = 0; r->world->rank == 0 && i < queue->askers; i++) {
        queue->asker[i].ended = false;
        queue->asker[i].out = TICKET_NONE;
        listen_to(r, &queue->asker[i]);
    }
    queue->stock[0].asked = queue->stock[0].answer = queue->stock[1].asked =
        queue->stock[1].answer = TICKET_NONE;
    for (int i = 0; i < r->decoders; i++) {
        struct stock *s = &queue->stock[r->decoder[i].dir];
        if (r->decoder[i].first && r->world->rank != 0) ask(r, s, r->decoder[i].dir);
    }
}

bool queue_left(const struct rollout *r, const struct decoder *d)
{
    return !r->stopping && r->queue->stock[d->dir].ready < r->job->questions;
}

static int deal(struct rollout *r, const struct decoder *d)
{
    if (!queue_left(r, d)) return QUEUE_NONE;
    struct stock *s = &r->queue->stock[d->dir];
    int q = s->ready;
    s->ready += first_stages(r);
    return q;
}

int queue_take(struct rollout *r, struct decoder *d)
{
    if (r->stage->mesh->ep > 1) return deal(r, d);
    if (r->world->rank == 0) return count_up(r);
    struct stock *s = &r->queue->stock[d->dir];
    int q = s->ready;
    if (q >= 0) ask(r, s, d->dir);
    return q;
}

/* `which` keeps what each ticket is, for queue_arrived; both go in the order in which they stand
 * here. */
int queue_tickets(struct rollout *r, ticket *t)
{
    struct queue *queue = r->queue;
    int n = 0;
    for (int i = 0; r->world->rank == 0 && i < queue->askers; i++)
        if (!queue->asker[i].ended) {
            queue->which[n] = i;
            t[n++] = queue->asker[i].in;
        }
    for (int i = 0; i < r->decoders; i++) {
        int dir = r->decoder[i].dir;
        if (queue->stock[dir].answer == TICKET_NONE || !r->decoder[i].first) continue;
        queue->which[n] = -1 - dir;
        t[n++] = queue->stock[dir].answer;
    }
    return n;
}

/* An asker that got no question asks no more: its last reply is waited for, so that nothing is
 * under way when the job ends. */
void queue_arrived(struct rollout *r, int i)
{
    struct queue *queue = r->queue;
    if (queue->which[i] < 0) {
        struct stock *s = &queue->stock[-1 - queue->which[i]];
        s->answer = TICKET_NONE;
        s->ready = s->reply;
        return;
    }
    struct asker *k = &queue->asker[queue->which[i]];
    p2p_wait(r->p2p, k->out);
    r->stopping = r->stopping || k->request != 0;
    k->reply = count_up(r);
    k->out = p2p_send(r->p2p, k->rank, TAG_GIVE + k->dir, &k->reply, sizeof k->reply);
    k->ended = k->reply == QUEUE_NONE;
    if (!k->ended) {
        listen_to(r, k);
        return;
    }
    p2p_wait(r->p2p, k->out);
    k->out = TICKET_NONE;
}

bool queue_done(const struct rollout *r)
{
    const struct queue *queue = r->queue;
    for (int i = 0; r->world->rank == 0 && i < queue->askers; i++)
        if (!queue->asker[i].ended) return false;
    return true;
}

void queue_close(struct rollout *r)
{
    for (int dir = 0; dir < 2; dir++) {
        p2p_wait(r->p2p, r->queue->stock[dir].asked);
        r->queue->stock[dir].asked = TICKET_NONE;
    }
}
