/* What drawing a token asks of a whole row of logits, in the plainest loops. */
#include <math.h>
#include "model/cpu/real.h"

void OP(sample_largest)(float *most, const float *z, int V, int group)
{
    for (int v = 0; v < V; v++) {
        float *m = &most[v / group];
        if (v % group == 0) *m = -INFINITY;
        if (z[v] > *m) *m = z[v];
    }
}

void OP(sample_weights)(double *sum, double *weight, const float *z, float most, double inv_temp,
                        int V, int piece)
{
    for (int v = 0; v < V; v++) {
        double x = ((double)z[v] - (double)most) * inv_temp, e = x >= -700 ? exp(x) : 0;
        if (v % piece == 0) sum[v / piece] = 0;
        sum[v / piece] += e;
        if (weight) weight[v] = e;
    }
}

double OP(sample_sum)(const double *weight, const float *z, float from, int n)
{
    double total = 0;
    for (int v = 0; v < n; v++) total += z[v] >= from ? weight[v] : 0;
    return total;
}

void OP(fill_columns)(float *y, struct share columns, float value, int T, int N)
{
    for (int t = 0; t < T; t++)
        for (int n = columns.first; n < columns.first + columns.n; n++)
            y[(size_t)t * (size_t)N + (size_t)n] = value;
}
