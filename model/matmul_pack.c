#include "model/matmul_pack.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "model/tile_rows.h"
#include "model/widen.h"

/* A plain matrix with these strides: no blocks, no padding. */
static bool lies(const dnnl_memory_desc_t *m, dnnl_dim_t row_stride, dnnl_dim_t col_stride)
{
    const dnnl_blocking_desc_t *b = &m->format_desc.blocking;
    return m->format_kind == dnnl_blocked && b->inner_nblks == 0 && m->offset0 == 0 &&
           b->strides[0] == row_stride && b->strides[1] == col_stride;
}

static void choose(struct matmul_pack *p, const dnnl_memory_desc_t *stored,
                   const dnnl_memory_desc_t *packed)
{
    const dnnl_dim_t *size = stored->dims, *stride = stored->format_desc.blocking.strides;
    bool as_viewed = stride[1] == 1; /* else the view's transpose lies row by row */
    p->rows = (size_t)size[as_viewed ? 0 : 1];
    p->cols = (size_t)size[as_viewed ? 1 : 0];
    p->way = PACK_REORDER;
    if (stored->data_type != dnnl_bf16 || packed->data_type != dnnl_f32) return;
    dnnl_dim_t rows = (dnnl_dim_t)p->rows;
    if (lies(packed, stride[0], stride[1])) p->way = PACK_WIDEN;
    if (lies(packed, as_viewed ? 1 : rows, as_viewed ? rows : 1)) p->way = PACK_WIDEN_TRANSPOSED;
}

void matmul_pack_make(struct matmul_pack *p, dnnl_engine_t engine, const dnnl_memory_desc_t *stored,
                      const dnnl_memory_desc_t *packed)
{
    dnnl_primitive_desc_t pd;
    *p = (struct matmul_pack){0};
    choose(p, stored, packed);
    if (p->way != PACK_REORDER) return;
    DNNL_OK(dnnl_reorder_primitive_desc_create(&pd, stored, engine, packed, engine, NULL));
    DNNL_OK(dnnl_primitive_create(&p->reorder, pd));
    DNNL_OK(dnnl_primitive_desc_destroy(pd));
    DNNL_OK(dnnl_memory_create(&p->from, stored, engine, DNNL_MEMORY_NONE));
    DNNL_OK(dnnl_memory_create(&p->to, packed, engine, DNNL_MEMORY_NONE));
}

void matmul_pack_free(struct matmul_pack *p)
{
    if (p->way == PACK_REORDER) {
        DNNL_OK(dnnl_primitive_destroy(p->reorder));
        DNNL_OK(dnnl_memory_destroy(p->from));
        DNNL_OK(dnnl_memory_destroy(p->to));
    }
    *p = (struct matmul_pack){0};
}

/* By strips of columns, in each by pairs of rows (oneDNN's BA16a64b2a). */
bool matmul_pack_is_strips(const dnnl_memory_desc_t *packed)
{
    const dnnl_blocking_desc_t *b = &packed->format_desc.blocking;
    const dnnl_dim_t inner[] = {TILE_DEPTH / 2, TILE_COLUMNS, 2}, which[] = {0, 1, 0};
    if (packed->data_type != dnnl_bf16 || packed->format_kind != dnnl_blocked) return false;
    return b->inner_nblks == 3 && packed->offset0 == 0 &&
           memcmp(b->inner_blks, inner, sizeof inner) == 0 &&
           memcmp(b->inner_idxs, which, sizeof which) == 0 &&
           b->strides[0] == TILE_DEPTH * TILE_COLUMNS &&
           b->strides[1] == packed->padded_dims[0] * TILE_COLUMNS;
}

static void reorder_run(const struct matmul_pack *p, dnnl_stream_t stream, void *packed,
                        const void *stored)
{
    union {
        const void *in;
        void *out;
    } from = {.in = stored}; /* which the library only reads */
    DNNL_OK(dnnl_memory_set_data_handle(p->from, from.out));
    DNNL_OK(dnnl_memory_set_data_handle(p->to, packed));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, p->from}, {DNNL_ARG_TO, p->to}};
    DNNL_OK(dnnl_primitive_execute(p->reorder, stream, 2, args));
    DNNL_OK(dnnl_stream_wait(stream));
}

void matmul_pack_run(const struct matmul_pack *p, dnnl_stream_t stream, void *packed,
                     const void *stored)
{
    if (p->way == PACK_WIDEN)
        widen(packed, stored, p->rows * p->cols);
    else if (p->way == PACK_WIDEN_TRANSPOSED)
        widen_transposed(packed, stored, p->rows, p->cols);
    else
        reorder_run(p, stream, packed, stored);
}
