/* Which parts a layer and a run of layers are made of, and what follows from their tables. */
#include "model/part.h"

/* --- kinds of layers --- */

enum layer_kind { LAYER_DENSE, LAYER_EXPERTS };
enum { LAYER_PARTS = 2 };
static const struct part *const layer_kind[][LAYER_PARTS + 1] = {
    [LAYER_DENSE] = {&PART_ATTENTION, &PART_FFN},
    [LAYER_EXPERTS] = {&PART_ATTENTION, &PART_MOE},
};

static enum layer_kind layer_kind_of(const struct dims *d, int layer)
{
    return dims_moe(d, layer) ? LAYER_EXPERTS : LAYER_DENSE;
}

const struct part *const *layer_parts(const struct dims *d, int layer)
{
    return layer_kind[layer_kind_of(d, layer)];
}

static void add_part(struct part_at *out, int *n, const struct part *part, int layer)
{
    if (out) out[*n] = (struct part_at){part, layer};
    ++*n;
}

int span_parts(const struct dims *d, struct chunk_span span, struct part_at *out)
{
    int n = 0;
    if (span.embed) add_part(out, &n, &PART_EMBED, -1);
    for (int layer = span.first; layer < span.first + span.count; layer++)
        for (const struct part *const *p = layer_parts(d, layer); *p; p++)
            add_part(out, &n, *p, layer);
    if (span.head) add_part(out, &n, &PART_HEAD, d->L);
    return n;
}

/* --- what follows --- */

double part_elements(const struct part *p, const struct dims *d, enum param_role role)
{
    struct tensor_size shape[PART_PARAMS];
    double sum = 0;
    p->params.shapes(shape, d);
    for (int i = 0; i < p->params.n; i++)
        if (p->params.row[i].role == role) sum += (double)shape[i].rows * shape[i].cols;
    return sum;
}

/* Only the K chosen experts of E compute for a token. Embedding and norms are no matrix products.
 */
double part_matrices(const struct part *p, const struct dims *d)
{
    struct tensor_size shape[PART_PARAMS];
    double sum = 0;
    p->params.shapes(shape, d);
    for (int i = 0; i < p->params.n; i++) {
        double n = (double)shape[i].rows * shape[i].cols;
        switch (p->params.row[i].role) {
        case ROLE_EXPERT: sum += n / d->E * d->K; break;
        case ROLE_MATRIX:
        case ROLE_ROUTER:
        case ROLE_HEAD: sum += n; break;
        case ROLE_NORM:
        case ROLE_BIAS:
        case ROLE_SCORE:
        case ROLE_EMBEDDING: break;
        }
    }
    return sum;
}

/* The last product of experts (outputs) and of another part (last) only where it is needed again.
 * Routing is kept. */
static double matrices_again(const struct part *p, const struct dims *d, bool outputs, bool last)
{
    struct tensor_size shape[PART_PARAMS];
    double sum = 0;
    p->params.shapes(shape, d);
    for (int i = 0; i < p->params.n; i++) {
        const struct param_row *row = &p->params.row[i];
        double n = (double)shape[i].rows * shape[i].cols;
        if (row->role == ROLE_EXPERT && (outputs || !row->adds)) sum += n / d->E * d->K;
        if (row->role == ROLE_MATRIX && (last || !row->adds)) sum += n;
    }
    return sum;
}

double layer_matrices_again(const struct dims *d, int layer, enum recompute recompute)
{
    double sum = 0;
    bool full = recompute == RECOMPUTE_FULL;
    if (!recompute_has(recompute, RECOMPUTE_PRODUCTS)) return 0;
    for (const struct part *const *p = layer_parts(d, layer); *p; p++)
        sum += matrices_again(*p, d, full, full && p[1]);
    return sum;
}

/* Bytes of T rows, one rank with all experts, the residual stream included. */
static double kept_of(const struct dims *d, int layer, enum recompute recompute, size_t T)
{
    struct act_sizes r = {.d = d,
                          .T = T,
                          .here = T,
                          .R = T * (size_t)d->K,
                          .ep = 1,
                          .training = true,
                          .kept = true,
                          .recompute = recompute};
    const struct part *const *first = layer_parts(d, layer);
    double n = 0;
    for (const struct part *const *p = first; *p; p++) {
        struct act act[PART_ACTS];
        (*p)->acts.list(act, &r);
        for (int i = 0; i < (*p)->acts.n; i++)
            n += act[i].type == ACT_REAL && !act[i].again ? (double)act[i].n : 0;
        if (p == first || recompute < RECOMPUTE_FULL) n += (double)T * d->C;
    }
    return n;
}

double layer_kept(const struct dims *d, int layer, enum recompute recompute)
{
    return kept_of(d, layer, recompute, 2) - kept_of(d, layer, recompute, 1);
}

size_t layer_cache_bytes(const struct ops *ops, const struct dims *d, int layer)
{
    size_t bytes = 0;
    for (const struct part *const *p = layer_parts(d, layer); *p; p++)
        if ((*p)->cache_bytes) bytes += (*p)->cache_bytes(ops, d);
    return bytes;
}
