#include "trainer/learn/grad_reduce.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/environment.h"
#include "comm/base/log.h"
#include "comm/base/memory.h"
#include "comm/exchange.h"
#include "comm/roster.h"

/* --- groups --- */

static MPI_Comm replica_of(const struct grad_reduce *r, int region)
{
    const struct mesh *m = r->stage->mesh;
    return region == REGION_EXPERTS ? m->expert_replica : m->replica;
}

/* Experts are summed over fewer replicas: those with the same part of ep. */
void grad_reduce_form(struct grad_reduce *r, struct bucket_list *l, struct stage *s, int members,
                      int me)
{
    const struct reduction_settings *k = &s->settings->reduction;
    int ep = s->mesh->ep, inner = s->mesh->replica_inner;
    *r = (struct grad_reduce){.buckets = l, .stage = s};
    struct reduce_form form = {.members = members,
                               .me = me,
                               .inner = inner,
                               .path = (enum reduce_path)k->path,
                               .wire = (enum codec)k->wire};
    for (int i = 0; i < REGIONS; i++) {
        r->form[i] = form;
        r->form[i].wire = grad_reduce_wire(form.wire, s->mesh->tp, (enum param_region)i);
        r->form[i].gathers = s->keep != KEEP_TRAINING;
    }
    struct reduce_form *experts = &r->form[REGION_EXPERTS];
    experts->members = members / ep; /* in the order of (pipeline, inner) */
    experts->me = me / inner / ep * inner + me % inner;
    for (int i = 0; i < REGIONS; i++) r->form[i].map = reduce_map_of(&r->form[i]);
}

enum codec grad_reduce_wire(enum codec asked, int tp, enum param_region region)
{
    bool alike = region == REGION_WHOLE || (region == REGION_EXPERTS && tp > 1);
    return alike ? CODEC_FP32 : asked;
}

/* The members of a group as ranks of the job. */
static int *ranks_of(MPI_Comm comm, int members)
{
    int *rank = memory_take(2 * (size_t)members, sizeof *rank, "a map of hosts");
    MPI_Group group, world;
    MPI_OK(MPI_Comm_group(comm, &group));
    MPI_OK(MPI_Comm_group(MPI_COMM_WORLD, &world));
    for (int i = 0; i < members; i++) rank[members + i] = i;
    MPI_OK(MPI_Group_translate_ranks(group, members, rank + members, world, rank));
    MPI_OK(MPI_Group_free(&group));
    MPI_OK(MPI_Group_free(&world));
    return rank;
}

/* A host by its number, the lowest of its ranks that are members. Checkpoints remember it with what
 * rounding left between hosts. */
static void hosts_of_ranks(int *rank, int members)
{
    int hosts = 0;
    for (int i = 0; i < members; i++)
        if (roster_node(rank[i]) >= hosts) hosts = roster_node(rank[i]) + 1;
    int *lowest = memory_take((size_t)hosts, sizeof *lowest, "a map of hosts");
    for (int k = 0; k < hosts; k++) lowest[k] = INT_MAX;
    for (int i = 0; i < members; i++) {
        int *of = &lowest[roster_node(rank[i])];
        if (rank[i] < *of) *of = rank[i];
    }
    for (int i = 0; i < members; i++) rank[i] = lowest[roster_node(rank[i])];
    free(lowest);
}

void grad_reduce_hosts(int *rank, int n)
{
    const int per_node = (int)environment_number("DUET_RANKS_PER_NODE", 0);
    if (per_node <= 0) hosts_of_ranks(rank, n);
    for (int i = 0; per_node > 0 && i < n; i++) rank[i] /= per_node;
}

void grad_reduce_nodes(struct grad_reduce *r)
{
    int *node[REGIONS];
    for (int k = 0; k < REGIONS; k++) {
        node[k] = ranks_of(replica_of(r, k), r->form[k].members);
        grad_reduce_hosts(node[k], r->form[k].members);
    }
    grad_reduce_nodes_are(r, node);
}

void grad_reduce_nodes_are(struct grad_reduce *r, int *const node[REGIONS])
{
    for (int k = 0; k < REGIONS; k++) {
        r->form[k].node = r->node[k] = node[k];
        r->form[k].map = reduce_map_of(&r->form[k]);
    }
}

/* --- memory --- */

static size_t largest_parts(const struct grad_reduce *r)
{
    size_t most = 0;
    for (int i = 0; i < r->buckets->n; i++)
        if (r->buckets->b[i].parts > most) most = r->buckets->b[i].parts;
    return most;
}

/* The n-th bucket uses scratch n mod GRAD_REDUCE_OPEN: each is as large as its largest needs. */
void grad_reduce_place(struct grad_reduce *r, struct arena *a)
{
    size_t room[GRAD_REDUCE_OPEN] = {0}, parts = largest_parts(r);
    for (int i = 0; i < r->buckets->n; i++) {
        const struct bucket *b = &r->buckets->b[i];
        size_t n = reduce_scratch(grad_reduce_form_of(r, b), b->n),
               *most = &room[i % GRAD_REDUCE_OPEN];
        if (n > *most) *most = n;
    }
    for (int i = 0; i < GRAD_REDUCE_OPEN; i++)
        r->scratch[i] = arena_take_n(a, room[i], sizeof(float));
    r->parts = arena_take_n(a, parts, sizeof(float));
    r->parts_scratch = arena_take_n(a, parts * (size_t)r->stage->mesh->tp, sizeof(float));
}

/* Rank 0 says it when the recipe asked for something that its hosts or sizes do not allow. */
static void say_path(const struct grad_reduce *r)
{
    const struct reduction_settings *k = &r->stage->settings->reduction;
    const char *why;
    if (r->buckets->n == 0 || r->form[0].gathers) return;
    enum reduce_path path = reduce_choose(&r->form[0], r->buckets->b[0].n, &why);
    if (k->path == REDUCE_NODES && path != REDUCE_NODES)
        log_info("reduction.path nodes: flat is taken (%s)", why);
    if (k->wire != CODEC_FP32 && reduce_residual(&r->form[0], 1) == 0)
        log_info("reduction.wire has no effect here: rank 0's replicas are on one host");
}

void grad_reduce_open(struct grad_reduce *r)
{
    bool there[REGIONS] = {false};
    for (int i = 0; i < r->buckets->n; i++) there[r->buckets->b[i].region] = true;
    for (int k = 0; k < REGIONS; k++)
        if (there[k])
            r->over[k] =
                reduce_new(r->stage->transport, replica_of(r, k), &r->form[k], GRAD_REDUCE_OPEN);
    if (largest_parts(r) > 0) r->tp = exchange_new(r->stage->transport, r->stage->mesh->tensor, 1);
    say_path(r);
}

void grad_reduce_free(struct grad_reduce *r)
{
    for (int k = 0; k < REGIONS; k++) {
        free(r->node[k]);
        reduce_free(r->over[k]);
    }
    exchange_free(r->tp);
    *r = (struct grad_reduce){0};
}

/* --- a bucket --- */

static void part_take(const struct device *d, float *part, float *grad, size_t n)
{
    device_copy(d, part, grad, n * sizeof *part);
}

static void part_give(const struct device *d, float *part, float *grad, size_t n)
{
    device_copy(d, grad, part, n * sizeof *part);
}

/* Gains of all heads, of which every rank of tp has seen some: summed before anything else is
 * added, so that every schedule forms the same sums. true when they are there. */
static bool parts_summed(struct grad_reduce *r, const struct bucket *b, bool wait)
{
    if (b->parts == 0) return true;
    if (!r->parts_open) {
        bucket_parts(b, r->stage->device, r->parts, part_take);
        r->parts_op = exchange_all_reduce(r->tp, 0, r->parts, b->parts, r->parts_scratch);
        r->parts_open = true;
    }
    if (wait)
        exchange_wait(r->tp, r->parts_op);
    else if (!exchange_test(r->tp, r->parts_op))
        return false;
    r->parts_open = false;
    bucket_parts(b, r->stage->device, r->parts, part_give);
    return true;
}

/* The two sums of a rank with both directions are added first, in a fixed order (P4). */
static void start_bucket(struct grad_reduce *r, int i)
{
    struct bucket *b = &r->buckets->b[i];
    const struct local *l = b->local;
    float *sum = l->grad[0] + b->at;
    if (l->grad[1]) transport_add(r->stage->transport, sum, sum, l->grad[1] + b->at, b->n);
    struct reduce_job job = {.out = b->grad,
                             .in = sum,
                             .count = b->count,
                             .offset = b->offset,
                             .scratch = r->scratch[i % GRAD_REDUCE_OPEN],
                             .residual = b->residual};
    b->op = reduce_start(grad_reduce_over(r, b), &job);
}

/* --- all of them --- */

static bool is_complete(const struct grad_reduce *r, const struct bucket *b)
{
    return r->layer[b->local - r->stage->local] <= b->layer;
}

/* Starts the buckets whose turn it is. */
static void advance(struct grad_reduce *r, bool wait)
{
    struct bucket *b = r->buckets->b;
    while (r->first < r->next && reduce_test(grad_reduce_over(r, &b[r->first]), b[r->first].op))
        r->first++;
    while (r->next < r->buckets->n && r->next - r->first < GRAD_REDUCE_OPEN &&
           is_complete(r, &b[r->next]) && parts_summed(r, &b[r->next], wait))
        start_bucket(r, r->next++);
}

static void advance_early(struct grad_reduce *r)
{
    int before = r->next;
    advance(r, false);
    r->early += r->next - before;
}

static void hear_complete(void *self, const struct local *l, int layer)
{
    struct grad_reduce *r = self;
    int *from = &r->layer[l - r->stage->local];
    if (layer < *from) *from = layer;
    advance_early(r);
}

static void hear_poll(void *self)
{
    struct grad_reduce *r = self;
    if (r->first < r->next || r->parts_open) advance_early(r);
}

void grad_reduce_begin(struct grad_reduce *r)
{
    r->stage->listener = (struct gradient_listener){r, hear_complete, hear_poll};
    r->early = 0;
    for (int k = 0; k < MAX_LOCAL; k++) r->layer[k] = INT_MAX;
}

/* In the order of starting: what is still open is waited for, what has not started is started. */
void grad_reduce_finish(struct grad_reduce *r)
{
    struct bucket *b = r->buckets->b;
    r->stage->listener = (struct gradient_listener){0};
    for (int k = 0; k < MAX_LOCAL; k++) r->layer[k] = INT_MIN;
    while (r->first < r->buckets->n) {
        advance(r, true);
        if (r->first == r->next) continue;
        reduce_wait(grad_reduce_over(r, &b[r->first]), b[r->first].op);
        r->first++;
    }
    r->first = r->next = 0;
}

/* --- gathering --- */

static void gather_wait(struct grad_reduce *r, int i)
{
    const struct bucket *b = &r->buckets->b[i];
    reduce_wait(grad_reduce_over(r, b), b->op);
}

void grad_reduce_gather(struct grad_reduce *r, int i, void *run, size_t elem_bytes)
{
    struct bucket *b = &r->buckets->b[i];
    if (i >= GRAD_REDUCE_OPEN) gather_wait(r, i - GRAD_REDUCE_OPEN);
    b->op = reduce_gather_start(grad_reduce_over(r, b), run, b->count, b->offset, elem_bytes);
}

void grad_reduce_gather_end(struct grad_reduce *r)
{
    int n = r->buckets->n;
    for (int i = n > GRAD_REDUCE_OPEN ? n - GRAD_REDUCE_OPEN : 0; i < n; i++) gather_wait(r, i);
}

double grad_reduce_waited(struct grad_reduce *r)
{
    double seconds = exchange_waited(r->tp);
    for (int k = 0; k < REGIONS; k++)
        if (r->over[k]) seconds += reduce_waited(r->over[k]);
    return seconds;
}
