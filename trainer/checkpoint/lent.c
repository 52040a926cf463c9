#include "trainer/checkpoint/lent.h"

#include <stdlib.h>

#include "comm/base/device.h"
#include "comm/base/memory.h"
#include "trainer/checkpoint/range.h"

/* As much of the host's memory as the slices have of the device's, for as long as they are read. */
bool slices_lent(const struct slice *slices, int n,
                 bool (*read)(void *ctx, const struct slice *slices, int n), void *ctx)
{
    struct slice *lent = memory_take((size_t)n + 1, sizeof *lent, "slices");
    for (int i = 0; i < n; i++) {
        lent[i] = slices[i];
        lent[i].device = NULL;
        if (slices[i].device)
            lent[i].data =
                memory_take(range_count(&slices[i].at) + 1, sizeof *lent[i].data, slices[i].name);
    }
    bool ok = read(ctx, lent, n);
    for (int i = 0; i < n; i++) {
        const struct device *d = slices[i].device;
        if (!d) continue;
        if (ok)
            d->copy_in(slices[i].data, lent[i].data, range_count(&slices[i].at) * sizeof(float));
        free(lent[i].data);
    }
    free(lent);
    return ok;
}
