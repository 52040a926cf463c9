/* Any bytes as a hostfile: refused with a reason, or read; never a crash (P11). Built by `make fuzz`. */
#include <stddef.h>
#include <stdint.h>
#include "trainer/plan/hosts.h"

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
    problems_free(&p);
    hosts_free(&h);
    return 0;
}
