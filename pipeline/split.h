/* Which layers go to which chunk: contiguous runs, so that the slowest chunk is as fast as can be.
 */
#ifndef DUET_PIPELINE_SPLIT_H
#define DUET_PIPELINE_SPLIT_H

/* Chunk c gets the layers first[c] .. first[c+1]-1, at least one.
 *
 *   first         out [chunks+1]   first[0] = 0, first[chunks] = layers
 *   cost          in  [layers]     any unit, >= 0: say F + B + W of a layer
 *   first_extra   what the first chunk does besides (embedding), last_extra the last (head, loss,
 *                 MTP)
 *
 * The largest cost of a chunk is the least possible; among such splits the sum of squares is least,
 * and among those earlier chunks get more layers: equal layers without extras split as they do by
 * count. A pure function. INVARIANT: 1 <= chunks <= layers. */
void split_by_cost(int *first, const double *cost, int layers, double first_extra,
                   double last_extra, int chunks);

#endif
