/* Any bytes as a hostfile, and as a map of ranks on two hosts: refused with a reason, or read;
 * never a crash (P11). Built by `make fuzz`. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include "comm/base/problems.h"
#include "trainer/planner/hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct hosts h;
    struct problems p = {0};
    bool ok = hosts_parse(&h, (const char *)data, n, "fuzz", &p);
    INVARIANT(ok == (p.n == 0), "%d problems of a file that was%s taken", p.n, ok ? "" : " not");
    long slots = 0;
    for (int i = 0; i < h.n; i++) slots += h.at[i].slots;
    INVARIANT(!ok || (h.n > 0 && slots == h.slots), "%d hosts, %ld slots of %d", h.n, slots,
              h.slots);
    hosts_free(&h);
    problems_free(&p);
    p = (struct problems){0};
    hosts_parse(&h, "h1 slots=2\nh2 slots=3\n", 22, "fuzz", &p);
    if (hosts_map_parse(&h, (const char *)data, n, "fuzz", 4, &p)) free(hosts_place(&h, 4));
    problems_free(&p);
    hosts_free(&h);
    return 0;
}
