#include "trainer/planner/limits.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "comm/base/problems.h"

/* --- micro-batches --- */

/* Engine and plan have fixed tables: refused here rather than in the step that would need more. */
bool limits_micro_batches(const struct settings *s, const struct extent *e, struct problems *p)
{
    int most = plan_most_micro_batches(s->mesh.pp);
    int need = learner_max_micro_batches(s, e->sequences, s->model.max_context - 1);
    if (need <= most) return true;
    problems_add(p, NULL, 0,
                 "%s%sa step of %d sequences may need %d micro-batches per pipeline, but a "
                 "schedule of pp %d has at most %d: raise data.micro_batch_tokens (now %d), lower "
                 "%s or mesh.micro_batches, or use more pipelines (mesh.dp)",
                 e->phase ? e->phase : "", e->phase ? ": " : "", e->sequences, need, s->mesh.pp,
                 most, s->data.micro_batch_tokens, e->lower ? e->lower : "sequences");
    return false;
}

/* --- memory --- */

/* The first number in a file of the system's, in its own unit; 0: no such file, or no number. */
static size_t number_in(const char *path, const char *format)
{
    char line[256];
    size_t n = 0;
    FILE *f = fopen(path, "r");
    while (f && n == 0 && fgets(line, sizeof line, f))
        if (sscanf(line, format, &n) != 1) n = 0;
    if (f) fclose(f);
    return n;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum { GROUP_BYTES = 4096 };

/* Control groups are kept in two ways: of version 2 in one tree, of version 1 in a tree for each
 * controller. */
struct group_kind {
    const char *controller; /* as /proc/self/cgroup names it; "" of version 2 */
    const char *tree;       /* below the root */
    const char *most, *used, *cache;
};
static const struct group_kind GROUP_KINDS[] = {
    {"", "", "memory.max", "memory.current", "inactive_file %zu"},
    {"memory", "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file %zu"},
};
enum { N_GROUP_KINDS = sizeof GROUP_KINDS / sizeof *GROUP_KINDS };

/* What the control group at `path` leaves; SIZE_MAX: no limit. */
static size_t group_at(const struct group_kind *k, const char *path)
{
    char file[GROUP_BYTES + 32];
    snprintf(file, sizeof file, "%s/%s", path, k->most);
    size_t most = number_in(file, "%zu");
    snprintf(file, sizeof file, "%s/%s", path, k->used);
    size_t used = number_in(file, "%zu");
    snprintf(file, sizeof file, "%s/memory.stat", path);
    size_t cache = number_in(file, k->cache);
    if (most == 0) return SIZE_MAX;
    used = used > cache ? used - cache : 0;
    return most > used ? most - used : 1;
}

/* "5:cpu,memory:/jobs/17" of the kind: "/jobs/17"; NULL: of another kind. The line is cut into
 * pieces. */
static const char *group_in(char *line, const struct group_kind *k)
{
    char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
    if (!path) return NULL;
    *path++ = 0;
    path[strcspn(path, "\n")] = 0;
    if (!*k->controller) return names[1] ? NULL : path;
    for (char *name = strtok(names + 1, ","); name; name = strtok(NULL, ","))
        if (strcmp(name, k->controller) == 0) return path;
    return NULL;
}

/* The control group `group` and those around it; in a container its own is the root of the tree. */
static size_t groups_leave(const struct group_kind *k, const char *root, const char *group)
{
    char path[GROUP_BYTES];
    snprintf(path, sizeof path, "%s%s", root, k->tree);
    size_t n = strlen(path), least = group_at(k, path);
    snprintf(path + n, sizeof path - n, "%s", group);
    for (; strlen(path) > n; *strrchr(path, '/') = 0) least = smaller(least, group_at(k, path));
    return least;
}

/* The smallest of what all control groups leave, versions 1 and 2: a batch system may use either.
 */
size_t limits_group(const char *root, const char *own)
{
    size_t least = SIZE_MAX;
    for (int i = 0; i < N_GROUP_KINDS; i++) {
        char line[GROUP_BYTES];
        const char *group = NULL;
        FILE *f = fopen(own, "r");
        while (f && !group && fgets(line, sizeof line, f)) group = group_in(line, &GROUP_KINDS[i]);
        if (f) fclose(f);
        least = smaller(least, groups_leave(&GROUP_KINDS[i], root, group ? group : ""));
    }
    return least;
}

/* What `ulimit -v` leaves this process; SIZE_MAX: no limit. */
static size_t process_leaves(void)
{
    struct rlimit most;
    if (getrlimit(RLIMIT_AS, &most) != 0 || most.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
    size_t used = number_in("/proc/self/statm", "%zu") * (size_t)sysconf(_SC_PAGESIZE);
    return most.rlim_cur > used ? (size_t)most.rlim_cur - used : 1;
}

/* A tenth is left to MPI, to libraries and to the file cache. */
size_t limits_memory(const struct world *w)
{
    size_t host = number_in("/proc/meminfo", "MemAvailable: %zu") * 1024;
    if (host == 0) return 0;
    size_t each = smaller(host, limits_group("/sys/fs/cgroup", "/proc/self/cgroup")) / 10 * 9 /
                  (size_t)w->local_size;
    return smaller(each, process_leaves() / 10 * 9);
}

/* What to change when most of the memory is of that kind. */
static const char *const remedy[ARENA_KINDS] = {
    [ARENA_BUFFERS] = ("lower batch, prompts, samples, eval_prompts or max_new of the phases, or "
                       "model.max_context"),
    [ARENA_PARAMETERS] = "lower the model's sizes, or use more stages (mesh.pp) or mesh.tp",
    [ARENA_GRADIENTS] = "lower the model's sizes, or use more stages (mesh.pp) or mesh.tp",
    [ARENA_OPTIMIZER] = "lower the model's sizes, or use more ranks (mesh.dp, mesh.pp) or hosts",
    [ARENA_ACTIVATIONS] = ("lower data.micro_batch_tokens, set mesh.recompute to full, or "
                           "use more stages (mesh.pp)"),
    [ARENA_CACHES] = ("lower mesh.cache_tokens, mesh.decode_slots or model.max_context, or use "
                      "more stages (mesh.pp)"),
};

/* First without copies of weights for products: to place those, their kernels are tried, which
 * takes memory of the weights' own size. */
bool limits_measure(struct memory *m, const struct memory_job *job, struct mesh_at at, size_t limit)
{
    struct ops bare = *job->ops;
    struct memory_job first = *job;
    bare.linear_place = linear_place_nothing;
    first.ops = &bare;
    memory_of_rank(m, &first, at);
    if (limit > 0 && m->total > limit) return false;
    memory_of_rank(m, job, at);
    return limit == 0 || m->total <= limit;
}

struct limit_unit {
    const char *name;
    double bytes;
};

/* So that two sizes which differ look different. */
static struct limit_unit unit_for(size_t bytes)
{
    static const struct limit_unit mib = {"MiB", 0x1p20}, gib = {"GiB", 0x1p30},
                                   tib = {"TiB", 0x1p40};
    return bytes < (size_t)8 << 30 ? mib : bytes < (size_t)8 << 40 ? gib : tib;
}

/* The remedy is that of the largest kind. */
bool limits_fit(const struct memory_job *job, struct mesh_at at, size_t limit, const char *host,
                struct problems *p)
{
    struct memory m;
    char kinds[256] = "";
    size_t used = 0;
    int largest = 0;
    if (limits_measure(&m, job, at, limit)) return true;
    const struct limit_unit need = unit_for(m.total), have = unit_for(limit);
    for (int k = 0; k < ARENA_KINDS; k++) {
        if (m.of[k] > m.of[largest]) largest = k;
        used += (size_t)snprintf(kinds + used, sizeof kinds - used, "%s%s %.1f", k ? ", " : "",
                                 arena_kind_name((enum arena_kind)k), (double)m.of[k] / need.bytes);
    }
    problems_add(p, NULL, 0,
                 "a rank needs %.1f %s (%s), but only %.1f %s are free for it on %s: %s",
                 (double)m.total / need.bytes, need.name, kinds, (double)limit / have.bytes,
                 have.name, host, remedy[largest]);
    return false;
}
