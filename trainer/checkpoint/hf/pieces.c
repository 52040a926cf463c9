#include "trainer/checkpoint/hf/pieces.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"

static int pieces_of(const struct param *p)
{
    char name[128];
    int n = 0;
    while (param_hf_name(p, n, name, sizeof name)) n++;
    return n;
}

/* Fused q, k, v are cut at heads, q with its own number of them; other fused tensors into equal
 * pieces. `lo` is the sum of the pieces before. */
bool hf_piece_of(struct hf_piece *out, const struct param *p, const struct dims *d, int i,
                 size_t lo)
{
    if (!param_hf_name(p, i, out->name, sizeof out->name)) return false;
    bool vector = p->shape[1] == 0;
    size_t cols = vector ? 1 : (size_t)p->shape[p->shape[2] ? 2 : 1];
    size_t heads = (size_t)(i == 0 ? d->Hq : d->Hkv), pieces = (size_t)pieces_of(p);
    INVARIANT(cols > 0 && pieces > 0, "%s has no columns, or no name", p->name);
    size_t rows = p->cut == CUT_HEADS ? heads * (size_t)d->D : p->whole / cols / pieces;
    out->lo = lo;
    out->n = rows * cols;
    out->rank = vector ? 1 : 2;
    out->shape[0] = rows;
    out->shape[1] = vector ? 0 : cols;
    return true;
}

static int param_order(const void *a, const void *b)
{
    return strcmp((*(const struct param *const *)a)->name, (*(const struct param *const *)b)->name);
}

void hf_model_make(struct hf_model *m, const struct dims *d)
{
    *m = (struct hf_model){.dims = *d};
    m->dims.tp = m->dims.t = m->dims.ep = m->dims.e = m->dims.held = 0;
    param_list_make(&m->list, &m->dims, chunk_span_of(&m->dims, 1, 0));
    m->sorted = memory_take((size_t)m->list.n, sizeof *m->sorted, "names of tensors");
    for (int i = 0; i < m->list.n; i++) m->sorted[i] = &m->list.p[i];
    qsort(m->sorted, (size_t)m->list.n, sizeof *m->sorted, param_order);
}

void hf_model_free(struct hf_model *m)
{
    free(m->sorted);
    param_list_free(&m->list);
    *m = (struct hf_model){0};
}

const struct param *hf_model_find(const struct hf_model *m, const char *name)
{
    struct param key = {0};
    const struct param *k = &key;
    if (strlen(name) >= sizeof key.name) return NULL;
    strcpy(key.name, name);
    const struct param **at =
        bsearch(&k, m->sorted, (size_t)m->list.n, sizeof *m->sorted, param_order);
    return at ? *at : NULL;
}
