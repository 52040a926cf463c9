/* bf16 matrices as float ones, for machines whose products are made of floats (model/matmul.h). The
 * library has no kernel for that: its reference loop takes 86 ns an element, this some 0.3. Exact:
 * a bf16 is the upper half of a float. Local. */
#ifndef DUET_MODEL_WIDEN_H
#define DUET_MODEL_WIDEN_H

#include <stddef.h>
#include <stdint.h>

/* out (n) = w (n) */
void widen(float *out, const uint16_t *w, size_t n);
/* out (cols, rows) = the transpose of w (rows, cols) */
void widen_transposed(float *out, const uint16_t *w, size_t rows, size_t cols);

#endif
