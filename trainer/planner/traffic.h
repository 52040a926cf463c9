/* Who sends how much to whom: bytes between hosts in one optimizer step and in a rollout, by kind. They
 * follow from what sends them: messages from the plan's rows, reductions from the optimizer's own buckets and slices
 * (optimizer_measure), exchanges from the layers of each pass.
 *
 * Bytes are payload. What a network adds (docs/PLANNER.md, "What crosses between hosts") is not in them. */
#ifndef DUET_TRAINER_PLAN_TRAFFIC_H
#define DUET_TRAINER_PLAN_TRAFFIC_H

#include "trainer/planner/memory.h"
#include "trainer/planner/predict.h"

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
/* Of one kind, or of all (TRAFFIC_KINDS). */
double traffic_at(const struct traffic *t, enum traffic_kind k, int from, int to);
/* All that a host sends to others, and gets from them; of all hosts together. */
double traffic_out(const struct traffic *t, enum traffic_kind k, int host);
double traffic_in(const struct traffic *t, enum traffic_kind k, int host);
double traffic_between(const struct traffic *t, enum traffic_kind k);
double traffic_inside(const struct traffic *t, enum traffic_kind k);

struct traffic_job {
    struct memory_job memory; /* settings, kernels, vocabulary */
    const struct plan *plan;
    const int *first; /* [chunks+1] layers of the chunks */
    double rows;      /* of a micro-batch, on average */
    int forwards;     /* further forward runs of all micro-batches */
};
/* Adds a step: every pass of the plan in every pipeline, one reduction, one gather of weights. Experts are taken to get equal parts of the
 * rows. */
void traffic_step(struct traffic *t, const struct traffic_job *j);
/* How much is sampled; tokens are means. */
struct rollout_size {
    double questions, samples; /* answers of each */
    double prompt, answer;     /* tokens */
};
/* Adds a rollout, whose questions all pipelines and directions share equally. Its waves are taken to be full. */
void traffic_rollout(struct traffic *t, const struct traffic_job *j, struct rollout_size size);
/* Adds what the sites of a job exchange, a step: t's ranks are those of all sites, one after the other. */
void traffic_sites(struct traffic *t, const struct memory_job *j);
/* Adds another's bytes, so many times. */
void traffic_join(struct traffic *t, const struct traffic *other, double times);

#endif
