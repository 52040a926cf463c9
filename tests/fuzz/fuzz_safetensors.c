/* Any bytes as a safetensors file: refused with one problem or read, never a crash (promise P11).
 * What is accepted covers its data without a gap, is found by name, and comes out of the writer and
 * in again. Each input is tried twice: as it is, and as a header under a length that fits. */
#include <stdlib.h>
#include <string.h>
#include "comm/base/problems.h"
#include "trainer/checkpoint/hf/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static uint64_t data_bytes(const struct safetensors *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct safetensor *t = &s->t[i];
        if (t->end < t->begin || safetensors_find(s, t->name) != t) abort();
        if (t->end - t->begin != safetensor_count(t) * (uint64_t)st_bits(t->dtype) / 8) abort();
        sum += t->end - t->begin;
    }
    return sum;
}

static void check(const void *bytes, size_t n, uint64_t file, int again)
{
    struct safetensors s;
    struct problems p = {0};
    bool ok = safetensors_parse(&s, bytes, n, file, "m", &p);
    if (ok ? p.n != 0 : p.n != 1) abort();
    problems_free(&p);
    if (!ok && again) abort();
    if (!ok) return;
    if (data_bytes(&s) + s.data != file) abort();
    bool plain = true; /* the writer does not escape */
    for (size_t i = 0; i < s.n; i++)
        for (const char *c = s.t[i].name; *c; c++)
            plain = plain && *c != '"' && *c != '\\' && (unsigned char)*c >= 0x20;
    if (!again && plain) {
        size_t header;
        char *text = safetensors_header(s.t, s.n, &header);
        if (text) check(text, header, header + (file - s.data), 1);
        free(text);
    }
    safetensors_free(&s);
}

/* The length of the data that a header speaks of: its largest number, so that some fit. */
static uint64_t largest_number(const uint8_t *bytes, size_t n)
{
    uint64_t most = 0, value = 0;
    for (size_t i = 0; i < n; i++) {
        bool digit = bytes[i] >= '0' && bytes[i] <= '9' && value < 1u << 30;
        value = digit ? value * 10 + (uint64_t)(bytes[i] - '0') : 0;
        if (value > most) most = value;
    }
    return most;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    check(bytes, n, n, 0);
    uint8_t *file = malloc(8 + n);
    if (!file) return 0;
    for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)n >> 8 * i & 255);
    memcpy(file + 8, bytes, n);
    check(file, 8 + n, 8 + n, 0);
    check(file, 8 + n, 8 + n + largest_number(bytes, n), 0);
    free(file);
    return 0;
}
