#include "model/flops.h"

double flops_layer(const struct dims *d)
{
    double C = d->C, heads = (double)d->Hq * d->D;
    return 2 * (dims_qkv(d) * C + heads * C + 3 * C * d->F);
}

double flops_head(const struct dims *d)
{
    return 2.0 * d->V * d->C;
}

double flops_attention(const struct dims *d, double keys)
{
    return 4.0 * d->Hq * d->D * keys;
}
