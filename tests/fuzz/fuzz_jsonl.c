/* Any bytes as the user's JSON Lines. */
#include <stdlib.h>
#include "comm/base/problems.h"
#include "trainer/data/jsonl.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    struct problems p = {0};
    struct records r;
    records_parse(&r, bytes, n, "fuzz", &p);
    for (int i = 0; i < r.n; i++)
        if (!r.r[i].prompt || !r.r[i].answer) abort();
    records_free(&r);
    problems_free(&p);
    return 0;
}
