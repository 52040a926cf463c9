/* Chooses the table of operations: the best instruction set that this processor has, asked at run
 * time. */
#include "comm/base/environment.h"
#include "model/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "model/cpu/amx/table.h"
#include "model/precision.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* What gcc and clang may emit for -march=x86-64-v3; the compilers do not agree on names for all of
 * it. */
static bool has_v3(void)
{
    unsigned a, b, c = 0, d, extended = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
    bool f16c_movbe = (c & bit_F16C) && (c & bit_MOVBE);
    if (!__get_cpuid(0x80000001u, &a, &b, &extended, &d)) return false;
    return f16c_movbe && (extended & bit_LZCNT) && __builtin_cpu_supports("avx2") &&
           __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

static bool has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

/* Conversions to bf16 (leaf 7.1, EAX bit 5) and tiles of it (leaf 7, EDX bits 22 and 24). */
static bool has_amx(void)
{
    unsigned a, b, c, d = 0, bf16 = 0;
    const unsigned tiles = 1u << 22 | 1u << 24;
    if (!has_v4() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & tiles) != tiles) return false;
    if (!__get_cpuid_count(7, 1, &bf16, &b, &c, &d) || !(bf16 & 1u << 5)) return false;
    return amx_asked();
}
#endif

static bool has_base(void)
{
    return true;
}

#define TABLES(isa) extern const struct ops ops_##isa##_fp32, ops_##isa##_bf16;
TABLES(base)
TABLES(plain)
#if defined(__x86_64__)
TABLES(avx2)
TABLES(avx512)
#endif

/* Best first; plain is never chosen by itself. */
static const struct {
    const char *isa;
    const struct ops *table[2]; /* by enum precision */
    bool (*runs)(void);
} choices[] = {
#if defined(__x86_64__)
    {"amx", {&ops_amx_fp32, &ops_amx_bf16}, has_amx},
    {"avx512", {&ops_avx512_fp32, &ops_avx512_bf16}, has_v4},
    {"avx2", {&ops_avx2_fp32, &ops_avx2_bf16}, has_v3},
#endif
    {"base", {&ops_base_fp32, &ops_base_bf16}, has_base},
    {"plain", {&ops_plain_fp32, &ops_plain_bf16}, has_base},
};

const struct ops *ops_find(enum precision precision, const char *isa)
{
    if (!isa) {
        isa = environment_text("DUET_ISA");
        if (isa) matmul_limit(isa);
        if (!precision_kind(precision)->runs()) return NULL;
    }
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if ((!isa || strcmp(isa, choices[i].isa) == 0) && choices[i].runs())
            return choices[i].table[precision];
    return NULL;
}

void ops_set_threads(int threads)
{
    matmul_set_threads(threads);
}

void ops_kernels(char *text, size_t bytes, const struct ops *ops)
{
    bool widened = precision_kind(ops->precision)->product() == MATMUL_WIDENED;
    snprintf(text, bytes, "%s, oneDNN %s%s", ops->name, matmul_isa(),
             widened ? ", bf16 widened to fp32" : "");
}

void ops_slow_products(char *text, size_t bytes)
{
    matmul_by_row(text, bytes);
}

double ops_matmul_rate(const struct ops *ops, int rows, int N, int K)
{
    return matmul_rate(rows, N, K, precision_kind(ops->precision)->product());
}
