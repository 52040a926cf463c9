/* In vectors of four, which every processor has: these loops wait for memory, not for arithmetic.
 */
#include "model/widen.h"

#include <string.h>

#include "comm/base/ahead.h"
#include "comm/base/half.h"

typedef uint32_t four __attribute__((vector_size(16)));
typedef uint16_t four_halves __attribute__((vector_size(8)));

static four load(const uint16_t *w)
{
    four_halves h;
    memcpy(&h, w, sizeof h);
    return __builtin_convertvector(h, four) << 16;
}

void widen(float *out, const uint16_t *w, size_t n)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        memory_ahead(w + i);
        memory_ahead(out + i);
        four v = load(w + i);
        memcpy(out + i, &v, sizeof v);
    }
    for (; i < n; i++) out[i] = bf16_to_float(w[i]);
}

/* 4 x 4 elements, whose rows are `cols` apart in w and `rows` apart in out. */
static void turn_four(float *out, const uint16_t *w, size_t rows, size_t cols)
{
    four a = load(w), b = load(w + cols), c = load(w + 2 * cols), d = load(w + 3 * cols);
    four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
         AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
         CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    const four turned[] = {
        __builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
        __builtin_shufflevector(AB, CD, 0, 1, 4, 5), __builtin_shufflevector(AB, CD, 2, 3, 6, 7)};
    for (size_t i = 0; i < 4; i++) memcpy(out + i * rows, &turned[i], sizeof turned[i]);
}

/* Rows from r on, of each the columns from c on, one by one. */
static void turn_rest(float *out, const uint16_t *w, size_t rows, size_t cols, size_t r, size_t c)
{
    for (; r < rows; r++)
        for (size_t k = c; k < cols; k++) out[k * rows + r] = bf16_to_float(w[r * cols + k]);
}

/* Down columns of TILE rows, so that whole lines of the cache are written one after the other. */
void widen_transposed(float *out, const uint16_t *w, size_t rows, size_t cols)
{
    enum { TILE = 32 };
    size_t whole = rows / 4 * 4, across = cols / 4 * 4;
    for (size_t from = 0; from < whole; from += TILE) {
        size_t to = from + TILE < whole ? from + TILE : whole;
        for (size_t c = 0; c < across; c += 4)
            for (size_t r = from; r < to; r += 4)
                turn_four(out + c * rows + r, w + r * cols + c, rows, cols);
    }
    turn_rest(out, w, rows, cols, 0, across);
    turn_rest(out, w, rows, cols, whole, 0);
}
