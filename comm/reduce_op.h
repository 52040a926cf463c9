/* Inside comm/reduce_*.c: an open reduction, and what its paths share.
 *
 * A path is a table row: begin lays an operation's streams into its scratch and makes them ready,
 * move does what can be done without waiting. Both are called with the lock of reduce.c, by
 * whatever thread. */
#ifndef DUET_COMM_REDUCE_OP_H
#define DUET_COMM_REDUCE_OP_H

#include "comm/reduce.h"
#include "comm/stream.h"

/* Kinds of messages of a reduction: contributions, the running sum, finished sums; of a gather. */
enum reduce_kind { KIND_TERM, KIND_CHAIN, KIND_SUM, KIND_SLICE, KINDS };
enum { SEQUENCE = 64 }; /* reductions after which tags repeat: tags do not grow with the members */
_Static_assert(SEQUENCE *KINDS <= P2P_TAGS, "tags of a reduction");

/* Floats of a piece, and of a column, in a reduction of n floats: multiples of CODEC_BLOCK. */
size_t reduce_piece(size_t n);
size_t reduce_column(const struct reduce_map *m, size_t n);
int reduce_streams(const struct reduce_form *f);

struct reduce_way;
struct reduction {
    bool used, done;
    const struct reduce_way *way;
    struct reduce_job job; /* of a gather: count and offset */
    void *gathered;        /* of a gather: its buffer */
    size_t elem_bytes;
    size_t n, piece; /* floats: all slices, a piece */
    int sequence;
    struct stream *stream; /* (reduce_streams) */
    int n_streams;
    struct join_term *term; /* (members) */
    float *room;            /* of scratch, what is not taken yet */
    size_t summed;          /* pieces */

    /* nodes: */
    struct join_term before;          /* the running sum that comes */
    float *sum;                       /* the one that is formed: my column */
    int terms_out, sums_out, sums_in; /* where these streams begin: contributions sent, sums sent
                                         (or the chain), my slice */
};

struct reduce {
    struct reduce *next;
    const struct transport *transport;
    struct reduce_form form;
    struct p2p *p2p;
    int max_open, n_open, started;
    struct reduction *op; /* (max_open) */
    struct stream *stream;
    struct join_term *term;
    int *node;
    const char *tag_name[SEQUENCE * KINDS];
    double waited;
    unsigned long long crossed;
};

struct reduce_way {
    void (*begin)(struct reduce *r, struct reduction *op);
    bool (*move)(struct reduce *r, struct reduction *op); /* true: something moved */
};
extern const struct reduce_way reduce_flat, reduce_nodes, reduce_gathers;

bool reduce_crosses(const struct reduce *r, int member);
float *reduce_take(struct reduction *op, size_t floats);
/* The tag of this operation's messages of a kind. */
int reduce_tag(const struct reduction *op, enum reduce_kind kind);
/* A stream of n floats to or from a member; its index. */
int reduce_stream(struct reduce *r, struct reduction *op, enum reduce_kind kind, int peer,
                  bool send, enum codec wire, void *buf, size_t n);
/* The first n streams: pieces through in all of them. */
size_t reduce_through(const struct reduction *op, int first, int n);
bool reduce_move_streams(struct reduce *r, struct reduction *op);
#endif
