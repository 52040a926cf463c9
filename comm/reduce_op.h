/* Inside comm/reduce_*.c: an open reduction, and what its paths share.
 *
 * A path is a table row: begin lays an operation's streams into its scratch and makes them ready,
 * move does what can be done without waiting. Both are called with the lock of reduce.c, by
 * whatever thread. */
#ifndef DUET_COMM_REDUCE_OP_H
#define DUET_COMM_REDUCE_OP_H

#include "comm/reduce_few.h"
#include "comm/stream.h"

/* Kinds of messages of a reduction: contributions, the running sum, finished sums; of a gather. */
enum reduce_kind { KIND_TERM, KIND_CHAIN, KIND_SUM, KIND_SLICE, KINDS };
enum { REDUCE_WINDOW = 64, REDUCE_SMALL = 64 << 10 }; /* floats */
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
    size_t elem_bytes;     /* of a gather; 0: of a sum */
    size_t n, piece;       /* floats: all slices, a piece */
    int sequence;
    struct stream *stream; /* (reduce_streams) */
    int n_streams;
    struct stream_list awake; /* those that may be able to move */
    int left, behind; /* the first not through; of the terms, the first not ahead of summed */
    /* Between all pairs: stream k receives from the k-th before, stream pairs + k sends to the k-th
     * behind. Of either kind those before `passed` are through, those from `begun` on wait. */
    int pairs;
    struct reduce_window {
        int passed, begun;
    } in, out;
    struct join_term *term; /* (members) */
    float *room;            /* of scratch, what is not taken yet */
    size_t summed;          /* pieces */

    /* nodes: */
    struct join_term before; /* the running sum that comes */
    float *sum;              /* the one that is formed: my column */
    /* where these streams begin: contributions sent, sums sent (or the chain), my slice and those
     * that I pass on, as these leave */
    int terms_out, sums_out, sums_in, passed_on;

    /* gathers by doubling: where sends begin; receives that are through, sends that may go */
    int sends, heard, told;
};

struct reduce {
    struct reduce *next;
    const struct transport *transport;
    struct reduce_form form;
    struct p2p *p2p;
    int max_open, n_open, started;
    int window; /* peers that a reduction between all pairs has pieces open with, each way */
    struct reduction *op; /* (max_open) */
    struct stream *stream;
    struct p2p_owner *owner; /* of each stream; NULL in tests that post nothing */
    struct join_term *term;
    int *node;
    const char *tag_name[SEQUENCE * KINDS];
    double waited;
    unsigned long long crossed;
    unsigned long long looks; /* at streams: tests/mpi/test_reduce_steps */
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
struct p2p_owner *reduce_owner(const struct reduce *r, const struct stream *s);
/* A stream of n floats to or from a member; its index. */
int reduce_stream(struct reduce *r, struct reduction *op, enum reduce_kind kind, int peer,
                  bool send, enum codec wire, void *buf, size_t n);
/* The first n streams: pieces through in all of them. */
size_t reduce_through(const struct reduction *op, int first, int n);
/* All streams between all pairs are there: only the first few begin. Every member goes through its
 * peers in the same order of distances, so the nearest pair that is not through can always go on.
 */
void reduce_pairs(struct reduce *r, struct reduction *op);
/* Those of the first n streams: is a piece more than is summed through in all of them? A stream
 * that was seen to be ahead is not looked at again. */
bool reduce_ahead(struct reduce *r, struct reduction *op, int n);
/* Only those that are awake. */
bool reduce_move_streams(struct reduce *r, struct reduction *op);
#endif
