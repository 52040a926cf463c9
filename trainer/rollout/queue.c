/* Handing out questions: the first stage on rank 0 counts, and every other one asks for the next
 * number, always one ahead of its need. Requests go up a tree (handout.h) and are joined on their
 * way, so that a rank has messages with a few others however many there are. Which pipeline answers
 * what depends on who is free; the answers do not (P3). */
#include "trainer/rollout/queue.h"

struct request {
    int n;     /* questions; 0: neither this stage nor one below it asks any more */
    int stops; /* does somebody who asks stop? */
};
struct below { /* a first stage that asks this one */
    int rank;
    struct request request;
    struct numbers reply;
    ticket in, out;
    bool ended; /* it asks no more: it got fewer than it asked for, or said so */
};
struct queue {
    int stage; /* number of this rank's first stage among all; -1: it has none */
    int next;  /* stage 0: what is handed out next */
    int ready; /* what this rank's decoder takes next: question, QUEUE_NONE, or QUEUE_WAIT */
    int taken; /* by this rank's decoder, or asked for: queue_most at most */
    bool left; /* it said above that it asks no more */
    struct handout handout;
    struct below below[HANDOUT_FAN];
    int n_below;
    int above; /* rank that is asked */
    struct request request;
    struct numbers reply;
    ticket asked, answer;
    int which[QUEUE_TICKETS]; /* of the tickets offered last: index of below; ANSWER */
};
enum { ANSWER = -1 };

/* --- the tree --- */

/* First stages are numbered through all pipelines. */
static int first_stages(const struct stage *s)
{
    return s->mesh->dp * s->directions;
}

static int rank_of(const struct stage *s, int stage)
{
    int p = plan_rank(s->place, s->mesh->pp, 0, stage % s->directions);
    return mesh_rank(s->mesh, stage / s->directions, p);
}

int queue_most(const struct stage *s, int questions)
{
    int even = (questions + first_stages(s) - 1) / first_stages(s);
    return 2L * even < questions ? 2 * even : questions;
}

/* A rank has one first stage at most; -1: none. */
static int stage_here(const struct stage *s)
{
    for (int dir = 0; dir < s->directions; dir++)
        if (plan_rank(s->place, s->mesh->pp, 0, dir) == s->mesh->p)
            return s->mesh->d * s->directions + dir;
    return -1;
}

int queue_peers(const struct stage *s, int out[QUEUE_PEERS])
{
    int stage = stage_here(s), below[HANDOUT_FAN], n = 0;
    if (stage < 0 || s->mesh->t > 0 || s->mesh->ep > 1) return 0;
    if (stage > 0) out[n++] = rank_of(s, handout_above(stage));
    for (int i = handout_below(stage, first_stages(s), below) - 1; i >= 0; i--)
        out[n++] = rank_of(s, below[i]);
    return n;
}

void queue_place(struct queue **out, const struct rollout *r, struct arena *a)
{
    const struct stage *s = r->stage;
    int below[HANDOUT_FAN];
    struct queue *queue = arena_take(a, sizeof *queue);
    if (!queue) return;
    *out = queue;
    *queue = (struct queue){.stage = stage_here(s), .asked = TICKET_NONE, .answer = TICKET_NONE};
    if (queue->stage < 0) return;
    if (queue->stage > 0) queue->above = rank_of(s, handout_above(queue->stage));
    queue->n_below = handout_below(queue->stage, first_stages(s), below);
    for (int i = 0; i < queue->n_below; i++) queue->below[i].rank = rank_of(s, below[i]);
}

/* --- requests and replies --- */

static void listen_to(struct rollout *r, struct below *k)
{
    k->in = p2p_recv(r->p2p, k->rank, TAG_ASK, &k->request, sizeof k->request);
}

/* Its last reply is waited for, so that nothing is under way when the job ends. */
static void below_ends(struct rollout *r, struct below *k)
{
    p2p_wait(r->p2p, k->out);
    k->out = TICKET_NONE;
    k->ended = true;
}

/* One that got too few asks no more. */
static void reply(struct rollout *r, struct below *k, struct numbers numbers)
{
    p2p_wait(r->p2p, k->out);
    k->reply = numbers;
    k->out = p2p_send(r->p2p, k->rank, TAG_GIVE, &k->reply, sizeof k->reply);
    if (numbers.n < k->request.n)
        below_ends(r, k);
    else
        listen_to(r, k);
}

static void share(struct rollout *r, struct numbers got)
{
    struct queue *queue = r->queue;
    struct gift gift[HANDOUT_ASKERS];
    int n = handout_share(&queue->handout, got, gift);
    for (int i = 0; i < n; i++) {
        const struct numbers *to = &gift[i].numbers;
        if (gift[i].who == HANDOUT_SELF)
            queue->ready = to->n > 0 ? to->first : QUEUE_NONE;
        else
            reply(r, &queue->below[gift[i].who - HANDOUT_FIRST_BELOW], *to);
    }
}

static struct numbers count_up(struct rollout *r, int n)
{
    struct queue *queue = r->queue;
    int left = rollout_stops(r) ? 0 : r->job->questions - queue->next;
    struct numbers next = {queue->next, n < left ? n : left};
    queue->next += next.n;
    return next;
}

static void ask_above(struct rollout *r, int n)
{
    struct queue *queue = r->queue;
    queue->answer = p2p_recv(r->p2p, queue->above, TAG_GIVE, &queue->reply, sizeof queue->reply);
    p2p_wait(r->p2p, queue->asked);
    queue->request = (struct request){n, r->stopping};
    queue->asked = p2p_send(r->p2p, queue->above, TAG_ASK, &queue->request, sizeof queue->request);
}

static bool full(const struct rollout *r)
{
    return r->queue->taken == queue_most(r->stage, r->job->questions);
}

/* A stage that has its share, and below which nobody asks any more, says so: it will not hear that
 * no questions are left. */
static void leave(struct rollout *r)
{
    struct queue *queue = r->queue;
    bool heard = queue->left || queue->handout.spent || queue->stage == 0;
    if (heard || queue->handout.open > 0 || !full(r) || !queue_done(r)) return;
    queue->left = true;
    p2p_wait(r->p2p, queue->asked);
    queue->request = (struct request){0, r->stopping};
    queue->asked = p2p_send(r->p2p, queue->above, TAG_ASK, &queue->request, sizeof queue->request);
}

/* What is wanted is asked for, or had at once: from the count, or where nothing is left. */
static void seek(struct rollout *r)
{
    struct queue *queue = r->queue;
    int n = handout_ask(&queue->handout);
    if (n == 0)
        leave(r);
    else if (queue->stage == 0)
        share(r, count_up(r, n));
    else if (queue->handout.spent)
        share(r, (struct numbers){0, 0});
    else
        ask_above(r, n);
}

static void want_one(struct rollout *r)
{
    struct queue *queue = r->queue;
    queue->ready = full(r) ? QUEUE_NONE : QUEUE_WAIT;
    if (!full(r)) {
        queue->taken++;
        handout_want(&queue->handout, HANDOUT_SELF, 1);
    }
    seek(r);
}

/* --- a job --- */

/* Everybody asks for a first question at once, before a decode batch has room for it; stage 0 takes
 * its own as it needs them. In lockstep question q is stage (q mod their count)'s. */
void queue_start(struct rollout *r)
{
    struct queue *queue = r->queue;
    queue->asked = queue->answer = TICKET_NONE;
    queue->handout = (struct handout){.open = 0};
    queue->next = queue->taken = 0;
    queue->left = false;
    queue->ready = queue->stage;
    if (r->stage->mesh->ep > 1 || queue->stage < 0) return;
    for (int i = 0; i < queue->n_below; i++) {
        queue->below[i].ended = false;
        queue->below[i].out = TICKET_NONE;
        listen_to(r, &queue->below[i]);
    }
    if (queue->stage > 0) want_one(r);
}

bool queue_left(const struct rollout *r, const struct decoder *d)
{
    return d->first && !r->stopping && r->queue->ready < r->job->questions;
}

static int deal(struct rollout *r, const struct decoder *d)
{
    if (!queue_left(r, d)) return QUEUE_NONE;
    int q = r->queue->ready;
    r->queue->ready += first_stages(r->stage);
    return q;
}

int queue_take(struct rollout *r, struct decoder *d)
{
    struct queue *queue = r->queue;
    if (r->stage->mesh->ep > 1) return deal(r, d);
    if (queue->stage == 0) {
        struct numbers one = count_up(r, full(r) ? 0 : 1);
        queue->taken += one.n;
        return one.n > 0 ? one.first : QUEUE_NONE;
    }
    int q = queue->ready;
    if (q >= 0) want_one(r);
    return q;
}

/* `which` keeps what each ticket is, for queue_arrived; both go in the order in which they stand
 * here. A stage whose request is on its way up is not listened to. */
int queue_tickets(struct rollout *r, ticket *t)
{
    struct queue *queue = r->queue;
    int n = 0;
    for (int i = 0; i < queue->n_below; i++) {
        if (queue->below[i].ended || queue->below[i].in == TICKET_NONE) continue;
        queue->which[n] = i;
        t[n++] = queue->below[i].in;
    }
    if (queue->answer == TICKET_NONE) return n;
    queue->which[n] = ANSWER;
    t[n++] = queue->answer;
    return n;
}

/* Questions from above are shared out; a request from below is noted, or is the last of that rank.
 */
void queue_arrived(struct rollout *r, int i)
{
    struct queue *queue = r->queue;
    if (queue->which[i] == ANSWER) {
        queue->answer = TICKET_NONE;
        share(r, queue->reply);
    } else {
        struct below *k = &queue->below[queue->which[i]];
        k->in = TICKET_NONE;
        r->stopping = r->stopping || k->request.stops != 0;
        if (k->request.n > 0)
            handout_want(&queue->handout, HANDOUT_FIRST_BELOW + queue->which[i], k->request.n);
        else
            below_ends(r, k);
    }
    seek(r);
}

bool queue_done(const struct rollout *r)
{
    const struct queue *queue = r->queue;
    for (int i = 0; i < queue->n_below; i++)
        if (!queue->below[i].ended) return false;
    return true;
}

void queue_close(struct rollout *r)
{
    p2p_wait(r->p2p, r->queue->asked);
    r->queue->asked = TICKET_NONE;
}
