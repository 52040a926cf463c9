/* What messages between hosts reach: readings of links, what they say of each host, and which of
 * them are slow.
 *
 * A host is compared with the others: the median of its links against the median of the links that
 * it has no part in, so that one bad host is found among three. Pure: no MPI. */
#ifndef DUET_TRAINER_BENCH_LINKS_H
#define DUET_TRAINER_BENCH_LINKS_H

#include <jansson.h>
#include "comm/base/problems.h"

enum { END_NAME = 72, MOST_ROUNDS = 16 };

/* Who sends and receives: a host, or a rank when all of them share one host. */
struct end {
    char name[END_NAME];
    char interface[32];     /* that took the bytes; "-" none of the kernel's */
    double sends, receives; /* GB/s (1e9 bytes), medians of its links */
    double us;              /* one way, median */
    bool slow_sends, slow_receives;
};

struct link {
    int from, to;
    double gbs, us;  /* us: one way, the best */
    bool slow, sure; /* sure: measured again alone, to no better result */
};

struct links {
    struct end *end;
    struct link *link;
    int n, n_links;
    double median; /* GB/s of all links */
};

/* Round r of 0 .. rounds_all(n)-1: the partner of end i of n, -1: none; after all rounds
 * everybody has talked with everybody once (the circle method of tournaments). */
int rounds_all(int n);
int round_partner(int n, int round, int i);

/* Fills what is derived: medians, what is slow. */
void links_judge(struct links *l);
/* What is wrong, one text an end or link, "NAME: what; what to do": slow beside the others, or
 * beside `expected` GB/s (a cluster file's; 0: none). all_reduce: GB/s that each end sends in one,
 * 0: not measured. */
void links_findings(const struct links *l, double expected, double all_reduce, struct problems *p);

/* A line a pair, of many hosts only those that are slow; then a line an end: "host NAME sends ...
 * ". */
void links_print(const struct links *l);
/* {"ends": [...], "links": [...]}, a new reference. */
json_t *links_json(const struct links *l);

#endif
