/* Token rows: copied forward, added up backward in row order. */
#include "model/cpu/real.h"

void OP(embed_forward)(void *x, const void *table, const int *token, int T, int C)
{
    size_t bytes = (size_t)C * sizeof(real);
    for (int t = 0; t < T; t++)
        memcpy((char *)x + (size_t)t * bytes, (const char *)table + (size_t)token[t] * bytes,
               bytes);
}

void OP(embed_backward)(float *dtable, const void *dx, const int *token, int T, int C)
{
    for (int t = 0; t < T; t++) {
        float *restrict to = dtable + (size_t)token[t] * (size_t)C;
        const real *restrict from = (const real *)dx + (size_t)t * (size_t)C;
        for (int c = 0; c < C; c++) to[c] += real_get(from[c]);
    }
}
