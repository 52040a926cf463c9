#include "trainer/planner/traffic.h"

#include <stdlib.h>
#include "comm/base/die.h"
#include "comm/base/memory.h"

const char *traffic_kind_name(enum traffic_kind k)
{
    static const char *const name[TRAFFIC_KINDS] = {"stage messages",     "gradients",    "weights",
                                                    "tensor parallelism", "experts",      "answers",
                                                    "between sites",      "losses, norms"};
    return name[k];
}

/* ---- the table ---- */

void traffic_new(struct traffic *t, int hosts, int ranks, const int *host, bool pairs)
{
    const char *what = "bytes between hosts";
    size_t n = (size_t)hosts, all = TRAFFIC_KINDS * n;
    *t = (struct traffic){.hosts = hosts, .ranks = ranks, .host = host, .times = 1};
    t->out = memory_take(all, sizeof *t->out, what);
    t->in = memory_take(all, sizeof *t->in, what);
    t->inside = memory_take(all, sizeof *t->inside, what);
    if (pairs) t->pair = memory_take(all * n, sizeof *t->pair, what);
}

void traffic_free(struct traffic *t)
{
    free(t->out);
    free(t->in);
    free(t->inside);
    free(t->pair);
    *t = (struct traffic){0};
}

static size_t host_at(const struct traffic *t, enum traffic_kind k, int host)
{
    return (size_t)k * (size_t)t->hosts + (size_t)host;
}

static double *pair_at(const struct traffic *t, enum traffic_kind k, int from, int to)
{
    return &t->pair[host_at(t, k, from) * (size_t)t->hosts + (size_t)to];
}

void traffic_add(struct traffic *t, enum traffic_kind k, int from, int to, double bytes)
{
    int a = t->host[from], b = t->host[to];
    bytes *= t->times;
    if (t->pair) *pair_at(t, k, a, b) += bytes;
    t->added++;
    if (a == b) {
        t->inside[host_at(t, k, a)] += bytes;
    } else {
        t->out[host_at(t, k, a)] += bytes;
        t->in[host_at(t, k, b)] += bytes;
    }
}

static void add_pairs(struct traffic *t, enum traffic_kind k, const struct traffic_share *s, int n)
{
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++)
            *pair_at(t, k, s[a].host, s[b].host) +=
                t->times * (a == b ? s[a].keeps : s[a].gives * s[b].takes);
    t->added += (long long)n * n;
}

void traffic_add_shares(struct traffic *t, enum traffic_kind k, const struct traffic_share *s,
                        int n)
{
    double gives = 0, takes = 0;
    for (int a = 0; a < n; a++) gives += s[a].gives, takes += s[a].takes;
    for (int a = 0; a < n; a++) {
        size_t at = host_at(t, k, s[a].host);
        t->out[at] += t->times * s[a].gives * (takes - s[a].takes);
        t->in[at] += t->times * (gives - s[a].gives) * s[a].takes;
        t->inside[at] += t->times * s[a].keeps;
    }
    t->added += n;
    if (t->pair) add_pairs(t, k, s, n);
}

static void join(double *to, const double *from, size_t n, double times)
{
    for (size_t i = 0; to && i < n; i++) to[i] += times * from[i];
}

void traffic_join(struct traffic *t, const struct traffic *other, double times)
{
    size_t n = (size_t)t->hosts, all = TRAFFIC_KINDS * n;
    INVARIANT(!t->pair || other->pair, "pairs of hosts are joined from a table without them");
    join(t->out, other->out, all, times);
    join(t->in, other->in, all, times);
    join(t->inside, other->inside, all, times);
    join(t->pair, other->pair, all * n, times);
    t->added += (long long)all;
}

double traffic_at(const struct traffic *t, enum traffic_kind k, int from, int to)
{
    INVARIANT(t->pair, "traffic without pairs of hosts");
    if (k < TRAFFIC_KINDS) return *pair_at(t, k, from, to);
    double sum = 0;
    for (int i = 0; i < TRAFFIC_KINDS; i++) sum += *pair_at(t, (enum traffic_kind)i, from, to);
    return sum;
}

/* One kind, or the sum of all. */
static double of_host(const struct traffic *t, const double *bytes, enum traffic_kind k, int host)
{
    if (k < TRAFFIC_KINDS) return bytes[host_at(t, k, host)];
    double sum = 0;
    for (int i = 0; i < TRAFFIC_KINDS; i++) sum += bytes[host_at(t, (enum traffic_kind)i, host)];
    return sum;
}

double traffic_out(const struct traffic *t, enum traffic_kind k, int host)
{
    return of_host(t, t->out, k, host);
}

double traffic_in(const struct traffic *t, enum traffic_kind k, int host)
{
    return of_host(t, t->in, k, host);
}

double traffic_within(const struct traffic *t, enum traffic_kind k, int host)
{
    return of_host(t, t->inside, k, host);
}

double traffic_between(const struct traffic *t, enum traffic_kind k)
{
    double sum = 0;
    for (int h = 0; h < t->hosts; h++) sum += traffic_out(t, k, h);
    return sum;
}

double traffic_inside(const struct traffic *t, enum traffic_kind k)
{
    double sum = 0;
    for (int h = 0; h < t->hosts; h++) sum += traffic_within(t, k, h);
    return sum;
}
