/* Who has blocks of the cache: decided by the first rank of a direction's first stage, answer by
 * answer as they grow; the other ranks are told what it did (events) with the next decode batch.
 *
 * The pool may be smaller than what all slots could fill (mesh.cache_tokens). Then:
 *   - A row that needs a block when none is free takes it from the youngest: first from prompts
 *     that were read ahead, then from the answer that started last, the one in need included. An
 *     answer without blocks waits: its slot, its tokens and their log-probabilities stay.
 *   - The answer that has waited longest continues first, once there is room for all that it had
 * and a block for each running answer: what it had read or written is read again, by the same rows,
 *     so with the same bits (P1, P2). Whatever of its prompt another answer, or the prompt itself,
 *     holds is shared.
 *   - While an answer waits, no other starts and no prompt is read ahead.
 *
 * All answers end. The pool has room for one longest answer and a block more (room_least), and
 *   1. those that have blocks are the oldest: blocks are taken from the youngest, given back to the
 *      oldest that waits, and none starts meanwhile;
 *   2. so the oldest answer never loses its blocks: only the last to have any could, after all
 *      other blocks have been freed, but those are enough for it;
 *   3. if the oldest waits, only prompts have blocks, which go when they must: it gets room
 *      when the rows of its batch are chosen next;
 *   4. the oldest has a row in each run of its decode batch: of its batch_slots - 1 neighbours none
 *      has more than one row that is sampled, a batch holds batch_slots rows or more, and
 *      neighbours that read something again are through after finitely many;
 *   5. without answers the first prompt gets room, all others' going when they must, and its
 *      answers start: a prompt takes at most what a longest answer does, its copied last block is
 *      the block more.
 * An answer that waits for an observation (observe.h) keeps its blocks, or loses them as others do;
 * it takes part in 1 to 4 as if it had rows, since its observation comes after a while.
 * A batch that had no rows is tried again whenever another returns or an observation comes
 * (turns.c), or in the next round (lockstep.c). tests/unit/rollout/test_room.c. */
#ifndef DUET_TRAINER_ROLLOUT_ROOM_H
#define DUET_TRAINER_ROLLOUT_ROOM_H

#include "trainer/rollout/inside.h"

/* Blocks that a pool must have for sequences of max_context positions. */
static inline int room_least(int max_context)
{
    return cache_blocks(max_context) + 1;
}

/* No blocks are held, and no answer waits. */
void room_clear(struct decoder *d);
/* What the other ranks were not told yet goes with this batch. */
void room_tell(struct decoder *d, struct decode_batch *b);
/* The slot's blocks are free. */
void room_release(struct decoder *d, int slot);
/* An answer has blocks and goes on, maybe behind an observation that is yet to be read. */
static inline bool room_goes_on(const struct decode_slot *k)
{
    return k->answer >= 0 && !k->waits && !k->asks;
}
/* Its next row is in the next decode batch of its slot. */
static inline bool room_ready(const struct decode_slot *k)
{
    return room_goes_on(k) && k->filled == k->pos;
}
/* Every answer of the batch that goes on has room up to its next row; others may wait now. */
void room_grow(struct decoder *d, const struct decode_batch *b);
/* Answers of the batch that have waited longest get room again, as many as there is for. */
void room_resume(struct rollout *r, struct decoder *d, const struct decode_batch *b);
/* Room for a new answer to the first question under way, whose prompt is in the cache; false: not
 * now. */
bool room_start(struct rollout *r, struct decoder *d, int slot);
/* Room for the prompt of the i-th question under way, if it has none yet (what an answer to it
 * holds is shared, and counts as filled); false: not now. */
bool room_prompt(struct rollout *r, struct decoder *d, int i);

/* The i-th question under way, oldest first. */
static inline struct group *group_at(const struct decoder *d, int i)
{
    return &d->group[(d->group_from + i) % d->max_groups];
}
/* Positions of a question's prompt that all answers share: all but its last token, which every
 * answer reads itself. */
static inline int shared_positions(const struct rollout *r, int question)
{
    return r->job->question[question].n - 1;
}

#endif
