/* Operations that move rows and compute nothing. */
#include "model/cpu/real.h"

void OP(copy_rows)(void *y, size_t y_step, const void *x, size_t x_step, int T, size_t bytes)
{
    unsigned char *to = y;
    const unsigned char *from = x;
    if (y_step == bytes && x_step == bytes) {
        if (T > 0 && bytes > 0) memcpy(to, from, (size_t)T * bytes);
        return;
    }
    for (int t = 0; t < T; t++, to += y_step, from += x_step) memcpy(to, from, bytes);
}

void OP(scatter_rows)(void *y, const int *at, const void *x, int T, int C, int K)
{
    size_t bytes = (size_t)C * sizeof(real);
    for (int i = 0; i < T * K; i++)
        memcpy((unsigned char *)y + (size_t)at[i] * bytes,
               (const unsigned char *)x + (size_t)(i / K) * bytes, bytes);
}
