#!/bin/bash
# test_kernels.sh DUET: P1, P2: a library whose kernels add in another order for some numbers of
# rows (tests/support/planted_kernel.h, inserted between Duet and oneDNN). The trial at start-up
# excludes those blocks: the ratio is exactly 1. If no block remains, products run row by row, and
# the log names them, once for all ranks. Hosts whose kernels differ are rejected.
. "${BASH_SOURCE%/*}/common.sh"
gcc -shared -fPIC -O1 -I"$root" "$root/tests/support/planted_kernel.c" -o planted.so -ldl || { echo "cannot build the planted kernels"; exit 1; }
base

# planted ROWS RANKS FOLDER ARGUMENTS...
planted() {
    export PLANTED=$1 LD_PRELOAD=$PWD/planted.so
    shift
    train "$@"
    unset PLANTED LD_PRELOAD
}
for precision in fp32 bf16; do
    for rows in 256 64 "64 256" "turn 16"; do
        name=$precision-${rows// /-}
        [[ $rows = *256 ]] && prompts=16 || prompts=4 # as many rows as a block of that size is used for
        planted "$rows" 1 "$name" --set "precision=$precision" --set "phases.grpo.prompts=$prompts"
        check "$name: exit 0" equal "$code" 0
        check "$name: the ratio is exactly 1" equal "$(deviations "$name/metrics.jsonl")" 0
        check "$name: nothing runs row by row" hasnt err "row by row"
    done
done
planted "turn 16 64 256" 2 slow --set mesh.dp=2
check "no block is left: exit 0" equal "$code" 0
check "no block is left: the ratio is exactly 1" equal "$(deviations slow/metrics.jsonl)" 0
check "no block is left: reported once" times 1 err "are computed row by row, slowly: no multi-row oneDNN kernel of this machine gives a row the same bits whatever the other rows are"
check "no block is left: which" has err "96 x 32 (forward)"

# ranks as on hosts of two kinds: one of them has less than this machine
less=SSE41
grep -qw avx512f /proc/cpuinfo && less=AVX2
cat >mixed.sh <<SH
#!/bin/bash
[ "\$OMPI_COMM_WORLD_RANK" = 1 ] && export ONEDNN_MAX_CPU_ISA=$less
exec $duet "\$@"
SH
chmod +x mixed.sh
same=$duet duet=$PWD/mixed.sh
train 2 mixed --set mesh.dp=2
duet=$same
check "two kinds of hosts: exit 2" equal "$code" 2
check "two kinds of hosts: which rank" has err "(rank 1) uses the kernels "
check "two kinds of hosts: what, and what to do" has err "and their results differ in the last bits: set DUET_ISA and ONEDNN_MAX_CPU_ISA on all ranks to what every host has (make info lists it)"
check "two kinds of hosts: nothing was begun" test ! -e mixed/metrics.jsonl

export DUET_BF16=native DUET_ISA=avx2
train 1 none --set precision=bf16
unset DUET_BF16 DUET_ISA
check "bf16 without AVX-512: exit 2" equal "$code" 2
check "bf16 without AVX-512: reported" has err "this machine cannot run the kernels that DUET_ISA or DUET_BF16 asks for; make info lists what it has"
finish
