/* A model as the planner sees it: how much there is of what, not what it computes. Made from a
 * recipe's dims, or given for a model that Duet does not train (latent attention, shared experts),
 * so that its step can be predicted all the same. */
#ifndef DUET_TRAINER_SCHEDULE_SHAPE_H
#define DUET_TRAINER_SCHEDULE_SHAPE_H

#include "model/dims.h"
#include "model/recompute.h"

/* What a row has computed again in a layer, by setting (model/recompute.h): elements of the
 * matrices that it meets, and of activations. */
struct shape_again {
    double matrices[RECOMPUTE_NEVER], acts[RECOMPUTE_NEVER];
};

struct shape {
    const char *name;
    int layers, dense;                  /* number of leading layers without experts */
    struct expert_layers expert_layers; /* of the others */
    double C, V;
    double attention; /* weights of a layer's attention */
    double key;       /* FLOPs of a row in a layer's attention for each key that it looks at */
    double ffn;       /* weights of a dense layer's FFN */
    double expert;    /* weights of one expert */
    double experts, active,
        shared; /* routed experts of a layer; those a row goes to; those every row goes to */
    double kept, kept_moe; /* elements that a dense layer, or one with experts, keeps of a row until
                              its backward, where nothing is computed again */
    struct shape_again again, again_moe;
    double send;  /* bytes of an element on its way to an expert */
    double nodes; /* a row goes to experts of at most this many nodes; 0: to any */
    bool tied;
    enum precision precision;
};

struct shape shape_of_dims(const struct dims *d);

bool shape_moe(const struct shape *s, int layer);
double shape_real_bytes(const struct shape *s);
/* Weights of a layer, and of all: the ends are the embedding and the head (one, when tied). */
double shape_layer_weights(const struct shape *s, int layer);
double shape_weights(const struct shape *s);
/* Weights that meet a row in the forward pass of a layer: of its experts those it goes to. */
double shape_layer_active(const struct shape *s, int layer);
/* Floating-point operations of one row, forward, with this many keys to attend to; a multiply-add
 * is two. */
double shape_layer_linear_flops(const struct shape *s, int layer);
double shape_attention_flops(const struct shape *s, double keys);
double shape_head_flops(const struct shape *s);
/* FLOPs of a row's training step, forward and backward: 3 x forward. The convention of MFU here:
 * all matrix products, attention's too (causal: half the context), of experts those a row goes to;
 * no recomputation, no embedding look-up. */
double shape_model_flops(const struct shape *s, double context);

#endif
