/* A table of bytes between hosts, by kind. What sends them fills it
 * (traffic_step.h, reduction.h).
 *
 * Bytes are payload. What a network adds (docs/lab/planner.md, "Bytes between hosts") is not in
 * them. */
#ifndef DUET_TRAINER_PLANNER_TRAFFIC_H
#define DUET_TRAINER_PLANNER_TRAFFIC_H

enum traffic_kind {
    TRAFFIC_STAGES,  /* activations and gradients from stage to stage */
    TRAFFIC_REDUCE,  /* gradients to the owners of their slices */
    TRAFFIC_GATHER,  /* updated weights from their owners to all replicas */
    TRAFFIC_TENSOR,  /* sums over tp */
    TRAFFIC_EXPERTS, /* rows to the experts and back, and how many there are */
    TRAFFIC_ANSWERS, /* sampled tokens to all ranks */
    TRAFFIC_SITES,   /* how far sites have come, on average over the steps between two exchanges */
    TRAFFIC_SUMS,    /* losses, norms and times over all ranks */
    TRAFFIC_KINDS
};
const char *traffic_kind_name(enum traffic_kind k);

struct traffic {
    int hosts, ranks;
    const int *host; /* [ranks] where each is; kept */
    double *bytes;   /* [kind][from][to] between hosts; from = to: inside one */
};
/* All zero. */
void traffic_new(struct traffic *t, int hosts, int ranks, const int *host);
void traffic_free(struct traffic *t);
/* From rank to rank. */
void traffic_add(struct traffic *t, enum traffic_kind k, int from, int to, double bytes);
/* Bytes of one kind, or of all (TRAFFIC_KINDS). */
double traffic_at(const struct traffic *t, enum traffic_kind k, int from, int to);
/* All that a host sends to others, and gets from them; of all hosts together. */
double traffic_out(const struct traffic *t, enum traffic_kind k, int host);
double traffic_in(const struct traffic *t, enum traffic_kind k, int host);
double traffic_between(const struct traffic *t, enum traffic_kind k);
double traffic_inside(const struct traffic *t, enum traffic_kind k);

/* Adds another's bytes, this many times. */
void traffic_join(struct traffic *t, const struct traffic *other, double times);

#endif
