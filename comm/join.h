/* Terms that become one array, in an order that is the same everywhere (promise P4): what a sum
 * over ranks is once all of it is there. Local and pure, all of it. */
#ifndef DUET_COMM_JOIN_H
#define DUET_COMM_JOIN_H

#include <stddef.h>
#include "comm/codec.h"

/* What is added: n floats, as they came from the wire or as they are. */
struct join_term {
    enum codec wire;
    const void *at;
};

enum join_op { JOIN_SUM, JOIN_MAX };
/* How terms become one array, in the order of comm/coll.h: in runs of `inner`, the runs in order.
 */
struct join {
    enum join_op op;
    const struct join_term *before; /* stands before the first run; NULL: nothing does */
    const struct join_term *term;   /* (terms) */
    int terms, inner;
};

/* Where element `at` of a term is; at: a multiple of CODEC_BLOCK. */
const void *join_at(const struct join_term *t, size_t at);
/* to[0..n) = the terms' elements [at, at + n), joined; at: a multiple of CODEC_BLOCK. to may be
 * where a term has its element `at`. */
void join_host(float *to, const struct join *j, size_t at, size_t n);

#endif
