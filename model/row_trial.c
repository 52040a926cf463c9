/* Rows of different spread, cut out of one periodic run of rows: a block that begins one row later
 * has every row at another position and another address. */
#include "model/row_trial.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"

enum { SHIFTS = 2, TABLE = 65521 }; /* a prime: no two rows or columns of a weight are alike */

/* Products of bf16 have 16 bits: in sums of a few their order shows only when exponents differ by
 * more than the 8 that are left. */
static const int spread_of_row[TRIAL_ROWS] = {16, 24, 20, 28, 12};

static void *bytes_take(size_t bytes)
{
    return memory_take_aligned(bytes, "trying a matrix product");
}

/* --- data --- */

/* Sign, exponent and mantissa of one float; xorshift, whose every bit is random. */
static uint32_t element(uint32_t *state, int spread)
{
    uint32_t s = *state;
    s ^= s << 13;
    s ^= s >> 17;
    s ^= s << 5;
    *state = s;
    uint32_t exponent = 127u - (s >> 23 & 255u) * (uint32_t)(spread + 1) / 256u;
    return (s << 31) | (exponent << 23) | (s * 2654435761u >> 9);
}

/* A weight may have hundreds of millions of elements: they repeat a table. */
void trial_fill(void *out, size_t n, enum matmul_type type, unsigned seed, int spread)
{
    size_t bytes = matmul_type_bytes(type), most = n < TABLE ? n : TABLE;
    uint32_t state = (seed + 1) * 2654435769u | 1u;
    for (size_t i = 0; i < most; i++) {
        uint32_t u = element(&state, spread);
        uint16_t half = (uint16_t)(u >> 16);
        memcpy((char *)out + bytes * i, type == MATMUL_BF16 ? (void *)&half : (void *)&u, bytes);
    }
    for (size_t at = most; at < n; at += most)
        memcpy((char *)out + bytes * at, out, bytes * (n - at < most ? n - at : most));
}

/* --- rows of a product --- */

struct trial_room {
    char *x;           /* rows t % TRIAL_ROWS, for the largest block at any shift */
    float *y;          /* what a block gave */
    float *expect;     /* (TRIAL_ROWS, n) */
    size_t row, bytes; /* of an input, of an output */
};

/* The rows repeat with period TRIAL_ROWS, so that a row can be compared with itself at another
 * place in a block. */
static struct trial_room room_take(const struct row_trial *t)
{
    size_t most = (size_t)t->rows[t->blocks - 1] + SHIFTS;
    struct trial_room m = {.row = (size_t)t->k * matmul_type_bytes(t->type),
                           .bytes = (size_t)t->n * sizeof(float)};
    m.x = bytes_take(most * m.row);
    m.y = bytes_take(most * m.bytes);
    m.expect = bytes_take(TRIAL_ROWS * m.bytes);
    for (size_t i = 0; i < TRIAL_ROWS; i++)
        trial_fill(m.x + i * m.row, (size_t)t->k, t->type, (unsigned)i, spread_of_row[i]);
    for (size_t i = TRIAL_ROWS; i < most; i++)
        memcpy(m.x + i * m.row, m.x + (i - TRIAL_ROWS) * m.row, m.row);
    return m;
}

/* Every position of the block, with SHIFTS different rows at each. */
static bool block_agrees(const struct row_trial *t, const struct trial_room *m, int block)
{
    for (size_t shift = 0; shift < SHIFTS; shift++) {
        float *y = m->y + shift * (size_t)t->n;
        t->run(t->ctx, block, y, m->x + shift * m->row);
        for (size_t i = 0; i < (size_t)t->rows[block]; i++) {
            size_t is = (i + shift) % TRIAL_ROWS;
            if (memcmp(y + i * (size_t)t->n, m->expect + is * (size_t)t->n, m->bytes) != 0)
                return false;
        }
    }
    return true;
}

/* The first block that agrees with itself sets the expected bits; larger ones must give the same.
 */
bool row_trial(bool *keep, const struct row_trial *t)
{
    struct trial_room m = room_take(t);
    bool found = false;
    for (int first = 0; first < t->blocks; first++) {
        keep[first] = false;
        if (!found) {
            t->run(t->ctx, first, m.y, m.x);
            memcpy(m.expect, m.y, TRIAL_ROWS * m.bytes);
        }
        keep[first] = block_agrees(t, &m, first);
        found = found || keep[first];
    }
    free(m.x);
    free(m.y);
    free(m.expect);
    return found;
}

/* --- gradients of a weight --- */

/* Rows from `with` on have no gradient; once their inputs are random, once zeros, as in a padded
 * block, and all lies elsewhere. */
bool gradient_trial(const struct gradient_trial *t)
{
    size_t bytes = matmul_type_bytes(t->type), rows = (size_t)t->rows, with = rows * 5 / 8;
    size_t n = (size_t)t->n, k = (size_t)t->k, out = n * k * sizeof(float);
    char *dy = bytes_take((rows + 1) * n * bytes), *x = bytes_take((rows + 1) * k * bytes);
    float *dw = bytes_take(out + 64), *again = bytes_take(out + 64);
    trial_fill(dy, with * n, t->type, 1, 12);
    trial_fill(x, rows * k, t->type, 2, 12);
    trial_fill(dw, n * k, MATMUL_F32, 3, 8);
    memcpy(again + 1, dw, out);
    t->run(t->ctx, dw, dy, x);

    memmove(dy + n * bytes, dy, rows * n * bytes);
    memmove(x + k * bytes, x, with * k * bytes);
    memset(x + (with + 1) * k * bytes, 0, (rows - with) * k * bytes);
    t->run(t->ctx, again + 1, dy + n * bytes, x + k * bytes);
    bool same = memcmp(dw, again + 1, out) == 0;
    free(dy);
    free(x);
    free(dw);
    free(again);
    return same;
}
