/* Any bytes as a cluster file: refused with a reason, or read; never a crash (P11). Built by `make
 * fuzz`. */
#include <stddef.h>
#include <stdint.h>
#include "comm/base/problems.h"
#include "trainer/config/cluster.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct cluster c;
    struct problems p = {0};
    cluster_defaults(&c);
    bool ok = cluster_parse(&c, data, n, "fuzz", &p);
    INVARIANT(ok == (p.n == 0), "%d problems of a file that was%s taken", p.n, ok ? "" : " not");
    if (ok) INVARIANT(cluster_devices(&c) > 0, "%d devices", cluster_devices(&c));
    problems_free(&p);
    cluster_free(&c);
    return 0;
}
