/* A weight from the order in which it is stored to the order in which the matrix library wants it
 * (model/matmul.c, which alone includes this).
 *
 * Where that is a plain matrix of floats and the stored one is bf16, we widen it ourselves
 * (model/widen.h): the library has only its reference loop for that, 86 ns an element. Else the
 * library's reorder does it. */
#ifndef DUET_MODEL_MATMUL_PACK_H
#define DUET_MODEL_MATMUL_PACK_H

#include <dnnl.h>
#include <stdbool.h>
#include <stddef.h>

#include "comm/base/die.h"

#define DNNL_OK(call)                                                                              \
    do {                                                                                           \
        dnnl_status_t status_ = (call);                                                            \
        if (status_ != dnnl_success)                                                               \
            die_fmt(__FILE__, __LINE__, EXIT_WORLD, #call, "see the oneDNN manual for the status", \
                    "oneDNN status %d", (int)status_);                                             \
    } while (0)

struct matmul_pack {
    enum { PACK_REORDER, PACK_WIDEN, PACK_WIDEN_TRANSPOSED } way;
    size_t rows, cols; /* as stored, row by row */
    dnnl_primitive_t reorder;
    dnnl_memory_t from, to;
};

/* stored: a view of a matrix that lies row by row, or of its transpose. Local; the other two after
 * it. */
void matmul_pack_make(struct matmul_pack *p, dnnl_engine_t engine, const dnnl_memory_desc_t *stored,
                      const dnnl_memory_desc_t *packed);
void matmul_pack_free(struct matmul_pack *p);
/* Does a packed weight lie as model/tile_rows.h reads it? */
bool matmul_pack_is_strips(const dnnl_memory_desc_t *packed);
void matmul_pack_run(const struct matmul_pack *p, dnnl_stream_t stream, void *packed,
                     const void *stored);

#endif
