/* A decode batch between the host, which chooses its rows and draws its tokens, and the device that
 * computes them. Where the device is the host nothing is copied. Only trainer/rollout includes
 * this.
 */
#ifndef DUET_TRAINER_ROLLOUT_THERE_H
#define DUET_TRAINER_ROLLOUT_THERE_H

#include "trainer/rollout/inside.h"

/* After the rest of the decoder; `act`: bytes of the activations of all its rows. Local. */
void there_place(struct decoder *d, const struct stage *s, size_t act, struct arena *a);
/* The operands of a batch, given row_pos and row_table, go to the device. `in`: what came from the
 * stage before, NULL: nothing. */
void there_send(struct rollout *r, struct decoder *d, const struct decode_batch *b, const void *in);
/* Where chunk_decode leaves the batch's activations. */
void *there_out(struct rollout *r, const struct decoder *d, const struct decode_batch *b);
/* The device draws what it can: row t at host_u[t], into d->target + from; -1 where it does not. */
void there_draw(struct rollout *r, struct decoder *d, const float *logits, int from, int n);
/* Row t of logits that lie on the device, where the host can read them until the next call. */
const float *there_logits(struct rollout *r, struct decoder *d, const float *logits, int t);
/* Tokens of rows [from, from + n) were drawn. */
void there_drawn(struct rollout *r, struct decoder *d, int from, int n);
/* The batch was computed: its activations, or log-probabilities, are on the host. */
void there_fetch(struct rollout *r, struct decoder *d, const struct decode_batch *b);

#endif
