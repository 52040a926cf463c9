/* Which instruction set the matrix library takes here, how many threads, and how bf16 weights are
 * multiplied with it. */
#define _DEFAULT_SOURCE /* syscall */
#include <dnnl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "comm/base/environment.h"
#include "model/matmul.h"

static int threads_set = 1;

void matmul_set_threads(int threads)
{
    threads_set = threads;
}

int matmul_threads(void)
{
    return threads_set;
}

void matmul_limit(const char *isa)
{
    if (strcmp(isa, "avx2") == 0) (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
    if (strcmp(isa, "base") == 0) (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41);
}

static bool isa_has(unsigned all)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & all) == all;
}

bool matmul_bf16_runs(void)
{
    const char *how = environment_text("DUET_BF16");
    return !how || strcmp(how, "native") != 0 || isa_has(dnnl_cpu_isa_avx512_core);
}

static enum matmul_type choose_bf16(void)
{
    const char *how = environment_text("DUET_BF16");
    bool native = isa_has(dnnl_cpu_isa_avx512_core_bf16);
    if (how && strcmp(how, "native") == 0) native = true;
    if (how && strcmp(how, "widen") == 0) native = false;
    return native ? MATMUL_BF16 : MATMUL_WIDENED;
}

enum matmul_type matmul_type_of_bf16(void)
{
    static bool known;
    static enum matmul_type type;
    if (!known) type = choose_bf16();
    known = true;
    return type;
}

/* Linux gives a process tile registers when asked. */
static bool tiles_allowed(void)
{
#ifdef SYS_arch_prctl
    enum { ASK = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM */
    return syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
#else
    return false;
#endif
}

/* Ours use one thread. */
bool matmul_tiles(void)
{
    static int known;
    if (known == 0) known = isa_has(dnnl_cpu_isa_avx512_core_amx) && tiles_allowed() ? 1 : -1;
    return known > 0 && threads_set == 1;
}

bool matmul_pairs(void)
{
    return threads_set == 1 && isa_has(dnnl_cpu_isa_avx512_core_bf16) &&
           !isa_has(dnnl_cpu_isa_avx512_core_amx);
}

/* Best first, by the names of ONEDNN_MAX_CPU_ISA. */
static const struct {
    unsigned isa;
    const char *name;
} sets[] = {{dnnl_cpu_isa_avx512_core_amx, "AVX512_CORE_AMX"},
            {dnnl_cpu_isa_avx512_core_bf16, "AVX512_CORE_BF16"},
            {dnnl_cpu_isa_avx512_core, "AVX512_CORE"},
            {dnnl_cpu_isa_avx2, "AVX2"}};

const char *matmul_isa(void)
{
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (isa_has(sets[i].isa)) return sets[i].name;
    return "below AVX2";
}
