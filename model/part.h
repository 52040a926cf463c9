/* A part: a piece of a layer (attention, FFN) or an end of the model (embedding, head), whole in
 * one row.
 *
 * A row says which tensors the part has (a table of params.h), what it keeps of a micro-batch and
 * what it works on (tables of acts.h), what a block of its cache holds, what it costs, and what it
 * does in passes of each kind. Placing and packing weights, laying out activations, naming tensors
 * and counting FLOPs follow from the rows, here and in chunk.c and slot.c. Which parts a layer is
 * made of is a table, too (part.c): a new architecture is new rows, not new branches. */
#ifndef DUET_MODEL_PART_H
#define DUET_MODEL_PART_H

#include "model/acts.h"
#include "model/ops.h"
#include "model/params.h"

/* --- tensors --- */

struct param_row {
    const char *name;
    enum param_role role;
    enum param_cut cut;
    bool adds;
    const char *hf;
};
struct tensor_size {
    int rows, cols; /* 0, 0: there is no such tensor */
};
enum { PART_PARAMS = 8 };
struct param_table {
    int n;
    const struct param_row *row;                                   /* [n] */
    void (*shapes)(struct tensor_size *out, const struct dims *d); /* [n] */
};
/* From a table X(name, role, rows, cols, there, cut, adds, hf): NAME##_params. */
#define PARAM_ROW(name, role, rows, cols, there, cut, adds, hf) {#name, role, cut, adds, hf},
#define PARAM_SHAPE(name, role, rows, cols, there, cut, adds, hf) \
    *out++ = (there) ? (struct tensor_size){rows, cols} : (struct tensor_size){0, 0};
#define PARAM_TABLE(NAME, TABLE)                                                    \
    static const struct param_row NAME##_param_rows[] = {TABLE(PARAM_ROW)};         \
    static void NAME##_param_shapes(struct tensor_size *out, const struct dims *d)  \
    {                                                                               \
        TABLE(PARAM_SHAPE)                                                          \
    }                                                                               \
    enum { NAME##_tensors = sizeof NAME##_param_rows / sizeof *NAME##_param_rows }; \
    _Static_assert(NAME##_tensors <= (int)PART_PARAMS, "too many tensors in a part");
#define PARAMS_OF(NAME)                                        \
    {                                                          \
        NAME##_tensors, NAME##_param_rows, NAME##_param_shapes \
    }

/* --- the row --- */

struct chunk;
struct pass;
struct unit; /* a part in its place in a chunk (block.h) */
typedef void sub_step(struct pass *p, const struct unit *u);
enum { SUB_STEPS = 8 };

struct part {
    const char *name;
    struct param_table params;
    struct act_table acts;    /* kept from F until W */
    struct act_table scratch; /* used within one step */
    /* Memory that all parts of this kind share in a chunk; NULL: none. */
    void (*place)(struct chunk *c, struct arena *a);
    /* Bytes of a cache block of KV_BLOCK positions; NULL: nothing is kept of past positions. */
    size_t (*cache_bytes)(const struct ops *ops, const struct dims *d);
    /* FLOPs of a row for each position that it looks back to; NULL: 0. Those of its matrices follow
     * from the tensors. */
    double (*flops_key)(const struct dims *d);
    /* In a backward pass, before backward_input: fills the lines of acts that the chunk's setting
     * does not keep (recompute.h), from the part's input and what is kept. Where a whole layer is
     * computed again that is done for its last part; the others go forward. Ends with NULL, as the
     * following. A sub-step computes, and may post one exchange at its end. Forward writes the
     * output last, when the input is not read any more: where nothing is kept they lie in the same
     * memory. */
    sub_step *recompute[SUB_STEPS + 1];
    sub_step *forward[SUB_STEPS + 1];
    sub_step *backward_input[SUB_STEPS + 1];
    sub_step *backward_weight[SUB_STEPS + 1];
};
extern const struct part PART_EMBED, PART_ATTENTION, PART_FFN, PART_MOE, PART_HEAD;

/* --- which parts there are --- */

struct part_at {
    const struct part *part;
    int layer; /* as in struct param */
};
/* The parts of a run of layers, with or without ends, in forward order; out NULL: only how many.
 * Local. */
int span_parts(const struct dims *d, struct chunk_span span, struct part_at *out);
/* The parts of a layer, NULL behind the last. */
const struct part *const *layer_parts(const struct dims *d, int layer);

/* Elements of all the tensors of a role in a part. d: the whole model. */
double part_elements(const struct part *p, const struct dims *d, enum param_role role);
/* Elements of the matrices that a row meets in a part: of experts, K. d: the whole model. */
double part_matrices(const struct part *p, const struct dims *d);
/* Elements of the matrices that a row meets again in a layer. d: the whole model. */
double layer_matrices_again(const struct dims *d, int layer, enum recompute recompute);
/* Elements as wide as activations that a row keeps in a layer from F until W: lines of type REAL
 * and the residual stream. Statistics and routing, a few numbers a row, do not count. d: the whole
 * model on one rank. */
double layer_kept(const struct dims *d, int layer, enum recompute recompute);
/* Bytes of a cache block of a layer. d: this rank's share. */
size_t layer_cache_bytes(const struct ops *ops, const struct dims *d, int layer);

#endif
