/* Rows of struct ops that a device's table does not have yet: the host's row stands in, with copies
 * of its operands around it. Slow and right, counted and named in the log (comm/base/missing.h). */
#ifndef DUET_MODEL_OPS_STAGED_H
#define DUET_MODEL_OPS_STAGED_H

#include "comm/base/device.h"
#include "model/ops.h"
#include "model/ops_rows.h"

/* Fills those of OPS_TENSOR_ROWS that t lacks with the best rows of the host, over copies of d's
 * memory; they allocate. name, isa, precision and real_bytes of t are there. One table at a time in
 * a process; t->name and d are kept. Local. */
void ops_stage(struct ops *t, const struct device *d);

/* How a stand-in gets at its operands: where the host can touch the `bytes` at an address of the
 * device's; then all that were asked for since are given back, those written with what is in them
 * now. */
struct operands {
    const void *(*read)(const void *at, size_t bytes);
    void *(*write)(void *at, size_t bytes);
    void (*close)(void);
};
/* The same over operands as they come: by way of copies (ops_stage); in tests, where the device's
 * own kernels would see them. table: what is said to lack the rows; NULL: nothing is. */
void ops_stand_in(struct ops *t, const struct ops *host, struct operands operands,
                  const char *table);

#endif
