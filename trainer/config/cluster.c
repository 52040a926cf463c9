#include "trainer/config/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "comm/base/memory.h"
#include "comm/base/problems.h"
#include "model/precision.h"
#include "trainer/config/rows.h"

#define CLUSTER_ROW(...) ROW(cluster, __VA_ARGS__)
#define COMPUTE_ROW(...) ROW(compute, __VA_ARGS__)
#define LINK_ROW(...)    ROW(link, __VA_ARGS__)
#define COSTS_ROW(...)   ROW(costs, __VA_ARGS__)

static const struct setting cluster_rows[] = {CLUSTER_SETTINGS(CLUSTER_ROW)};
static const struct setting compute_rows[] = {COMPUTE_SETTINGS(COMPUTE_ROW)};
static const struct setting link_rows[] = {LINK_SETTINGS(LINK_ROW)};
static const struct setting costs_rows[] = {COSTS_SETTINGS(COSTS_ROW)};

enum { TOP, COMPUTE, INSIDE, BETWEEN, ACROSS, COSTS, PARTS };

static const struct section parts[PARTS] = {
    [TOP] = SECTION_ROW(cluster, "", "cluster", "top level of a cluster file", cluster_rows, top),
    [COMPUTE] = SECTION_ROW(cluster, "compute", "compute", "compute rates of a device",
                            compute_rows, compute),
    [INSIDE] =
        SECTION_ROW(cluster, "inside", "link", "between devices of a node", link_rows, inside),
    [BETWEEN] = SECTION_ROW(cluster, "between", "link", "between nodes", link_rows, between),
    [ACROSS] =
        SECTION_ROW(cluster, "across", "link",
                    "between sites (mesh.sites); not given: as between nodes", link_rows, across),
    [COSTS] =
        SECTION_ROW(cluster, "costs", "costs",
                    "measured times of a full micro-batch; not given: derived from FLOPs and bytes",
                    costs_rows, costs),
};
static const struct schema cluster_schema = {"cluster file", parts, PARTS, -1};

static void name_file(struct cluster *c, const char *file)
{
    c->file = memory_copy_text(file, "a file name");
}

void cluster_defaults(struct cluster *c)
{
    memset(c, 0, sizeof *c);
    for (int id = 0; id < PARTS; id++) {
        struct place at = schema_place(&cluster_schema, c, id);
        place_defaults(&at);
    }
}

void cluster_free(struct cluster *c)
{
    for (int id = 0; id < PARTS; id++) {
        struct place at = schema_place(&cluster_schema, c, id);
        place_free(&at);
    }
    free(c->file);
    c->file = NULL;
}

void cluster_copy(struct cluster *to, const struct cluster *from)
{
    cluster_defaults(to);
    for (int id = 0; id < PARTS; id++) {
        struct place is = schema_place(&cluster_schema, to, id),
                     was = schema_place(&cluster_schema, from, id);
        for (int i = 0; i < is.section->n_settings; i++)
            setting_copy(&is, &was, &is.section->settings[i]);
    }
    to->lines = from->lines;
    to->sum = from->sum;
    if (from->file) name_file(to, from->file);
}

const char *cluster_name(const struct cluster *c)
{
    return *c->top.name || !c->file ? c->top.name : c->file;
}

static void check_size(const struct cluster *c, struct problems *p)
{
    enum { MOST = 1 << 20 };
    if ((long)c->top.nodes * c->top.devices > MOST)
        problems_add(p, c->file, c->lines.top.nodes,
                     "nodes %d x devices %d is more than the limit of %d", c->top.nodes,
                     c->top.devices, MOST);
    if (c->compute.fp32 <= 0 && c->compute.bf16 <= 0 && c->compute.fp8 <= 0)
        problems_add(p, c->file, 0,
                     "no precision has a rate: set compute: {bf16: ..., achieved: ...}, the dense "
                     "peak in TFLOP/s and the fraction of it that is reached");
}

/* A device that can do more in a wider type than in a narrower one is a line mixed up. */
static void check_rates(const struct cluster *c, struct problems *p)
{
    const struct compute_settings *k = &c->compute;
    if (k->bf16 > 0 && k->fp32 > k->bf16)
        problems_add(p, c->file, c->lines.compute.fp32,
                     "fp32 %g TFLOP/s is more than bf16 %g: are the two swapped?", k->fp32,
                     k->bf16);
    if (k->fp8 > 0 && k->bf16 > k->fp8)
        problems_add(p, c->file, c->lines.compute.bf16,
                     "bf16 %g TFLOP/s is more than fp8 %g: are the two swapped?", k->bf16, k->fp8);
}

static void check_links(const struct cluster *c, struct problems *p)
{
    if (c->top.devices > 1 && c->inside.gbs <= 0)
        problems_add(p, c->file, c->lines.inside.gbs,
                     "nodes have %d devices: set inside: {gbs: ..., us: ...}", c->top.devices);
    if (c->top.nodes > 1 && c->between.gbs <= 0)
        problems_add(p, c->file, c->lines.between.gbs,
                     "there are %d nodes: set between: {gbs: ..., us: ...}", c->top.nodes);
    if (c->top.devices > 1 && c->top.nodes > 1 && c->between.gbs > c->inside.gbs &&
        c->inside.gbs > 0)
        problems_add(p, c->file, c->lines.between.gbs,
                     "between nodes %g GB/s is more than inside a node, %g: are the two swapped?",
                     c->between.gbs, c->inside.gbs);
}

static void check_costs(const struct cluster *c, struct problems *p)
{
    const struct costs_settings *k = &c->costs;
    const double part[] = {k->layer_f, k->layer_b, k->layer_w, k->head_f, k->head_b};
    int given = 0, n = (int)(sizeof part / sizeof *part);
    for (int i = 0; i < n; i++) given += part[i] > 0;
    if (given > 0 && given < n)
        problems_add(p, c->file, c->lines.costs.layer_f ? c->lines.costs.layer_f : 0,
                     "costs: only %d of %d times are given: set layer_f, layer_b, layer_w, head_f "
                     "and head_b (head_w may be 0), or none of them",
                     given, n);
}

bool cluster_check(const struct cluster *c, struct problems *p)
{
    int before = p->n;
    check_size(c, p);
    check_rates(c, p);
    check_links(c, p);
    check_costs(c, p);
    return p->n == before;
}

bool cluster_parse(struct cluster *c, const void *yaml, size_t n, const char *file,
                   struct problems *p)
{
    free(c->file);
    name_file(c, file);
    return schema_parse(&cluster_schema, c, yaml, n, file, p) && cluster_check(c, p);
}

bool cluster_load(struct cluster *c, const char *path, struct problems *p)
{
    size_t n;
    char *bytes = schema_read(&cluster_schema, path, &n, p);
    if (!bytes) return false;
    bool ok = cluster_parse(c, bytes, n, path, p);
    c->sum = checksum(bytes, n, 0);
    free(bytes);
    return ok;
}

bool cluster_serves(const struct cluster *c, enum precision precision, struct problems *p)
{
    if (c->costs.layer_f > 0 || cluster_rate(c, precision) > 0) return true;
    problems_add(p, c->file, cluster_peak_line(c, precision),
                 "the recipe computes in %s, but compute has no rate for it: set one",
                 precision_kind(precision)->name);
    return false;
}

void cluster_help(void)
{
    puts("\nEntries of a cluster file, as `name: value (default); type and range`:");
    schema_help(&cluster_schema);
}

int cluster_devices(const struct cluster *c)
{
    return c->top.nodes * c->top.devices;
}

double cluster_crowding(const struct cluster *c, long ranks, int threads)
{
    long here = ranks < c->top.devices ? ranks : c->top.devices;
    double wanted = (double)here * threads;
    return c->top.cores > 0 && wanted > c->top.cores ? wanted / c->top.cores : 1;
}

/* The entry of a precision has its name. */
static const struct setting *compute_of(enum precision precision)
{
    const char *name = precision_kind(precision)->name;
    const struct setting *k = setting_find(&parts[COMPUTE], name);
    INVARIANT(k && k->type == SETTING_REAL, "compute: of a cluster file has no entry %s", name);
    return k;
}

double cluster_peak(const struct cluster *c, enum precision precision)
{
    struct place at = schema_place(&cluster_schema, c, COMPUTE);
    return 1e12 * *(const double *)setting_value(&at, compute_of(precision));
}

void cluster_set_peak(struct cluster *c, enum precision precision, double peak)
{
    struct place at = schema_place(&cluster_schema, c, COMPUTE);
    *(double *)setting_value(&at, compute_of(precision)) = 1e-12 * peak;
}

int cluster_peak_line(const struct cluster *c, enum precision precision)
{
    struct place at = schema_place(&cluster_schema, c, COMPUTE);
    return *setting_line(&at, compute_of(precision));
}

double cluster_rate(const struct cluster *c, enum precision precision)
{
    return cluster_peak(c, precision) * c->compute.achieved;
}

static double send(const struct link_settings *l, double bytes)
{
    return l->gbs > 0 ? bytes / (l->gbs * 1e9) + l->us * 1e-6 : 0;
}

double cluster_send(const struct cluster *c, bool inside, double bytes)
{
    return send(inside ? &c->inside : &c->between, bytes);
}

double cluster_across(const struct cluster *c, double bytes)
{
    return c->across.gbs > 0 ? send(&c->across, bytes) : cluster_send(c, c->top.nodes == 1, bytes);
}
