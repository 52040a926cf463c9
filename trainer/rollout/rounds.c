/* Decoding with expert parallelism. Ranks that share experts exchange rows in every layer, so
 * all of them must run as many calls, in the same order, whatever each pipeline has to do.
 *
 * So time is cut into ticks. A wave that starts at tick g is at chunk s at tick g + s; a round
 * lets every wave of a lane start once, in turn, and takes as many ticks as there are chunks or
 * waves, whichever is more: by then a wave's tokens are back. A wave with nothing to do goes
 * round empty. A rank works off its calls by tick, then by lane; whatever a call needs
 * (activations, tokens, the other ranks of its group) was done at an earlier tick, or is the
 * same call elsewhere: no rank waits for one that waits for it. Before a round all agree whether
 * anybody has anything left, and whether anybody was asked to stop. Questions are dealt out in
 * advance, one to each first stage in turn. */
#include "trainer/rollout/rounds.h"
#include "trainer/rollout/queue.h"
#include "trainer/rollout/follow.h"
#include "trainer/rollout/lane.h"

static int most(int a, int b)
{
    return a > b ? a : b;
}

/* --- one call --- */

static void start(struct rollout *r, struct lane *l, struct wave *w)
{
    if (l->n_outstanding > 0 && &l->wave[l->outstanding[0]] == w) {
        if (!l->last)
            p2p_wait(r->p2p, p2p_recv(r->p2p, l->tail_rank, TAG_BACK + l->dir, l->back,
                                      wave_back_bytes(w)));
        lane_book(r, l);
    } else {
        w->head->events = 0;
    }
    lane_fill(r, l, w);
    follow_lead(r, l, w, NULL);
}

static void carry_on(struct rollout *r, struct lane *l, struct wave *w)
{
    p2p_wait(r->p2p, wave_expect(r, l));
    INVARIANT(wave_take(r, l, l->arrived) == w, "a wave came out of turn");
    wave_receive(r, l, w);
    follow_lead(r, l, w, l->act_in);
}

/* --- rounds --- */

static bool anything_left(struct rollout *r)
{
    int left = 0, said[2];
    for (int i = 0; i < r->lanes; i++) {
        const struct lane *l = &r->lane[i];
        if (l->first) left = left || l->n_outstanding > 0 || l->groups > 0 || queue_left(r, l);
    }
    MPI_Request agreed;
    int mine[2] = {left, rollout_stops(r)};
    MPI_OK(MPI_Iallreduce(mine, said, 2, MPI_INT, MPI_MAX, r->group, &agreed));
    world_wait(&agreed, 1);
    r->stopping =
        said[1] != 0; /* when one hears it, all give up what they have in the next round */
    return said[0] != 0;
}

/* What lane l does at a tick, if its wave has started by then in one of the `rounds` agreed on. */
static void tick(struct rollout *r, struct lane *l, long now, int period, long rounds)
{
    long since = now - l->local->chunk;
    if (since < 0 || since / period >= rounds || since % period >= l->n_waves) return;
    struct wave *w = &l->wave[since % period];
    die_place("rollout: round %ld, wave %d", since / period, (int)(since % period));
    if (l->first)
        start(r, l, w);
    else
        carry_on(r, l, w);
}

void rounds_run(struct rollout *r)
{
    int chunks = r->actor->chunks, period = most(r->lane[0].n_waves, chunks);
    long rounds = 0;
    for (int i = 0; i < r->lanes; i++)
        if (r->lane[i].first) lane_clear(&r->lane[i]);
    for (long now = 0;; now++) {
        watchdog_feed();
        if (now == rounds * period && anything_left(r)) rounds++;
        if (now == rounds * period + chunks) return; /* the last round, of empty waves, is over */
        for (int i = 0; i < r->lanes; i++) tick(r, &r->lane[i], now, period, rounds);
    }
}
