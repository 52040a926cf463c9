/* Any bytes as a tokenizer.json; one that is accepted must encode and decode any bytes within its bounds. */
#include <stdlib.h>
#include "model/tokenizer.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
    struct problems p = {0};
    struct tokenizer *t = tokenizer_parse(bytes, n, "fuzz", &p);
    if ((t == NULL) != (p.n > 0)) abort();
    if (t) {
        int ids[256];
        char text[256];
        size_t count = tokenizer_encode(t, (const char *)bytes, n, true, ids, 256);
        for (size_t i = 0; i < count && i < 256; i++)
            if (ids[i] < 0 || ids[i] >= tokenizer_size(t)) abort();
        tokenizer_decode(t, ids, count < 256 ? count : 256, text, sizeof text);
    }
    tokenizer_free(t);
    problems_free(&p);
    return 0;
}
