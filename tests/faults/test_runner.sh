#!/bin/bash
# test_runner.sh DUET: run_tests.sh on a small tree of its own: with TEST_SKIPS=fail a skip counts
# as a failure, and a marked test runs on each instruction set of the machine and shows which.
# isas.sh with the flags of several processors.
. "${BASH_SOURCE%/*}/common.sh"
unset ONEDNN_MAX_CPU_ISA DUET_ISA TEST_SKIPS

mkdir -p tests/unit/room tests/mpi tests/faults launch build/release/tests/unit/room build/release/tests/mpi
run_tests=$root/tests/support/run_tests.sh
echo '/* on each instruction set */' >tests/unit/room/test_marked.c
echo '/* nothing of the kind */' >tests/unit/room/test_plain.c
echo '/* ranks: 1 2; on each instruction set: 2 */' >tests/mpi/test_ranks.c
cat >build/release/tests/unit/room/test_marked <<'SH'
#!/bin/bash
echo "${0##*/} ${ONEDNN_MAX_CPU_ISA:-best} ${DUET_ISA:-best}" >>ran
echo '100%: Checks: 3, Failures: 0, Errors: 0'
SH
printf '#!/bin/bash\nshift 4\n"$@"\n' >launch/run.sh
printf '#!/bin/bash\necho AVX512_CORE avx512\necho AVX2 avx2\n' >launch/isas.sh
echo 'echo "no sshd"; exit 77' >tests/faults/test_skip.sh
cp build/release/tests/unit/room/test_marked build/release/tests/unit/room/test_plain
cp build/release/tests/unit/room/test_marked build/release/tests/mpi/test_ranks
chmod +x build/release/tests/mpi/* build/release/tests/unit/room/* launch/*

call "$run_tests" build/release --unit build/release/tests/unit/room/test_{marked,plain} --mpi build/release/tests/mpi/test_ranks --faults tests/faults/test_skip.sh
check "a skip: exit 0" equal "$code" 0
check "a skip: said with its cause" has out "no sshd"
check "a skip: counted" has out "1 skipped"
check "what ran" equal "$(<ran)" "test_marked best best
test_marked AVX2 avx2
test_plain best best
test_ranks best best
test_ranks best best
test_ranks AVX2 avx2"
check "sum" has out "18 passed, 0 failed"
check "the best set is named" has out "unit/room/test_marked [AVX512_CORE] "
check "the lesser set is named" has out "unit/room/test_marked [AVX2] "
check "ranks and set are named" has out "mpi/test_ranks on 2 [AVX2] "

export TEST_SKIPS=fail
call "$run_tests" build/release --unit build/release/tests/unit/room/test_plain --faults tests/faults/test_skip.sh
unset TEST_SKIPS
check "no skips: exit 1" equal "$code" 1
check "no skips: the cause" has out "no sshd"
check "no skips: what to do" has out "skipped, and here nothing may be (TEST_SKIPS=fail): install what it lacks, launch/setup.sh --hosts"
check "no skips: sum" has out "3 passed, 1 failed"

rm ran
ONEDNN_MAX_CPU_ISA=AVX2 call "$run_tests" build/release --unit build/release/tests/unit/room/test_marked
check "a set that the caller chose is the only one" equal "$(<ran)" "test_marked AVX2 best"
check "and named" has out "unit/room/test_marked [AVX2] "

# --- processors ---
v3="avx avx2 fma bmi1 bmi2 movbe f16c" v4="avx512f avx512bw avx512cd avx512dq avx512vl"
of() { CPU_FLAGS=$1 "$root/launch/isas.sh" | tr '\n' ' '; }
check "AMX" equal "$(of "$v3 $v4 avx512_vnni avx512_bf16 amx_tile amx_bf16 amx_int8")" "AVX512_CORE_AMX amx AVX512_CORE_BF16 avx512 AVX512_CORE avx512 AVX2 avx2 "
check "bf16" equal "$(of "$v3 $v4 avx512_vnni avx512_bf16")" "AVX512_CORE_BF16 avx512 AVX512_CORE avx512 AVX2 avx2 "
check "AVX-512" equal "$(of "$v3 $v4")" "AVX512_CORE avx512 AVX2 avx2 "
check "AVX2" equal "$(of "$v3")" "AVX2 avx2 "
check "none" equal "$(of "sse4_1 avx")" ""
call "$root/launch/info.sh"
check "make info: names the sets" has out "$("$root/launch/isas.sh" | awk 'NR == 1 { print $1 }')"
check "make info: what oneDNN takes" grep -Eq '^ +oneDNN takes +[A-Z]+[0-9]' out
finish
