/* Any bytes as a manifest: refused or read, never a crash (promise P11). The checksum would stop
 * nearly all of them at the door, so each input is tried twice: as it is, and as a body under a
 * checksum that fits. What is accepted must come out of manifest_text and go in again. Its state is
 * read as a run's position, too. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "comm/base/checksum.h"
#include "comm/base/problems.h"
#include "trainer/checkpoint/manifest.h"
#include "trainer/run/position.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const void *bytes, size_t n, int again)
{
    struct manifest m;
    struct problems p = {0};
    const bool ok = manifest_parse(&m, bytes, n, "m", &p);
    if (ok == (p.n > 0)) abort();
    problems_free(&p);
    if (!ok) {
        if (again) abort();
        return;
    }
    struct position q;
    if (position_read(&q, m.state, "m", &p) == (p.n > 0)) abort();
    problems_free(&p);
    size_t length = 0;
    char *text = manifest_text(&m, &length);
    manifest_free(&m);
    if (text && !again && !memchr(bytes, '\\', n)) check(text, length, 1);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    enum { HEAD = 30 };
    check(bytes, n, 0);
    char *sealed = malloc(HEAD + n + 1);
    if (!sealed) return 0;
    snprintf(sealed, HEAD + 1, "{\"xxh64\": \"%016" PRIx64 "\",\n", checksum(bytes, n, 0));
    memcpy(sealed + HEAD, bytes, n);
    check(sealed, HEAD + n, 0);
    free(sealed);
    return 0;
}
