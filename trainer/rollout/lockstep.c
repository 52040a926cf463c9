/* Decoding with expert parallelism. Ranks that share experts exchange rows in every layer, so
 * all of them must run as many calls, in the same order, whatever each pipeline has to do.
 *
 * So time is cut into ticks. A decode batch that starts at tick g is at chunk s at tick g + s; a
 * round lets every batch of a decoder start once, in turn, and takes as many ticks as there are
 * chunks or batches, whichever is more: by then a batch's tokens are back. A batch with nothing to
 * do goes round empty. A rank works off its calls by tick, then by decoder; whatever a call needs
 * (activations, tokens, the other ranks of its group) was done at an earlier tick, or is the same
 * call elsewhere: no rank waits for one that waits for it. Before a round all agree whether anybody
 * has anything left, and whether anybody was asked to stop. Questions are dealt out in advance, one
 * to each first stage in turn. */
#include "trainer/rollout/lockstep.h"
#include "trainer/rollout/queue.h"
#include "trainer/rollout/tp_follow.h"
#include "trainer/rollout/decoder.h"
#include "trainer/rollout/room.h"

/* --- one call --- */

static void start_round(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    if (d->n_outstanding > 0 && &d->batch[d->outstanding[0]] == b) {
        if (!d->last)
            p2p_wait(r->p2p, p2p_recv(r->p2p, d->tail_rank, TAG_BACK + d->dir, d->back,
                                      decode_batch_back_bytes(b)));
        decoder_record(r, d);
    }
    if (!decoder_fill(r, d, b)) room_tell(d, b);
    tp_follow_lead(r, d, b, NULL);
}

static void carry_on(struct rollout *r, struct decoder *d, struct decode_batch *b)
{
    p2p_wait(r->p2p, decode_batch_expect(r, d));
    INVARIANT(decode_batch_take(r, d, d->arrived) == b, "a decode batch came out of turn");
    decode_batch_receive(r, d, b);
    tp_follow_lead(r, d, b, d->act_in);
}

/* --- rounds --- */

/* Every rank of the group comes here before each round, also with nothing left: it still runs its
 * share of the others' rows. */
static bool anything_left(struct rollout *r)
{
    int left = 0, said[2];
    bool busy = false;
    for (int i = 0; i < r->decoders; i++) busy = busy || r->decoder[i].n_outstanding > 0;
    decoder_observe(r, busy ? 0 : 1);
    for (int i = 0; i < r->decoders; i++) {
        const struct decoder *d = &r->decoder[i];
        if (!d->first) continue;
        left = left || d->n_outstanding > 0 || d->groups > 0 || d->running > 0 || d->waiting > 0 ||
               queue_left(r, d);
    }
    MPI_Request agreed;
    int mine[2] = {left, rollout_stops(r)};
    MPI_OK(MPI_Iallreduce(mine, said, 2, MPI_INT, MPI_MAX, r->group, &agreed));
    world_wait(&agreed, 1);
    r->stopping =
        said[1] != 0; /* when one hears it, all give up what they have in the next round */
    return said[0] != 0;
}

/* What decoder d does at a tick, if its batch has started in one of the `rounds` agreed on. */
static void tick(struct rollout *r, struct decoder *d, long now, int period, long rounds)
{
    long since = now - d->local->chunk;
    if (since < 0 || since / period >= rounds || since % period >= d->n_batches) return;
    struct decode_batch *b = &d->batch[since % period];
    die_place("rollout: round %ld, decode batch %d", since / period, (int)(since % period));
    if (d->first)
        start_round(r, d, b);
    else
        carry_on(r, d, b);
}

void lockstep_run(struct rollout *r)
{
    int chunks = r->stage->chunks, batches = r->decoder[0].n_batches;
    int period = batches > chunks ? batches : chunks;
    long rounds = 0;
    for (int i = 0; i < r->decoders; i++)
        if (r->decoder[i].first) decoder_clear(&r->decoder[i]);
    for (long now = 0;; now++) {
        watchdog_feed();
        if (now == rounds * period && anything_left(r)) rounds++;
        if (now == rounds * period + chunks) return; /* the last round, of empty batches, is over */
        for (int i = 0; i < r->decoders; i++) tick(r, &r->decoder[i], now, period, rounds);
    }
}
