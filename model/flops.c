#include "model/flops.h"

#include "model/part.h"

double flops_layer_at(const struct dims *d, int layer)
{
    double sum = 0;
    for (const struct part *const *p = layer_parts(d, layer); *p; p++)
        sum += 2 * part_matrices(*p, d);
    return sum;
}

double flops_layer(const struct dims *d)
{
    double sum = 0;
    for (int layer = 0; layer < d->L; layer++) sum += flops_layer_at(d, layer);
    return sum / d->L;
}

double flops_head(const struct dims *d)
{
    return 2 * part_matrices(&PART_HEAD, d);
}

double flops_attention(const struct dims *d, double keys)
{
    double sum = 0;
    for (const struct part *const *p = layer_parts(d, d->L - 1); *p; p++)
        if ((*p)->flops_key) sum += (*p)->flops_key(d) * keys;
    return sum;
}
