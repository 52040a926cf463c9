#include "comm/halt.h"

#include <stdlib.h>
#include "comm/base/memory.h"
#include "comm/base/nap.h"
#include "comm/world.h"

enum { TAG_ASK, TAG_STEP, TAG_RESULT };

/* Every rank but the leader asks its leader exactly once (at the latest at its end), and is told
 * the result once: nothing is left on the wire. */
struct halt {
    MPI_Comm group, leaders;       /* leaders: MPI_COMM_NULL but on leaders */
    int me, n, groups;             /* in the group; groups: on leaders */
    bool asked;                    /* this rank; on a leader: a rank of its group */
    long own;                      /* announced by this leader */
    long most, agreed;             /* the largest step said so far; the result */
    int asks, steps;               /* still to come, on leaders */
    long heard;                    /* what arrives: a step, or elsewhere the result */
    MPI_Request ask, step, result; /* step: on leaders; result: elsewhere */
    MPI_Request *sent;             /* (groups + n): to other leaders, to my group; on leaders */
};

/* One receive from any source is open at a time: a test costs the same for any number of ranks. */
static void listen_for_ask(struct halt *h)
{
    if (h->asks > 0)
        MPI_OK(MPI_Irecv(NULL, 0, MPI_LONG, MPI_ANY_SOURCE, TAG_ASK, h->group, &h->ask));
}

static void listen_for_step(struct halt *h)
{
    if (h->steps > 0)
        MPI_OK(MPI_Irecv(&h->heard, 1, MPI_LONG, MPI_ANY_SOURCE, TAG_STEP, h->leaders, &h->step));
}

static void copy_comm(MPI_Comm from, MPI_Comm *to)
{
    MPI_OK(MPI_Comm_dup(from, to));
    MPI_OK(MPI_Comm_set_errhandler(*to, MPI_ERRORS_RETURN));
}

static void lead(struct halt *h, MPI_Comm leaders)
{
    copy_comm(leaders, &h->leaders);
    MPI_OK(MPI_Comm_size(h->leaders, &h->groups));
    h->asks = h->n - 1;
    h->steps = h->groups - 1;
    h->sent = memory_take((size_t)(h->groups + h->n), sizeof *h->sent, "agreement on a stop");
    for (int i = 0; i < h->groups + h->n; i++) h->sent[i] = MPI_REQUEST_NULL;
    listen_for_ask(h);
    listen_for_step(h);
}

/* The answer is received into h->heard from the start on, so that a rank that never asks learns of
 * the agreement. */
struct halt *halt_new(MPI_Comm group, MPI_Comm leaders)
{
    struct halt *h = memory_take(1, sizeof *h, "agreement on a stop");
    *h = (struct halt){.leaders = MPI_COMM_NULL,
                       .own = HALT_NOTHING,
                       .most = HALT_NOTHING,
                       .agreed = HALT_NOTHING,
                       .ask = MPI_REQUEST_NULL,
                       .step = MPI_REQUEST_NULL,
                       .result = MPI_REQUEST_NULL};
    copy_comm(group, &h->group);
    MPI_OK(MPI_Comm_rank(h->group, &h->me));
    MPI_OK(MPI_Comm_size(h->group, &h->n));
    if (h->me == 0)
        lead(h, leaders);
    else
        MPI_OK(MPI_Irecv(&h->heard, 1, MPI_LONG, 0, TAG_RESULT, h->group, &h->result));
    return h;
}

/* On leaders. */
static void look_for_asks(struct halt *h)
{
    int done = 1;
    while (h->asks > 0 && done) {
        MPI_OK(MPI_Test(&h->ask, &done, MPI_STATUS_IGNORE));
        if (!done) return;
        h->asked = true;
        h->asks--;
        listen_for_ask(h);
    }
}

static void look_for_steps(struct halt *h)
{
    int done = 1;
    while (h->steps > 0 && done) {
        MPI_OK(MPI_Test(&h->step, &done, MPI_STATUS_IGNORE));
        if (!done) return;
        h->most = h->heard > h->most ? h->heard : h->most;
        h->steps--;
        listen_for_step(h);
    }
}

void halt_ask(struct halt *h)
{
    if (h->me > 0 && !h->asked) MPI_OK(MPI_Isend(NULL, 0, MPI_LONG, 0, TAG_ASK, h->group, &h->ask));
    h->asked = true;
}

bool halt_heard(struct halt *h)
{
    if (h->me > 0) return h->asked;
    look_for_asks(h);
    look_for_steps(h);
    return h->asked || h->steps < h->groups - 1;
}

void halt_announce(struct halt *h, long step)
{
    if (h->me > 0 || h->own != HALT_NOTHING) return;
    INVARIANT(step >= 0, "step %ld", step);
    int me;
    MPI_OK(MPI_Comm_rank(h->leaders, &me));
    h->own = step;
    h->most = step > h->most ? step : h->most;
    for (int i = 0; i < h->groups; i++)
        if (i != me) MPI_OK(MPI_Isend(&h->own, 1, MPI_LONG, i, TAG_STEP, h->leaders, &h->sent[i]));
}

bool halt_announced(const struct halt *h)
{
    return h->own != HALT_NOTHING;
}

/* The last step has been said: the others of the group are told. */
static void conclude(struct halt *h)
{
    h->agreed = h->most;
    for (int i = 1; i < h->n; i++)
        MPI_OK(
            MPI_Isend(&h->agreed, 1, MPI_LONG, i, TAG_RESULT, h->group, &h->sent[h->groups + i]));
}

/* Leaders collect the steps of all groups and conclude; the others test for the result. Never
 * blocks. */
long halt_agreed(struct halt *h)
{
    int done = 0;
    if (h->agreed != HALT_NOTHING) return h->agreed;
    if (h->me == 0) {
        look_for_steps(h);
        if (h->own != HALT_NOTHING && h->steps == 0) conclude(h);
    } else {
        MPI_OK(MPI_Test(&h->result, &done, MPI_STATUS_IGNORE));
        if (done) h->agreed = h->heard;
    }
    return h->agreed;
}

long halt_agree(struct halt *h)
{
    struct nap nap = nap_begin();
    INVARIANT(h->me > 0 || h->own != HALT_NOTHING, "a group of %d has not announced", h->n);
    die_place("agreeing with the other sites on a step to stop at");
    while (halt_agreed(h) == HALT_NOTHING)
        if (nap_take(&nap)) die_waiting("the step at which another site can stop");
    if (nap.slept) die_waiting(NULL);
    die_place(NULL);
    return h->agreed;
}

/* Leaders must take in the asks of every rank before the communicator goes: an unmatched message
 * would stay in MPI's queues. */
void halt_free(struct halt *h)
{
    if (!h) return;
    halt_agree(h);
    if (h->me > 0) {
        halt_ask(h);
        world_wait(&h->ask, 1);
    } else {
        struct nap nap = nap_begin();
        for (look_for_asks(h); h->asks > 0; look_for_asks(h)) nap_take(&nap);
        world_wait(h->sent, h->groups + h->n);
        MPI_OK(MPI_Comm_free(&h->leaders));
    }
    MPI_OK(MPI_Comm_free(&h->group));
    free(h->sent);
    free(h);
}
