/* Any bytes as an index of safetensors files: refused with one problem, or read; then every entry
 * is found and its file is a plain name. */
#include <stdlib.h>
#include <stdint.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct hf_index x;
    struct problems p = {0};
    bool ok = hf_index_parse(&x, bytes, n, "index", &p);
    if (ok ? p.n != 0 : p.n != 1) abort();
    for (size_t i = 0; ok && i < x.n; i++) {
        const struct hf_entry *e = &x.entry[i];
        if (hf_index_find(&x, e->tensor) != e) abort();
        if (strpbrk(e->file, "/\\") || strstr(e->file, "..") || !*e->file) abort();
    }
    if (ok) hf_index_free(&x);
    problems_free(&p);
    return 0;
}
