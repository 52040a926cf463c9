#include "trainer/planner/picture_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/planner/picture.h"

/* What is printed of long lists. */
enum { SHOWN_PEERS = 16, SHOWN_SLICES = 8, SHOWN_ROWS = 12, SHOWN_MEMBERS = 4 };

struct printing {
    const struct recipe *r;
    const struct layout *l;
    const struct picture *p;
    int each; /* ranks of a site */
};

static const char *host_of(const struct printing *w, int rank)
{
    return w->r->hosts.at[w->p->job->host[rank]].name;
}

/* ---- who ---- */

static void print_chunks(const struct printing *w)
{
    const struct plan *plan = w->l->plan;
    int chunk[2], held = plan_held(plan->place, plan->stages, w->p->mesh.p, chunk);
    for (int k = 0; k < held; k++) {
        int from = w->l->first[chunk[k]], to = w->l->first[chunk[k] + 1];
        printf("  chunk %d of %d: layers %d to %d%s%s", chunk[k], plan->chunks, from, to - 1,
               chunk[k] == 0 ? ", the embedding" : "",
               chunk[k] == plan->chunks - 1 ? ", the head" : "");
        if (plan->place == PLACE_MIRROR) printf("; direction %d", plan_held_dir(plan->place, k));
        printf("\n");
    }
}

/* Everything is counted from 0, as in messages and files. */
static void print_who(const struct printing *w)
{
    const struct picture *p = w->p;
    const struct mesh *m = &p->mesh;
    printf("rank %d of %d", p->rank, p->job->ranks);
    if (p->site > 0 || p->job->ranks > w->each)
        printf(" (rank %d of site %d)", p->rank % w->each, p->site + 1);
    printf(" on %s: pipeline %d of %d, stage %d of %d", host_of(w, p->rank), m->d, m->dp, m->p,
           m->pp);
    if (m->tp > 1) printf(", tensor-parallel rank %d of %d", m->t, m->tp);
    if (m->ep > 1) printf(", part %d of %d of the experts", m->d % m->ep, m->ep);
    printf("\n");
    print_chunks(w);
}

/* ---- groups ---- */

static int hosts_of_group(const struct printing *w, enum mesh_axis axis, struct mesh_at at)
{
    const struct mesh *m = &w->p->mesh;
    const int *host = w->p->job->host + w->p->site * w->each;
    bool *seen = memory_take((size_t)w->r->hosts.n, sizeof *seen, "the hosts of a group");
    int n = 0;
    for (int i = 0; i < mesh_axis_size(m, axis); i++) {
        bool *s = &seen[host[mesh_axis_rank(m, axis, at, i)]];
        n += !*s;
        *s = true;
    }
    free(seen);
    return n;
}

/* The first few ranks and the last. */
static void print_members(const struct printing *w, enum mesh_axis axis, struct mesh_at at)
{
    const struct mesh *m = &w->p->mesh;
    int n = mesh_axis_size(m, axis), first = w->p->site * w->each;
    for (int i = 0; i < n; i++) {
        if (i >= SHOWN_MEMBERS && i < n - 1) continue;
        printf("%s%d",
               i == 0                                ? ""
               : i == n - 1 && n > SHOWN_MEMBERS + 1 ? " ... "
                                                     : " ",
               first + mesh_axis_rank(m, axis, at, i));
    }
    printf("\n");
}

/* Groups of one rank are left out, and those that would be the same as another. */
static void print_groups(const struct printing *w)
{
    static const char *const name[MESH_AXES] = {
        [MESH_PIPE] = "pipeline (pp)",
        [MESH_DATA] = "same stage of all pipelines (dp)",
        [MESH_TENSOR] = "tensor parallelism (tp)",
        [MESH_EXPERT] = "share the experts (ep)",
        [MESH_REPLICA] = "replicas that sum gradients (dp, mirror)",
        [MESH_EXPERT_REPLICA] = "of those, with the same experts"};
    const struct mesh *m = &w->p->mesh;
    const struct mesh_at at = {m->d, m->p, m->t};
    printf("\n%-44s %6s %7s %6s  %s\n", "groups", "ranks", "number", "hosts", "which");
    for (int k = 0; k < MESH_AXES; k++) {
        enum mesh_axis axis = (enum mesh_axis)k;
        int n = mesh_axis_size(m, axis);
        bool again = (axis == MESH_EXPERT_REPLICA && m->ep == 1) ||
                     (axis == MESH_DATA && m->replica_inner == 1);
        if (n == 1 || again) continue;
        printf("  %-42s %6d %7d %6d  ", name[k], n, mesh_axis_number(m, axis, at),
               hosts_of_group(w, axis, at));
        print_members(w, axis, at);
    }
}

/* ---- peers ---- */

static struct flow sum_of_kind(const struct picture_peer *peer, bool out)
{
    struct flow sum = {0, 0};
    for (int k = 0; k < TRAFFIC_KINDS; k++) flow_add(&sum, out ? peer->out[k] : peer->in[k]);
    return sum;
}

static void print_flow(struct flow f)
{
    char n[24] = "-";
    if (f.messages > 0) snprintf(n, sizeof n, "%ld", f.messages);
    printf(" %9s %12.6g", n, f.bytes * 1e-6);
}

/* By kind: with how many ranks, and how much. */
static void print_kinds(const struct printing *w)
{
    const struct picture *p = w->p;
    printf("\n%-22s %6s %6s %9s %12s %9s %12s\n", "a step, by why", "peers", "here", "messages",
           "MB sent", "messages", "MB got");
    for (int k = 0; k < TRAFFIC_KINDS; k++) {
        struct flow out = {0, 0}, in = {0, 0};
        int peers = 0, here = 0;
        for (int i = 0; i < p->n; i++) {
            const struct picture_peer *peer = &p->peer[i];
            if (peer->out[k].bytes + peer->in[k].bytes <= 0) continue;
            peers++;
            here += p->job->host[peer->rank] == p->job->host[p->rank];
            flow_add(&out, peer->out[k]);
            flow_add(&in, peer->in[k]);
        }
        if (peers == 0) continue;
        printf("  %-20s %6d %6d", traffic_kind_name((enum traffic_kind)k), peers, here);
        print_flow(out);
        print_flow(in);
        printf("\n");
    }
}

static int by_bytes(const void *a, const void *b)
{
    const struct picture_peer *x = *(const struct picture_peer *const *)a;
    const struct picture_peer *y = *(const struct picture_peer *const *)b;
    double bx = sum_of_kind(x, true).bytes + sum_of_kind(x, false).bytes;
    double by = sum_of_kind(y, true).bytes + sum_of_kind(y, false).bytes;
    if (bx > by || bx < by) return bx > by ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static void print_peer(const struct printing *w, const struct picture_peer *peer)
{
    printf("  %-8d %-18s", peer->rank, host_of(w, peer->rank));
    print_flow(sum_of_kind(peer, true));
    print_flow(sum_of_kind(peer, false));
    const char *between = "  ";
    for (int k = 0; k < TRAFFIC_KINDS; k++) {
        if (peer->out[k].bytes + peer->in[k].bytes <= 0) continue;
        printf("%s%s", between, traffic_kind_name((enum traffic_kind)k));
        between = ", ";
    }
    printf("\n");
}

/* Those with most bytes first. */
static void print_peers(const struct printing *w)
{
    const struct picture *p = w->p;
    const struct picture_peer **by =
        memory_take((size_t)p->n + 1, sizeof *by, "the peers of a rank");
    for (int i = 0; i < p->n; i++) by[i] = &p->peer[i];
    qsort(by, (size_t)p->n, sizeof *by, by_bytes);
    printf("\n%-8s   %-18s %9s %12s %9s %12s  %s\n", "peers", "on", "messages", "MB sent",
           "messages", "MB got", "why");
    for (int i = 0; i < p->n && i < SHOWN_PEERS; i++) print_peer(w, by[i]);
    if (p->n > SHOWN_PEERS) printf("  ... %d more\n", p->n - SHOWN_PEERS);
    free(by);
}

/* ---- the plan ---- */

/* The first and the last rows show how a rank comes into its pipeline's steady state and out. */
static void print_rows(const struct printing *w)
{
    const struct plan *plan = w->l->plan;
    int stage = w->p->mesh.p, n = plan->n_rows[stage], of[PLAN_OPS] = {0};
    for (int i = 0; i < n; i++) of[plan->rows[stage][i].op]++;
    printf("\nplan %s, %d micro-batches: %d rows of this rank (", plan_kind_name(plan->kind),
           plan->micro_batches, n);
    const char *between = "";
    for (int op = 0; op < PLAN_OPS; op++) {
        if (of[op] == 0) continue;
        printf("%s%d %s", between, of[op], plan_op_name((enum plan_op)op));
        between = ", ";
    }
    printf(")\n ");
    int shown = n <= 2 * SHOWN_ROWS ? n : SHOWN_ROWS;
    plan_print_rows(stdout, plan, stage, 0, shown);
    if (shown < n) {
        printf(" ...");
        plan_print_rows(stdout, plan, stage, n - SHOWN_ROWS, n);
    }
    printf("\n");
}

/* ---- the checkpoint ---- */

/* Where they lie in their tensors; the moments' are the same. */
static void print_model_slices(const struct picture *p)
{
    int n = 0;
    for (int i = 0; i < p->slices; i++) {
        const struct slice *s = &p->slice[i];
        if (strncmp(s->name, "model/", 6) != 0 || ++n > SHOWN_SLICES) continue;
        printf("  %-40s %zu to %zu of %zu", s->name, s->at.lo, s->at.hi, s->n);
        if (s->at.stride > 0) printf(", %zu of every %zu", s->at.run, s->at.stride);
        printf("\n");
    }
    if (n > SHOWN_SLICES) printf("  ... %d more of the model\n", n - SHOWN_SLICES);
}

/* Its shard and how much of what is in it. */
static void print_slices(const struct printing *w)
{
    static const char *const kind[] = {"model/", "adam_m/", "adam_v/", "ref/", "residual/"};
    const struct picture *p = w->p;
    char file[64];
    shard_name(file, p->rank % w->each, w->each);
    printf("\ncheckpoint: %s, %d slices, %.6g MB (", file, p->slices,
           (double)picture_saved(p, "") * 1e-6);
    const char *between = "";
    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        size_t bytes = picture_saved(p, kind[k]);
        if (bytes == 0) continue;
        printf("%s%s %.6g", between, kind[k], (double)bytes * 1e-6);
        between = ", ";
    }
    printf(")\n");
    print_model_slices(p);
}

/* ---- memory ---- */

static void print_memory(const struct printing *w)
{
    const struct memory *m = &w->p->memory;
    double have = w->r->cluster.top.memory_gib * 0x1p30;
    printf("\nmemory, MiB\n");
    for (int k = 1; k <= ARENA_KINDS; k++)
        printf("  %-20s %12.1f\n", arena_kind_name((enum arena_kind)(k % ARENA_KINDS)),
               (double)m->of[k % ARENA_KINDS] / 0x1p20);
    printf("  %-20s %12.1f", "total", (double)m->total / 0x1p20);
    if (have > 0) printf(" of %.1f", have / 0x1p20);
    printf("%s\n", have > 0 && (double)m->total > have ? ": does not fit" : "");
}

/* From who it is to what it needs. A job of one rank has no groups and no peers to print. */
void picture_print(const struct recipe *r, const struct layout *l, int rank)
{
    int ranks = recipe_ranks(&r->settings), *host = hosts_place(&r->hosts, ranks);
    const struct picture_job job = {
        .step = {.memory = {&r->settings, &r->ops, r->dims.V,
                            extent_of(r->job->kinds, &r->settings), NULL},
                 .plan = l->plan,
                 .first = l->first,
                 .rows = l->rows * r->typical,
                 .forwards = l->forwards},
        .host = host,
        .ranks = ranks};
    struct picture p;
    picture_new(&p, &job, rank);
    const struct printing w = {r, l, &p, ranks / r->settings.mesh.sites};
    print_who(&w);
    if (p.n > 0) {
        print_groups(&w);
        print_kinds(&w);
        print_peers(&w);
    } else {
        printf("\nno peers: this rank sends nothing\n");
    }
    print_rows(&w);
    print_slices(&w);
    print_memory(&w);
    picture_free(&p);
    free(host);
}
