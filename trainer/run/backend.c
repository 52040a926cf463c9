/* Ranks of a host that see the same GPUs (CUDA_VISIBLE_DEVICES) take them in order, ranks_per_gpu
 * of them each. A launcher that shows every rank another GPU gives each the first that it sees. */
#include "trainer/run/backend.h"

#include <stdlib.h>
#include <string.h>

#include "comm/base/checksum.h"
#include "comm/base/memory.h"
#include "comm/cuda/device.h"
#include "comm/cuda/transport.h"
#include "model/cuda/ops.h"
#include "trainer/planner/limits.h"

/* On which host a rank is, and which GPUs it sees. */
struct view {
    uint64_t node, sum;
};

/* Ranks before this one that have its view. */
static int before_me(const struct world *w)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    struct view mine = {(uint64_t)w->node, 0};
    if (visible) mine.sum = checksum(visible, strlen(visible), 1);
    struct view *all = memory_take((size_t)w->size, sizeof *all, "the GPUs of a job");
    MPI_OK(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, w->comm));
    int n = 0;
    for (int i = 0; i < w->rank; i++) n += all[i].node == mine.node && all[i].sum == mine.sum;
    free(all);
    return n;
}

static struct backend cuda_find(const struct settings *s, const struct world *w, struct problems *p)
{
    struct backend none = {NULL, &transport_mpi};
    int ordinal = before_me(w) / s->run.ranks_per_gpu;
    if (w->sites > 1) {
        problems_add(p, NULL, 0, "sites exchange weights in the host's memory: set device: host");
        return none;
    }
    if (!device_cuda(ordinal, p)) return none;
    return (struct backend){ops_cuda((enum precision)s->run.precision), transport_cuda()};
}

struct backend backend_find(const struct settings *s, const struct world *w, struct problems *p)
{
    if (s->run.device == DEVICE_CUDA) return cuda_find(s, w, p);
    struct backend b = {ops_find((enum precision)s->run.precision, NULL), &transport_mpi};
    if (!b.ops)
        problems_add(p, NULL, 0,
                     "this machine cannot run the kernels that DUET_ISA or DUET_BF16 asks for; "
                     "make info lists what it has");
    return b;
}

size_t backend_memory(const struct settings *s, const struct world *w,
                      const struct transport *transport)
{
    if (transport->device == &device_host) return limits_memory(w);
    return device_room(transport->device) / (size_t)s->run.ranks_per_gpu;
}
