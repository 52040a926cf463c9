/* A library for LD_PRELOAD: kernels that add in another order, for blocks of the rows that PLANTED
 * names ("16 64 256"; "turn 16 64 256": in every second call). */
#define _GNU_SOURCE
#include "tests/support/planted_kernel.h"

__attribute__((constructor)) static void read_rows(void)
{
    const char *at = getenv("PLANTED");
    planted_in_turn = at && strncmp(at, "turn ", 5) == 0;
    if (planted_in_turn) at += 5;
    for (int i = 0; at && *at && i < PLANTED_MOST; i++) {
        char *end;
        planted_rows[i] = (int)strtol(at, &end, 10);
        at = end;
    }
}
