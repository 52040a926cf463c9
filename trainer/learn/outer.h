/* The outer optimizer of sites: groups of ranks that learn apart for H updates and then exchange
 * what they learned.
 *
 * DiLoCo (Douillard et al. 2023, arXiv 2311.08105): all sites hold the same outer parameters, learn
 * from them with AdamW on data of their own, and after H updates send how far they have come, d =
 * outer - master. With the mean D of the sites' d momentum = mu * momentum + D,   outer = outer -
 * lr * (D + mu * momentum)          (Nesterov) on every site alike. The exchange is in progress
 * while the next `delay` updates are made (as in Streaming DiLoCo, arXiv 2501.18512, and Eager
 * Updates, arXiv 2502.12996) and counts exactly `delay` updates after it began, on every site: what
 * a site has learned in between it keeps, master = outer + (master - master when the exchange
 * began), and it is part of the next exchange. At the end of a phase nothing is delayed: all sites
 * go on from the outer parameters.
 *
 * d crosses as `wire` says, rounded with error feedback (comm/codec.h). Every site adds up the same
 * numbers in the order of the sites, so that all get the same bits; each message carries a checksum
 * of its sender's outer parameters, and a difference ends the job. Everything is cut as the
 * optimizer's masters are: a rank exchanges its slices with the ranks of its number. */
#ifndef DUET_TRAINER_LEARN_OUTER_H
#define DUET_TRAINER_LEARN_OUTER_H

#include "comm/codec.h"
#include "trainer/learn/optimizer.h"

/* One bucket of the optimizer: my slice of it (n floats each). */
struct outer_slice {
    size_t n, at; /* at: where it begins in a message, bytes */
    float *outer, *momentum;
    float *start, *delta; /* the masters when the exchange began; the mean difference */
    float *lost;          /* what rounding lost; NULL in fp32 */
};

/* What exchanges that came to their end since the last call did; names of metrics: sites/... */
struct outer_stats {
    int exchanges;
    double seconds, exposed; /* clock readings, of the slowest rank: from begin to
                                arrival; waited for */
    double
        delta_norm; /* of the mean difference (what ranks of tp hold alike counts once for each) */
    double bytes;   /* sent by the site to the others */
    uint32_t checksum; /* of the site's outer parameters: equal on all sites */
};

struct outer {
    struct optimizer *optimizer;
    const struct world *world;
    long every, delay;
    enum codec wire;
    float lr, momentum;
    int n; /* slices */
    struct outer_slice *slice;
    struct exchange *exchange;
    int op;                 /* of the exchange */
    unsigned char *message; /* (sites): mine and the others' */
    size_t bytes;           /* of a message */
    size_t *count, *offset; /* (sites) */
    long began;             /* update after which the exchange under way began; 0: none is */
    bool arrived;           /* its result is in delta */
    double began_at;
    struct outer_stats stats;
    void (*idle)(void *ctx); /* called while it waits for other sites */
    void *idle_ctx;
    struct arena arena;
};

/* Collective over the job: w is a site (world_split_sites). idle may be NULL. */
void outer_new(struct outer *x, const struct settings *s, struct optimizer *o,
               const struct world *w, void (*idle)(void *ctx), void *idle_ctx);
/* What outer_new does before it allocates: x->arena.used. Local; nothing to free. */
void outer_measure(struct outer *x, const struct settings *s, struct optimizer *o, int sites);
/* Collective over the job; nothing may be under way. */
void outer_free(struct outer *x);

/* The masters, equal on all sites, become the outer parameters; momentum 0: at the start of a
 * phase. Local. */
void outer_begin(struct outer *x);
/* After update number `update` (from 1; skipped ones count) of the phase's `last`: begins an
 * exchange, or lets one count, when it is time. Collective over the site; waits for other sites
 * only where the exchange must count now. */
void outer_tick(struct outer *x, long update, long last);
/* Waits until what is under way has arrived, so that it can be saved; it counts when it would have.
 * Local, but for waiting. */
void outer_settle(struct outer *x);
struct outer_stats outer_take_stats(struct outer *x);

/* Slices of the state, as optimizer_slices: "outer/", "outer_m/", "outer_start/", "outer_delta/",
 * "outer_lost/". */
int outer_slices(struct outer *x, struct slice *out, int what);
/* Restores a state that was read: `began` as saved after outer_settle. Local. */
void outer_resume(struct outer *x, long began);

#endif
