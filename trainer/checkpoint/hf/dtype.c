#include "trainer/checkpoint/hf/dtype.h"

#include <string.h>
#include "comm/base/die.h"
#include "comm/base/half.h"

static const struct {
    const char *name;
    int bits;
} KIND[] = {
#define ROW(name, bits) {#name, bits},
    ST_DTYPES(ROW)
#undef ROW
};

const char *st_name(enum st_dtype d)
{
    return KIND[d].name;
}

int st_bits(enum st_dtype d)
{
    return KIND[d].bits;
}

bool st_find(const char *name, enum st_dtype *d)
{
    for (int i = 0; i < ST_KINDS; i++)
        if (strcmp(name, KIND[i].name) == 0) {
            *d = (enum st_dtype)i;
            return true;
        }
    return false;
}

bool st_is_weight(enum st_dtype d)
{
    return d == ST_F16 || d == ST_BF16 || d == ST_F32;
}

/* bf16 has a loop of its own, without a call for each number: nearly all that is imported is bf16.
 */
static void widen_bf16(float *out, const uint16_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)in[i] << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

void st_to_float(float *out, const void *in, enum st_dtype d, size_t n)
{
    const uint16_t *half = in;
    INVARIANT(st_is_weight(d), "type %s", st_name(d));
    if (d == ST_F32) memcpy(out, in, n * sizeof *out);
    if (d == ST_BF16) widen_bf16(out, half, n);
    for (size_t i = 0; d == ST_F16 && i < n; i++) out[i] = half_to_float(half[i]);
}

void st_from_float(void *out, const float *in, enum st_dtype d, size_t n)
{
    uint16_t *half = out;
    INVARIANT(st_is_weight(d), "type %s", st_name(d));
    if (d == ST_F32) memcpy(out, in, n * sizeof *in);
    for (size_t i = 0; d == ST_BF16 && i < n; i++) half[i] = bf16_of_float(in[i]);
    for (size_t i = 0; d == ST_F16 && i < n; i++) half[i] = half_of_float(in[i]);
}
