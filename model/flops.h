/* What a row costs: floating-point operations of its forward pass, a multiply-add being two. In
 * linear layers the input gradient and the weight gradient cost as much each. Looking up an
 * embedding, norms and rotations do not count. */
#ifndef DUET_MODEL_FLOPS_H
#define DUET_MODEL_FLOPS_H

#include "model/dims.h"

/* The linear layers of decoder layer `layer`: of experts, those that a row goes to. */
double flops_layer_at(const struct dims *d, int layer);
double flops_layer(const struct dims *d); /* mean of the layers */
double flops_head(const struct dims *d);
/* One layer's attention of a query to this number of keys: a product with each key, a product with
 * each value. */
double flops_attention(const struct dims *d, double keys);

#endif
