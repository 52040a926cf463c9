#include "model/flops.h"

double flops_layer_at(const struct dims *d, int layer)
{
    double C = d->C, heads = (double)d->Hq * d->D;
    double ffn = dims_moe(d, layer) ? d->E * C + 3 * C * d->K * d->Fe : 3 * C * d->F;
    return 2 * (dims_qkv(d) * C + heads * C + ffn);
}

double flops_layer(const struct dims *d)
{
    double sum = 0;
    for (int layer = 0; layer < d->L; layer++) sum += flops_layer_at(d, layer);
    return sum / d->L;
}

double flops_head(const struct dims *d)
{
    return 2.0 * d->V * d->C;
}

double flops_attention(const struct dims *d, double keys)
{
    return 4.0 * d->Hq * d->D * keys;
}
