/* The table of the rotary embedding (RoFormer, arXiv 2104.09864, eq. 15): cosines and sines of the
 * angles by which pairs (i, i + D/2) of a head turn, position times frequency.
 *
 *   none     f = theta^(-2i/D)
 *   llama3   wavelengths 2 pi / f below original/high stay, those above original/low become
 *            `factor` times as long, between them f is interpolated (Llama 3.1)
 *   yarn     the same by a ramp over i, whose ends are the pairs that make `fast` and `slow` turns
 *            in the original context; cosines and sines are multiplied by `attention` (arXiv
 *            2309.00071, eq. 17-23)
 *
 * Where a model was first trained with `original` positions, that is what counts here, never
 * max_context.
 *
 * Angles. In double they are right to the last bit of the table. Hugging Face's transformers rounds
 * frequency and angle to fp32, which at position 32,000 is off by 1e-3; a model trained with such
 * angles, and logits that are to equal its, need the same rounding: angles fp32. */
#ifndef DUET_MODEL_ROPE_H
#define DUET_MODEL_ROPE_H

#include "model/dims.h"

/* out float (max_context, D): cosines of D/2 angles, then their sines. Local. */
void rope_table(float *out, const struct dims *d);
/* Frequency of pair i < D/2, scaled. Local. */
double rope_frequency(const struct dims *d, int i);
/* yarn's factor of cosines and sines where a model does not say it: m(factor, mscale) / m(factor,
 * mscale_all) with both given, m(factor, 1) where one is 0; m(s, k) = 0.1 k ln(s) + 1, 1 up to s
 * = 1. Local. */
double rope_attention(double factor, double mscale, double mscale_all);

#endif
