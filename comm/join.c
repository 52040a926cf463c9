#include "comm/join.h"

#include <stdbool.h>
#include <string.h>

#include "comm/base/ahead.h"

enum { BLOCK = 1024 }; /* a multiple of CODEC_BLOCK */

const void *join_at(const struct join_term *t, size_t at)
{
    return (const unsigned char *)t->at + codec_bytes(t->wire, at);
}

/* Numbers that crossed in a codec are decoded on the stack, block by block: no copy of the whole
 * array. */
static void add_term(float *to, enum join_op op, const struct join_term *t, size_t at, size_t n)
{
    float decoded[BLOCK];
    const float *x = (const float *)t->at + at;
    if (t->wire != CODEC_FP32) {
        codec_decode(t->wire, decoded, join_at(t, at), n);
        x = decoded;
    }
    if (op == JOIN_SUM)
        for (size_t i = 0; i < n; i++) to[i] += x[i];
    else
        for (size_t i = 0; i < n; i++) to[i] = x[i] > to[i] ? x[i] : to[i];
}

static void take_term(float *to, const struct join_term *t, size_t at, size_t n)
{
    codec_decode(t->wire, to, join_at(t, at), n);
}

/* A run of `inner` terms is summed first and added as one. That is the order of comm/coll.h, which
 * both paths of a reduction must keep. */
static void join_block(float *acc, const struct join *j, size_t at, size_t n)
{
    float run[BLOCK];
    if (j->before) take_term(acc, j->before, at, n);
    for (int i = 0; i < j->terms; i += j->inner) {
        bool first = i == 0 && !j->before;
        if (!first && j->inner == 1) {
            add_term(acc, j->op, &j->term[i], at, n);
            continue;
        }
        float *to = first ? acc : run;
        take_term(to, &j->term[i], at, n);
        for (int k = 1; k < j->inner; k++) add_term(to, j->op, &j->term[i + k], at, n);
        if (!first) add_term(acc, j->op, &(struct join_term){CODEC_FP32, run}, 0, n);
    }
}

/* Two arrays as they are, the case of most calls: added in place, without a block between, in
 * vectors of four, which every processor has. `to` may be one of them. */
static bool add_pair(float *to, const struct join *j, size_t at, size_t n)
{
    typedef float four __attribute__((vector_size(16)));
    enum { LANES = 4 };
    if (j->op != JOIN_SUM || j->before || j->terms != 2) return false;
    if (j->term[0].wire != CODEC_FP32 || j->term[1].wire != CODEC_FP32) return false;
    const float *a = (const float *)j->term[0].at + at, *b = (const float *)j->term[1].at + at;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        four x, y;
        memory_ahead(a + i);
        memory_ahead(b + i);
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        x += y;
        memcpy(to + i, &x, sizeof x);
    }
    for (; i < n; i++) to[i] = a[i] + b[i];
    return true;
}

void join_host(float *to, const struct join *j, size_t at, size_t n)
{
    float acc[BLOCK];
    if (add_pair(to, j, at, n)) return;
    for (size_t b = 0; b < n; b += BLOCK) {
        size_t m = n - b < BLOCK ? n - b : BLOCK;
        join_block(acc, j, at + b, m);
        memcpy(to + b, acc, m * sizeof *to);
    }
}
