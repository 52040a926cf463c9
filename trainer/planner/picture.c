#include "trainer/planner/picture.h"

#include <stdlib.h>
#include <string.h>
#include "comm/base/memory.h"
#include "trainer/planner/reduction_rank.h"

/* ---- peers ---- */

/* Peers as they are found: a rank's number in the list, by rank. */
struct peer_search {
    struct picture *p;
    int room, first; /* of the peers; rank 0 of the site */
    int *number;     /* [ranks of all sites] 1 + index, 0: no peer */
};

/* The rank's entry, made when it is first met. */
static struct picture_peer *peer_of(struct peer_search *s, int rank)
{
    struct picture *p = s->p;
    int *number = &s->number[rank];
    p->steps++;
    if (*number > 0) return &p->peer[*number - 1];
    if (p->n == s->room) {
        s->room = 2 * s->room + 16;
        p->peer = realloc(p->peer, (size_t)s->room * sizeof *p->peer);
        SYS_OK(p->peer, "free memory on this machine", "no memory for %d peers", s->room);
    }
    p->peer[p->n] = (struct picture_peer){.rank = rank};
    *number = ++p->n;
    return &p->peer[p->n - 1];
}

/* peer: counted from the first rank of the site. What is nothing both ways makes no peer. */
static void found(void *search, enum traffic_kind k, int peer, struct flow out, struct flow in)
{
    struct peer_search *s = search;
    if (out.bytes <= 0 && in.bytes <= 0) return;
    struct picture_peer *p = peer_of(s, s->first + peer);
    flow_add(&p->out[k], out);
    flow_add(&p->in[k], in);
}

/* ---- passes ---- */

static struct flow messages(const struct traffic_job *j, int n)
{
    return (struct flow){n * traffic_message(j), n};
}

/* One plan: messages to stages of the own pipeline, exchanges with the ranks of tp and ep. */
static void find_passes(struct peer_search *s, const struct plan *plan, bool scores)
{
    const struct traffic_job *j = &s->p->job->step;
    const struct mesh *m = &s->p->mesh;
    const struct mesh_at at = {m->d, m->p, m->t};
    int *sent = memory_take(2 * (size_t)plan->stages, sizeof *sent, "messages of a stage");
    int *got = sent + plan->stages;
    struct exchanged x = traffic_stage(j, m, plan, scores, at.p, sent, got);
    for (int i = 0; i < plan->stages; i++)
        found(s, TRAFFIC_STAGES, mesh_axis_rank(m, MESH_PIPE, at, i), messages(j, sent[i]),
              messages(j, got[i]));
    for (int i = 0; i < m->tp; i++)
        if (i != at.t)
            found(s, TRAFFIC_TENSOR, mesh_axis_rank(m, MESH_TENSOR, at, i),
                  (struct flow){x.tensor, 0}, (struct flow){x.tensor, 0});
    for (int i = 0; i < m->ep; i++)
        if (i != at.d % m->ep)
            found(s, TRAFFIC_EXPERTS, mesh_axis_rank(m, MESH_EXPERT, at, i),
                  (struct flow){x.expert, 0}, (struct flow){x.expert, 0});
    s->p->steps += plan->n_rows[at.p];
    free(sent);
}

static void find_step(struct peer_search *s)
{
    const struct traffic_job *j = &s->p->job->step;
    find_passes(s, j->plan, false);
    if (j->forwards == 0) return;
    struct plan only;
    plan_forward_only(&only, j->plan);
    for (int i = 0; i < j->forwards; i++) find_passes(s, &only, true);
    plan_free(&only);
}

/* ---- what all ranks add up, what sites exchange ---- */

/* In the tree of traffic_hop: to the rank without the lowest bit, and from those that have one bit
 * more below it. */
static void find_sums(struct peer_search *s, int me, int ranks)
{
    const struct flow each = {traffic_hop(&s->p->job->step), 0};
    if (me > 0) found(s, TRAFFIC_SUMS, me & (me - 1), each, each);
    for (long bit = 1; bit < ranks && (me & bit) == 0; bit *= 2)
        if (me + bit < ranks) found(s, TRAFFIC_SUMS, (int)(me + bit), each, each);
}

static void find_sites(struct peer_search *s, int me, int each)
{
    const struct memory_job *j = &s->p->job->step.memory;
    const struct mesh *m = &s->p->mesh;
    int sites = j->settings->mesh.sites;
    if (sites == 1) return;
    struct mesh_at at = {m->d, m->p, m->t};
    const struct flow f = {(double)memory_site_message(j, at) / j->settings->sites.every, 0};
    for (int i = 0; i < sites; i++)
        if (i != s->p->site) found(s, TRAFFIC_SITES, i * each + me - s->first, f, f);
}

static int by_rank(const void *a, const void *b)
{
    const struct picture_peer *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static void find_peers(struct picture *p, int me, int each)
{
    const struct picture_job *job = p->job;
    const struct mesh *m = &p->mesh;
    struct peer_search s = {.p = p, .first = p->site * each};
    s.number = memory_take((size_t)job->ranks, sizeof *s.number, "the peers of a rank");
    find_step(&s);
    reduction_of_rank(&job->step.memory, job->host + s.first, (struct mesh_at){m->d, m->p, m->t},
                      found, &s);
    find_sums(&s, me, each);
    find_sites(&s, me, each);
    free(s.number);
    if (p->n > 0) qsort(p->peer, (size_t)p->n, sizeof *p->peer, by_rank);
}

/* ---- the checkpoint ---- */

/* As a run saves them: of a stage and an optimizer that are only measured. */
int picture_slices(struct slice **out, const struct memory_job *j, struct mesh_at at)
{
    const struct mesh m = memory_mesh(j->settings, at);
    struct stage st;
    struct optimizer o;
    struct stage_job stage = memory_stage(j, &m, 1);
    stage.with_reference = j->extent.reference;
    stage.with_reward = j->extent.reward;
    stage_measure(&st, &stage);
    memory_optimizer(&o, j, &st);
    int n = optimizer_slices(&o, NULL, SLICES_SAVE);
    *out = memory_take((size_t)n + 1, sizeof **out, "the slices of a rank");
    optimizer_slices(&o, *out, SLICES_SAVE);
    optimizer_free(&o);
    stage_free(&st);
    return n;
}

/* ---- all of it ---- */

/* As the rank itself would build it, one part after the other. */
void picture_new(struct picture *p, const struct picture_job *job, int rank)
{
    const struct settings *s = job->step.memory.settings;
    int each = job->ranks / s->mesh.sites, me = rank % each;
    const struct mesh whole = memory_mesh(s, (struct mesh_at){0});
    const struct mesh_at at = mesh_coords(&whole, me);
    *p =
        (struct picture){.job = job, .rank = rank, .site = rank / each, .mesh = memory_mesh(s, at)};
    struct memory_job memory = job->step.memory;
    memory.host = job->host + p->site * each;
    find_peers(p, me, each);
    p->slices = picture_slices(&p->slice, &memory, at);
    p->steps += p->slices;
    memory_of_rank(&p->memory, &memory, at);
}

void picture_free(struct picture *p)
{
    free(p->peer);
    free(p->slice);
    *p = (struct picture){.job = NULL};
}

const struct picture_peer *picture_peer(const struct picture *p, int rank)
{
    const struct picture_peer key = {.rank = rank};
    return p->n > 0 ? bsearch(&key, p->peer, (size_t)p->n, sizeof key, by_rank) : NULL;
}

size_t picture_saved(const struct picture *p, const char *prefix)
{
    size_t n = 0;
    for (int i = 0; i < p->slices; i++)
        if (strncmp(p->slice[i].name, prefix, strlen(prefix)) == 0)
            n += range_count(&p->slice[i].at) * sizeof(float);
    return n;
}
