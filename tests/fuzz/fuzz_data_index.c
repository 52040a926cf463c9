/* Any bytes as the index of two data files: refused, or taken and used, never a crash (promise
 * P11). Its checksum would stop nearly all of them at the door, so each input is tried twice: as it
 * is, and under a head and a checksum that fit. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/checksum.h"
#include "trainer/data/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { FILES = 2, IDENTITY = 0 };

/* Every member of a split is a line that there is. */
static void use(const struct data_index *x)
{
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < x->split[k].n; i++)
            if (number_set_at(&x->split[k], i) >= x->lines[FILES]) abort();
    for (int f = 0; f < FILES; f++)
        for (size_t i = 0; i < x->file[f].marks; i++)
            if (x->file[f].mark[i].at >= x->file[f].bytes) abort();
}

static void check(const uint8_t *bytes, size_t n)
{
    struct data_index x = {.files = FILES, .training = 1};
    x.file = calloc(FILES, sizeof *x.file);
    x.lines = calloc(FILES + 1, sizeof *x.lines);
    if (!x.file || !x.lines) abort();
    for (int f = 0; f < FILES; f++) x.file[f] = (struct lines){.fd = -1, .bytes = f ? 70000 : 1000};
    if (index_take(&x, IDENTITY, bytes, n)) {
        size_t again;
        use(&x);
        unsigned char *same = index_bytes(&x, IDENTITY, &again);
        if (!index_take(&x, IDENTITY, same, again)) abort();
        free(same);
    }
    index_free(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    enum { HEAD = 56, SUM = 8 };
    const uint64_t head[] = {IDENTITY, n, FILES};
    check(bytes, n);
    if (n < HEAD + SUM) return 0;
    uint8_t *fit = malloc(n);
    if (!fit) return 0;
    memcpy(fit, bytes, n);
    memcpy(fit, INDEX_MARK, sizeof INDEX_MARK);
    memcpy(fit + 32, head, sizeof head);
    const uint64_t sum = checksum(fit, n - SUM, 0);
    memcpy(fit + n - SUM, &sum, SUM);
    check(fit, n);
    free(fit);
    return 0;
}
