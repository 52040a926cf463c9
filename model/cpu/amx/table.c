/* The tables for processors with AMX: attention of bf16 on tiles, all else as with AVX-512. */
#define _DEFAULT_SOURCE /* syscall */
#include "model/cpu/amx/table.h"

#include <sys/syscall.h>
#include <unistd.h>
#include "model/cpu/real.h"

#define DECLARE(row) \
    extern __typeof__(*((const struct ops *)0)->row) row##_avx512_bf16, row##_avx512_fp32;
OPS_ROWS(DECLARE)

#define FP32(row)  .row = row##_avx512_fp32,
#define BF16(row)  .row = row##_avx512_bf16,
#define TILES(row) .row = OP(row),

const struct ops ops_amx_fp32 = {.name = "amx-" PRECISION_NAME_FP32,
                                 .isa = "amx",
                                 .precision = PRECISION_FP32,
                                 .real_bytes = sizeof(float),
                                 OPS_ROWS(FP32)};
const struct ops ops_amx_bf16 = {.name = "amx-" PRECISION_NAME_BF16,
                                 .isa = "amx",
                                 .precision = PRECISION_BF16,
                                 .real_bytes = sizeof(real),
                                 OPS_ROWS_BUT_ATTENTION(BF16) OPS_ATTENTION_ROWS(TILES)};

/* Linux gives a process the tiles' registers when it asks for them: state 18 of XSAVE. */
bool amx_asked(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
}
