/* Products of a few rows by the processor's instruction for pairs of bf16, where it has no tiles:
 * what model/tile_rows.h calls then. */
#ifndef DUET_MODEL_CPU_PAIR_ROWS_H
#define DUET_MODEL_CPU_PAIR_ROWS_H

#include "model/tile_rows.h"

/* As the functions of model/tile_rows.h. */
void pair_rows_pack(uint16_t *room, const uint16_t *x, int rows, int K);
void pair_rows_next(const struct tile_rows *t);

#endif
