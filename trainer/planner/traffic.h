/* Bytes that hosts send each other, by kind. What sends them fills it (traffic_step.h,
 * reduction.h).
 *
 * What each host sends and gets is always there; the table of all pairs only where it is wanted: of
 * 16,384 hosts it would have 17 GB.
 *
 * Bytes are payload. What a network adds (docs/lab/planner.md, "Bytes between hosts") is not in
 * them. */
#ifndef DUET_TRAINER_PLANNER_TRAFFIC_H
#define DUET_TRAINER_PLANNER_TRAFFIC_H

#include <stdbool.h>

enum traffic_kind {
    TRAFFIC_STAGES,  /* activations and gradients from stage to stage */
    TRAFFIC_REDUCE,  /* gradients to the owners of their slices */
    TRAFFIC_GATHER,  /* updated weights from their owners to all replicas */
    TRAFFIC_TENSOR,  /* sums over tp */
    TRAFFIC_EXPERTS, /* rows to the experts and back, and how many there are */
    TRAFFIC_ANSWERS, /* lengths to all ranks, tokens to where they are learned from */
    TRAFFIC_SITES,   /* how far sites have come, on average over the steps between two exchanges */
    TRAFFIC_SUMS,    /* losses, norms and times over all ranks */
    TRAFFIC_KINDS
};
const char *traffic_kind_name(enum traffic_kind k);

struct traffic {
    int hosts, ranks;
    const int *host;           /* [ranks] where each is; kept */
    double *out, *in, *inside; /* [kind][host] to others, from others, within one */
    double *pair;              /* [kind][from][to], from = to: inside one; NULL: not wanted */
    long long added;           /* numbers that something was added to: the work it took */
    double times;              /* what is added counts so often; 1 at first */
};
/* All zero. pairs: traffic_at will be asked. */
void traffic_new(struct traffic *t, int hosts, int ranks, const int *host, bool pairs);
void traffic_free(struct traffic *t);
/* From rank to rank. */
void traffic_add(struct traffic *t, enum traffic_kind k, int from, int to, double bytes);
/* From each of n different hosts to each other of them the product of what the one gives and the
 * other takes; within each what it keeps. So all of a group, however many, are added at once. */
struct traffic_share {
    int host;
    double gives, takes, keeps;
};
void traffic_add_shares(struct traffic *t, enum traffic_kind k, const struct traffic_share *s,
                        int n);
/* Bytes of one kind, or of all (TRAFFIC_KINDS). With pairs. */
double traffic_at(const struct traffic *t, enum traffic_kind k, int from, int to);
/* All that a host sends to others, gets from them, and its ranks send each other; of all hosts
 * together. */
double traffic_out(const struct traffic *t, enum traffic_kind k, int host);
double traffic_in(const struct traffic *t, enum traffic_kind k, int host);
double traffic_within(const struct traffic *t, enum traffic_kind k, int host);
double traffic_between(const struct traffic *t, enum traffic_kind k);
double traffic_inside(const struct traffic *t, enum traffic_kind k);

/* Adds another's bytes, this many times; it has pairs where t has. */
void traffic_join(struct traffic *t, const struct traffic *other, double times);

#endif
