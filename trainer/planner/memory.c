#include "trainer/planner/memory.h"

#include <stdlib.h>
#include "comm/base/memory.h"
#include "model/matmul.h"
#include "trainer/rollout/scratch.h"

static void add_arena(struct memory *m, const struct arena *a)
{
    for (int k = 0; k < ARENA_KINDS; k++) m->of[k] += a->of[k];
    m->total += a->used;
    if (a->host) add_arena(m, a->host);
}

static void add_buffers(struct memory *m, size_t bytes)
{
    m->of[ARENA_BUFFERS] += bytes;
    m->total += bytes;
}

/* A mesh without communicators: placing asks only for sizes and coordinates. */
struct mesh memory_mesh(const struct settings *s, struct mesh_at at)
{
    bool mirrored = stage_mesh(s).mirrored;
    return (struct mesh){.dp = s->mesh.dp,
                         .pp = s->mesh.pp,
                         .ep = s->mesh.ep,
                         .tp = s->mesh.tp,
                         .d = at.d,
                         .p = at.p,
                         .t = at.t,
                         .mirrored = mirrored,
                         .replica_inner = mirrored ? 2 : 1};
}

struct stage_job memory_stage(const struct memory_job *job, const struct mesh *mesh, int max_mb)
{
    return (struct stage_job){.settings = job->settings,
                              .mesh = mesh,
                              .transport = &transport_mpi,
                              .ops = job->ops,
                              .dims = settings_dims(job->settings, job->vocabulary),
                              .max_mb = max_mb};
}

/* A group, member by member; NULL: all on one. */
static int *hosts_of(const int *host, const struct mesh *m, enum mesh_axis axis)
{
    const struct mesh_at at = {m->d, m->p, m->t};
    int n = mesh_axis_size(m, axis);
    if (!host) return NULL;
    int *node = memory_take((size_t)n, sizeof *node, "the hosts of a group");
    for (int i = 0; i < n; i++) node[i] = host[mesh_axis_rank(m, axis, at, i)];
    return node;
}

/* Experts have the group of those that hold the same ones, as in grad_reduce_nodes. */
void memory_optimizer(struct optimizer *o, const struct memory_job *job, struct stage *s)
{
    const struct mesh *m = s->mesh;
    const struct mesh_at at = {m->d, m->p, m->t};
    int *node[REGIONS];
    for (int k = 0; k < REGIONS; k++) {
        bool shared = k == REGION_EXPERTS && m->ep > 1;
        node[k] = hosts_of(job->host, m, shared ? MESH_EXPERT_REPLICA : MESH_REPLICA);
    }
    optimizer_measure(o, s, mesh_axis_size(m, MESH_REPLICA), mesh_axis_number(m, MESH_REPLICA, at),
                      node);
}

/* With sites the outer optimizer keeps weights and momentum of its own. */
static void add_optimizer(struct memory *m, const struct memory_job *job, struct stage *st)
{
    const struct settings *s = st->settings;
    struct optimizer o;
    memory_optimizer(&o, job, st);
    add_arena(m, &o.arena);
    if (s->mesh.sites > 1) {
        struct outer x;
        outer_measure(&x, s, &o, s->mesh.sites);
        add_arena(m, &x.arena);
    }
    optimizer_free(&o);
}

/* Runs the placing code of training on empty arenas: the plan cannot forget what training takes. */
void memory_of_rank(struct memory *m, const struct memory_job *job, struct mesh_at at)
{
    const struct settings *s = job->settings;
    const struct extent *e = &job->extent;
    struct mesh mesh = memory_mesh(s, at);
    struct world w = {.size = s->mesh.dp * s->mesh.pp * s->mesh.tp,
                      .rank = mesh_rank_at(&mesh, at)};
    struct stage st;
    struct learner l;
    *m = (struct memory){0};
    int max_mb = learner_max_micro_batches(s, e->sequences, s->model.max_context - 1);
    struct stage_job stage = memory_stage(job, &mesh, max_mb);
    stage.with_reference = e->reference;
    stage.with_reward = e->reward;
    stage.keep = e->keep;
    stage_measure(&st, &stage);
    if (e->keep != KEEP_MASTERS) add_arena(m, &st.arena);
    if (max_mb > 0) add_buffers(m, engine_measure(mesh.pp, &st.passes, max_mb));
    add_optimizer(m, job, &st);
    learner_measure(&l, &st, e->sequences);
    add_arena(m, &l.arena);
    if (e->sampling) {
        const struct rollout_room room = {e->answers, e->samples, e->max_new};
        struct arena rollout = rollout_measure(&st, &w, room);
        add_arena(m, &rollout);
    }
    add_buffers(m, scratch_bytes(e, s->model.max_context));
    stage_free(&st);
}

/* What a rank sends to its counterpart in one other site at an exchange. */
size_t memory_site_message(const struct memory_job *job, struct mesh_at at)
{
    const struct settings *s = job->settings;
    if (s->mesh.sites == 1) return 0;
    struct mesh mesh = memory_mesh(s, at);
    struct stage st;
    struct optimizer o;
    struct outer x;
    const struct stage_job weights = memory_stage(job, &mesh, 0);
    stage_measure(&st, &weights);
    memory_optimizer(&o, job, &st);
    outer_measure(&x, s, &o, s->mesh.sites);
    optimizer_free(&o);
    stage_free(&st);
    return x.bytes;
}

struct rollout_cache memory_cache(const struct memory_job *job)
{
    struct mesh mesh = memory_mesh(job->settings, (struct mesh_at){0});
    struct stage s;
    const struct stage_job weights = memory_stage(job, &mesh, 0);
    stage_measure(&s, &weights);
    struct rollout_cache c = rollout_cache(&s);
    stage_free(&s);
    return c;
}

/* The layers of each chunk, as the trainer will split them. */
int *memory_split(const struct memory_job *job, int *chunks)
{
    struct mesh mesh = memory_mesh(job->settings, (struct mesh_at){0});
    struct stage s;
    const struct stage_job weights = memory_stage(job, &mesh, 0);
    stage_measure(&s, &weights);
    int *first = memory_take((size_t)s.chunks + 1, sizeof *first, "a split of layers");
    for (int i = 0; i <= s.chunks; i++) first[i] = s.first[i];
    *chunks = s.chunks;
    stage_free(&s);
    return first;
}

/* The matrix library's two blocks are as wide as the widest matrix; its kernels take three times as
 * much for those of the layers. */
size_t memory_beside(const struct memory_job *job)
{
    struct dims d = settings_dims(job->settings, job->vocabulary);
    d.tp = job->settings->mesh.tp;
    const struct dims here = dims_share(&d);
    const int wide[] = {here.C, dims_qkv(&here), 2 * here.F, 2 * here.Fe};
    int widest = 0;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (wide[i] > widest) widest = wide[i];
    size_t kernels = 3 * 2 * matmul_block_bytes(widest);
    if (here.V > widest) widest = here.V;
    return ((size_t)28 << 20) + 2 * matmul_block_bytes(widest) + kernels;
}

void linear_place_nothing(struct linear *l, int N, int K, bool backward, struct arena *a)
{
    (void)a;
    *l = (struct linear){.N = N, .K = K, .backward = backward};
}
