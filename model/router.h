/* How a layer of experts chooses: one row a kind of router. */
#ifndef DUET_MODEL_ROUTER_H
#define DUET_MODEL_ROUTER_H

#include "model/block.h"

struct router {
    const char *name;
    /* Fills k->prob, (T, E), from the rows k->n2 and the router's matrix, real (E, C). */
    void (*score)(const struct chunk *c, struct moe_acts *k, const void *w, int T);
    /* Fills k->expert and k->weight, (T, K), from k->prob. */
    void (*select)(const struct chunk *c, struct moe_acts *k, int T);
    /* k->prob becomes the gradient of the products with the router's matrix. dweight (T, K); count
     * (E) is scratch. */
    void (*backward)(const struct pass *p, struct moe_acts *k, const float *dweight, int *count);
};

/* The row of the model's dims. */
const struct router *router_of(const struct dims *d);

#endif
