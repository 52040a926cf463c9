#include "trainer/bench/links.h"

#include <stdio.h>
#include <stdlib.h>
#include "comm/base/memory.h"
#include "comm/base/problems.h"

/* Half of what the others reach is no scatter any more: unshaped links of one testbed differ by
 * less. */
static const double SLOW = 0.5;
enum {
    FEW = 16
}; /* up to here every pair is printed, and one host weighs something in a median of all */

/* ---- pairing ---- */

int rounds_all(int n)
{
    return n < 2 ? 0 : n - 1 + n % 2;
}

/* Ends 0 .. m-1 on a circle: i and j talk in the round in which i + j = 2 * round (mod m). The one
 * who would talk to himself talks with end m, or, with an odd number of ends, rests. */
int round_partner(int n, int round, int i)
{
    int m = rounds_all(n), partner;
    if (m == 0) return -1;
    if (i == m) return round;
    partner = (2 * round - i + 2 * m) % m;
    if (partner == i) partner = m;
    return partner < n ? partner : -1;
}

/* ---- medians ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    if (n == 0) return 0;
    qsort(x, (size_t)n, sizeof *x, compare);
    return (x[(n - 1) / 2] + x[n / 2]) / 2;
}

/* The median of the links that involve neither a nor b (-1: none). *n: how many they are.
 */
static double median_without(const struct links *l, int a, int b, int *n)
{
    double *x = memory_take((size_t)l->n_links, sizeof *x, "rates of links"), m;
    *n = 0;
    for (int i = 0; i < l->n_links; i++) {
        const struct link *k = &l->link[i];
        if (k->from != a && k->from != b && k->to != a && k->to != b) x[(*n)++] = k->gbs;
    }
    m = median(x, *n);
    free(x);
    return m;
}

enum link_part { SENDS, RECEIVES, LATENCY };

/* The median of one end's links. */
static double median_of(const struct links *l, int e, enum link_part part, int *n)
{
    double *x = memory_take((size_t)l->n_links, sizeof *x, "rates of links"), m;
    *n = 0;
    for (int i = 0; i < l->n_links; i++) {
        const struct link *k = &l->link[i];
        if (part == SENDS && k->from == e) x[(*n)++] = k->gbs;
        if (part == RECEIVES && k->to == e) x[(*n)++] = k->gbs;
        if (part == LATENCY && (k->from == e || k->to == e)) x[(*n)++] = k->us;
    }
    m = median(x, *n);
    free(x);
    return m;
}

/* What the others reach: those that a and b have no part in; of two hosts, the other direction. */
static double others(const struct links *l, int a, int b, double gbs)
{
    int n;
    if (l->n > FEW) return l->median;
    double m = median_without(l, a, b, &n);
    if (n > 0) return m;
    for (int i = 0; i < l->n_links; i++)
        if (l->link[i].gbs > gbs) gbs = l->link[i].gbs;
    return gbs;
}

/* Each is compared with the median of the others, so that one slow end does not make others look
 * slow. */
void links_judge(struct links *l)
{
    int n;
    l->median = median_without(l, -1, -1, &n);
    for (int i = 0; i < l->n; i++) {
        struct end *e = &l->end[i];
        e->us = median_of(l, i, LATENCY, &n);
        e->sends = median_of(l, i, SENDS, &n);
        e->slow_sends = n > 1 && e->sends < SLOW * others(l, i, -1, e->sends);
        e->receives = median_of(l, i, RECEIVES, &n);
        e->slow_receives = n > 1 && e->receives < SLOW * others(l, i, -1, e->receives);
    }
    for (int i = 0; i < l->n_links; i++) {
        struct link *k = &l->link[i];
        k->slow = k->gbs < SLOW * others(l, k->from, k->to, k->gbs);
    }
}

/* ---- what is wrong ---- */

/* In the form `name: what; what to do`, which launch/preflight.sh reads. */
static void end_finding(const struct links *l, int i, struct problems *p)
{
    const struct end *e = &l->end[i];
    char what[128];
    if (e->slow_sends && e->slow_receives)
        snprintf(what, sizeof what, "sends %.3g and receives %.3g GB/s", e->sends, e->receives);
    else if (e->slow_sends)
        snprintf(what, sizeof what, "sends %.3g GB/s (receives %.3g)", e->sends, e->receives);
    else
        snprintf(what, sizeof what, "receives %.3g GB/s (sends %.3g)", e->receives, e->sends);
    problems_add(p, NULL, 0,
                 "%s: %s where the others reach %.3g; check its cable, its port and its interface "
                 "speed (ethtool %s), and other load there, or leave it out",
                 e->name, what, others(l, i, -1, 0), e->interface);
}

static void link_finding(const struct links *l, const struct link *k, struct problems *p)
{
    problems_add(p, NULL, 0,
                 "%s: %.3g GB/s to %s where the others reach %.3g; check the connection between "
                 "the two (cable, switch), or leave one out",
                 l->end[k->from].name, k->gbs, l->end[k->to].name,
                 others(l, k->from, k->to, k->gbs));
}

static bool told(const struct links *l, const struct link *k)
{
    return l->end[k->from].slow_sends || l->end[k->to].slow_receives;
}

/* Against the cluster file: ends that are slow among themselves were reported already. */
static void expected_findings(const struct links *l, double expected, double all_reduce,
                              struct problems *p)
{
    for (int i = 0; i < l->n; i++) {
        const struct end *e = &l->end[i];
        if (e->slow_sends || e->slow_receives) continue; /* was said */
        double less = e->sends < e->receives ? e->sends : e->receives;
        if (less < SLOW * expected)
            problems_add(p, NULL, 0,
                         "%s: %.3g GB/s where the cluster file expects %.3g; check that messages "
                         "take the intended interface (%s), or correct between: {gbs: ...}",
                         e->name, less, expected, e->interface);
    }
    if (p->n == 0 && all_reduce > 0 && all_reduce < SLOW * expected)
        problems_add(p, NULL, 0,
                     "all: %.3g GB/s in an all-reduce where the cluster file expects %.3g and "
                     "pairs reach %.3g; check the switch between them: it is shared",
                     all_reduce, expected, l->median);
}

void links_findings(const struct links *l, double expected, double all_reduce, struct problems *p)
{
    for (int i = 0; i < l->n; i++)
        if (l->end[i].slow_sends || l->end[i].slow_receives) end_finding(l, i, p);
    for (int i = 0; i < l->n_links; i++)
        if (l->link[i].slow && !told(l, &l->link[i])) link_finding(l, &l->link[i], p);
    if (expected > 0) expected_findings(l, expected, all_reduce, p);
}

/* ---- tables ---- */

static const struct link *back(const struct links *l, const struct link *k)
{
    for (int i = 0; i < l->n_links; i++)
        if (l->link[i].from == k->to && l->link[i].to == k->from) return &l->link[i];
    return k;
}

/* With many ends only slow pairs are printed. */
void links_print(const struct links *l)
{
    printf("%-24s %10s %12s %12s\n", "pair", "there GB/s", "back GB/s", "one way us");
    for (int i = 0; i < l->n_links; i++) {
        const struct link *k = &l->link[i], *b = back(l, k);
        char pair[2 * END_NAME + 8];
        if (k->from > k->to || (l->n > FEW && !k->slow && !b->slow)) continue;
        snprintf(pair, sizeof pair, "%s - %s", l->end[k->from].name, l->end[k->to].name);
        printf("%-24s %10.4g%c %11.4g%c %11.1f\n", pair, k->gbs, k->slow ? '!' : ' ', b->gbs,
               b->slow ? '!' : ' ', k->us < b->us ? k->us : b->us);
    }
    printf("%-24s %10s %12s %12s  %s\n", "median", "sends GB/s", "takes GB/s", "one way us",
           "interface");
    for (int i = 0; i < l->n; i++) {
        const struct end *e = &l->end[i];
        printf("host %-19s %10.4g%c %11.4g%c %11.1f   %s\n", e->name, e->sends,
               e->slow_sends ? '!' : ' ', e->receives, e->slow_receives ? '!' : ' ', e->us,
               e->interface);
    }
}

/* All ends and links, unlike the printed table. */
json_t *links_json(const struct links *l)
{
    json_t *ends = json_array(), *links = json_array();
    for (int i = 0; i < l->n; i++) {
        const struct end *e = &l->end[i];
        json_array_append_new(ends,
                              json_pack("{s:s, s:s, s:f, s:f, s:f, s:b}", "name", e->name,
                                        "interface", e->interface, "sends_gb_per_second", e->sends,
                                        "receives_gb_per_second", e->receives, "one_way_us", e->us,
                                        "slow", e->slow_sends || e->slow_receives));
    }
    for (int i = 0; i < l->n_links; i++) {
        const struct link *k = &l->link[i];
        json_array_append_new(links,
                              json_pack("{s:s, s:s, s:f, s:f, s:b}", "from", l->end[k->from].name,
                                        "to", l->end[k->to].name, "gb_per_second", k->gbs,
                                        "one_way_us", k->us, "slow", k->slow));
    }
    return json_pack("{s:o, s:o, s:f}", "ends", ends, "links", links, "median_gb_per_second",
                     l->median);
}
