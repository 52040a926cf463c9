/* Moves in the plainest loops. */
#include "model/cpu/real.h"

void OP(copy_rows)(void *y, size_t y_step, const void *x, size_t x_step, int T, size_t bytes)
{
    for (int t = 0; t < T; t++)
        for (size_t i = 0; i < bytes; i++)
            ((unsigned char *)y)[(size_t)t * y_step + i] =
                ((const unsigned char *)x)[(size_t)t * x_step + i];
}

void OP(scatter_rows)(void *y, const int *at, const void *x, int T, int C, int K)
{
    for (int i = 0; i < T * K; i++)
        for (int c = 0; c < C; c++)
            ((real *)y)[(size_t)at[i] * (size_t)C + (size_t)c] =
                ((const real *)x)[(size_t)(i / K) * (size_t)C + (size_t)c];
}
