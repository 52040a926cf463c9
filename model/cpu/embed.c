/* Rows of the embedding table, and their gradient. */
#include "model/cpu/real.h"

/* Tokens of other ranks give zeros: the sum over the ranks of tp is then exact. */
void OP(embed_forward)(void *x, const void *table, const int *token, struct share own, int T, int C)
{
    size_t bytes = (size_t)C * sizeof(real);
    for (int t = 0; t < T; t++) {
        unsigned char *to = (unsigned char *)x + (size_t)t * bytes;
        int row = token[t] - own.first;
        if (row >= 0 && row < own.n)
            memcpy(to, (const unsigned char *)table + (size_t)row * bytes, bytes);
        else
            memset(to, 0, bytes);
    }
}

void OP(embed_backward)(float *dtable, const void *dx, const int *token, struct share own, int T,
                        int C)
{
    for (int t = 0; t < T; t++) {
        int row = token[t] - own.first;
        if (row < 0 || row >= own.n) continue;
        float *restrict to = dtable + (size_t)row * (size_t)C;
        const real *restrict from = (const real *)dx + (size_t)t * (size_t)C;
        for (int c = 0; c < C; c++) to[c] += real_get(from[c]);
    }
}
