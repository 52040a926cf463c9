#!/bin/bash
# isas.sh: the instruction sets of this machine for which oneDNN generates kernels, by the names of
# ONEDNN_MAX_CPU_ISA, best first; with the DUET_ISA name of our own kernels for each. Prints nothing
# where the processor's flags cannot be read.
set -u
flags=" ${CPU_FLAGS-$(sed -n 's/^flags[^:]*: *//p;T;q' /proc/cpuinfo 2>/dev/null)} "
has() {
    local flag
    for flag in "$@"; do [[ $flags == *" $flag "* ]] || return 1; done
}
avx2="avx2 fma bmi1 bmi2 movbe f16c"
avx512="$avx2 avx512f avx512bw avx512cd avx512dq avx512vl"
# shellcheck disable=SC2086  # lists of flags
{
    has $avx512 avx512_vnni avx512_bf16 amx_tile amx_bf16 amx_int8 && echo AVX512_CORE_AMX amx
    has $avx512 avx512_vnni avx512_bf16 && echo AVX512_CORE_BF16 avx512
    has $avx512 && echo AVX512_CORE avx512
    has $avx2 && echo AVX2 avx2
}
exit 0
