#include "trainer/planner/traffic.h"

#include <stdlib.h>
#include "comm/base/memory.h"

const char *traffic_kind_name(enum traffic_kind k)
{
    static const char *const name[TRAFFIC_KINDS] = {"stage messages",     "gradients",    "weights",
                                                    "tensor parallelism", "experts",      "answers",
                                                    "between sites",      "losses, norms"};
    return name[k];
}

/* ---- the table ---- */

void traffic_new(struct traffic *t, int hosts, int ranks, const int *host)
{
    size_t pairs = (size_t)hosts * (size_t)hosts;
    *t = (struct traffic){.hosts = hosts, .ranks = ranks, .host = host};
    t->bytes = memory_take(TRAFFIC_KINDS * pairs, sizeof *t->bytes, "bytes between hosts");
}

void traffic_free(struct traffic *t)
{
    free(t->bytes);
    t->bytes = NULL;
}

static double *cell(const struct traffic *t, enum traffic_kind k, int from, int to)
{
    size_t n = (size_t)t->hosts;
    return &t->bytes[((size_t)k * n + (size_t)from) * n + (size_t)to];
}

void traffic_add(struct traffic *t, enum traffic_kind k, int from, int to, double bytes)
{
    *cell(t, k, t->host[from], t->host[to]) += bytes;
}

void traffic_join(struct traffic *t, const struct traffic *other, double times)
{
    for (int i = 0; i < TRAFFIC_KINDS * t->hosts * t->hosts; i++)
        t->bytes[i] += times * other->bytes[i];
}

double traffic_at(const struct traffic *t, enum traffic_kind k, int from, int to)
{
    if (k < TRAFFIC_KINDS) return *cell(t, k, from, to);
    double sum = 0;
    for (int i = 0; i < TRAFFIC_KINDS; i++) sum += *cell(t, (enum traffic_kind)i, from, to);
    return sum;
}

double traffic_out(const struct traffic *t, enum traffic_kind k, int host)
{
    double sum = 0;
    for (int to = 0; to < t->hosts; to++) sum += to == host ? 0 : traffic_at(t, k, host, to);
    return sum;
}

double traffic_in(const struct traffic *t, enum traffic_kind k, int host)
{
    double sum = 0;
    for (int from = 0; from < t->hosts; from++)
        sum += from == host ? 0 : traffic_at(t, k, from, host);
    return sum;
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
    for (int h = 0; h < t->hosts; h++) sum += traffic_at(t, k, h, h);
    return sum;
}
