#include "model/gradients.h"

#include <stdlib.h>
#include "comm/base/memory.h"
#include "comm/watch.h"
#include "model/amx.h"

/* Factors and sums of a block stay in the second cache (2 MiB): ROWS rows with DEPTH of what is
 * summed up, of a weight's gradient with PIECE rows of a micro-batch. */
enum { ROWS = 256, DEPTH = 512, PIECE = 1024 };

static struct {
    uint16_t *left, *right;
    float *sums;
    int K;
} room;

size_t gradients_packed_bytes(int N, int K)
{
    return amx_size((size_t)K, (size_t)N) * sizeof(uint16_t);
}

void gradients_pack(uint16_t *copy, const uint16_t *w, int N, int K)
{
    amx_pack_right(copy, (struct amx_matrix){w, (size_t)K}, (size_t)N, (size_t)K);
}

/* Sums lie in the right factor's room: the two are of different gradients. */
void gradients_reserve(int K)
{
    if (room.K >= K) return;
    if (!room.left) room.left = memory_take_aligned(amx_size(ROWS, PIECE) * 2, "gradients");
    free(room.right);
    room.right = memory_take_aligned(amx_size((size_t)K, PIECE) * 2, "gradients");
    room.sums = (float *)(void *)room.right;
    room.K = K;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Some rows, in pieces of what is summed up. */
static void input_rows(struct gradients_to dx, const uint16_t *dy, const uint16_t *copy, size_t N,
                       size_t K, size_t rows)
{
    struct amx_product p = {.rows = rows, .cols = K, .ld = K, .rounded_ld = K};
    p.left = room.left;
    p.sum = dx.sum ? dx.sum : room.sums;
    p.right_strip = amx_steps(N) * AMX_TILE;
    for (size_t n = 0; n < N; n += DEPTH) {
        size_t depth = least(DEPTH, N - n);
        amx_pack_left(room.left, (struct amx_matrix){dy + n, N}, rows, depth);
        p.steps = amx_steps(depth);
        p.left_strip = p.steps * AMX_TILE;
        p.right = copy + amx_steps(n) * AMX_TILE;
        p.add = n > 0;
        p.rounded = n + depth == N ? dx.rounded : NULL;
        amx_multiply(&p);
    }
    watchdog_feed();
}

void gradients_input(struct gradients_to dx, const uint16_t *dy, const uint16_t *copy, int N, int K,
                     int T)
{
    size_t n = (size_t)N, k = (size_t)K;
    for (size_t t = 0; t < (size_t)T; t += ROWS) {
        struct gradients_to to = {dx.rounded ? dx.rounded + t * k : NULL,
                                  dx.sum ? dx.sum + t * k : NULL};
        input_rows(to, dy + t * n, copy, n, k, least(ROWS, (size_t)T - t));
    }
}

/* The rows of x are packed once, those of dy for each block of the gradient, which stays in the
 * cache while all of a piece is added. */
void gradients_weight(float *dw, const uint16_t *dy, const uint16_t *x, int N, int K, int T)
{
    size_t rows = (size_t)N, k = (size_t)K;
    struct amx_product p = {
        .cols = k, .ld = k, .left = room.left, .right = room.right, .add = true};
    for (size_t t = 0; t < (size_t)T; t += PIECE) {
        size_t piece = least(PIECE, (size_t)T - t);
        p.steps = amx_steps(piece);
        p.left_strip = p.right_strip = p.steps * AMX_TILE;
        amx_pack_right(room.right, (struct amx_matrix){x + t * k, k}, piece, k);
        for (size_t n = 0; n < rows; n += ROWS) {
            p.rows = least(ROWS, rows - n);
            p.sum = dw + n * k;
            amx_pack_left_turned(room.left, (struct amx_matrix){dy + t * rows + n, rows}, p.rows,
                                 piece);
            amx_multiply(&p);
        }
        watchdog_feed();
    }
}
