/* Any bytes as a tokenizer.json; one that is accepted must encode and decode any bytes within its
 * bounds, and name the characters that it lacks. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/data/unknown.h"

/* As many characters as it says, and no text of n tokens is longer than it says. */
static void check_bounds(const struct tokenizer *t, const char *bytes, size_t n, const int *ids,
                         size_t count)
{
    char name[64];
    struct text text = {name, 0, sizeof name, false};
    struct unknown u = {0};
    bool some = unknown_scan(&u, t, (struct span){bytes, n}, true);
    unknown_name(&u, &text);
    if (some != (u.n > 0) || u.n > (long)n || text.n >= sizeof name) abort();
    if (tokenizer_decode(t, ids, count, name, sizeof name) >= tokenizer_text_bytes(t, count))
        abort();
}

/* Token by token, or all at once: the same text. */
static void check_stream(const struct tokenizer *t, const int *ids, size_t count)
{
    size_t size = tokenizer_text_bytes(t, count), at = 0, more;
    char *all = malloc(size);
    if (!all) abort();
    size_t n = tokenizer_decode(t, ids, count, all, size);
    struct tokenizer_stream *s = tokenizer_stream_new(t);
    for (size_t i = 0; i <= count; i++) {
        const char *part =
            i < count ? tokenizer_stream_put(s, ids[i], &more) : tokenizer_stream_end(s, &more);
        if (at + more > n || memcmp(all + at, part, more) != 0) abort();
        at += more;
    }
    if (at != n) abort();
    tokenizer_stream_free(s);
    free(all);
}

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
        check_bounds(t, (const char *)bytes, n, ids, count < 256 ? count : 256);
        check_stream(t, ids, count < 256 ? count : 256);
        tokenizer_encode(t, (const char *)bytes, n, false, ids, 256);
    }
    tokenizer_free(t);
    problems_free(&p);
    return 0;
}
