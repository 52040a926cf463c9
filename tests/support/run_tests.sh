#!/bin/bash
# run_tests.sh BUILD {--unit|--property|--growth|--mpi|--faults|--hosts|--slurm} TEST...: runs
# tests, one line each, shows the output of those that fail, ends with "N passed, N failed". C tests
# are counted by the summary line of Check (a test that exits 0 without one has failed); scripts
# count as one, exit 77 means skipped and the last line says why: with TEST_SKIPS=fail in the
# environment that is a failure. A C test whose first line says "on each instruction set" runs on
# each that this machine has (launch/isas.sh), and its name shows which; a test of several ranks
# says on how many: "on each instruction set: 1 2".
# Exit 1 when anything failed or nothing ran.
set -u
build=$1
shift
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export LSAN_OPTIONS=suppressions=$PWD/tests/support/lsan.supp:print_suppressions=0

# Seconds for a test on one rank count: it takes ten, but not on a busy machine, and not under a
# sanitizer.
case $build in *asan* | *cover*) mpi_limit=900 ;; *) mpi_limit=240 ;; esac
# Check gives a test 4 seconds unless told otherwise: too few on a busy machine or under a
# sanitizer.
export CK_DEFAULT_TIMEOUT=60 CK_TIMEOUT_MULTIPLIER=4

# Leaks are looked for in single processes; Open MPI itself leaks by the thousand.
leaks() { export ASAN_OPTIONS=detect_leaks=$1:abort_on_error=0:detect_odr_violation=0; }

# The instruction sets that marked tests run on: the machine's best, without any limit, then the
# lesser ones. Only the first under a sanitizer, and where the caller has set a limit.
if [ "${ONEDNN_MAX_CPU_ISA:-}${DUET_ISA:-}" ]; then
    sets=("${ONEDNN_MAX_CPU_ISA:-}${DUET_ISA:+ DUET_ISA=$DUET_ISA}")
else
    mapfile -t sets < <(launch/isas.sh)
    case $build in *asan* | *cover*) sets=("${sets[@]:0:1}") ;; esac
fi
suffix='' # of names
lesser='' # is this one of the lesser ones?

each_set() { # source command...: once, or once on each instruction set
    local source=$1 name ours i
    shift
    head -n 1 "$source" | grep -q 'on each instruction set' || { "$@"; return; }
    for i in "${!sets[@]}"; do
        read -r name ours <<<"${sets[i]}"
        suffix=" [$name]"
        [ "$i" -eq 0 ] || { lesser=1; export ONEDNN_MAX_CPU_ISA=$name DUET_ISA=$ours; }
        "$@"
    done
    [ "$lesser" ] && unset ONEDNN_MAX_CPU_ISA DUET_ISA
    [ ${#sets[@]} -gt 0 ] || "$@"
    suffix='' lesser=''
}

count() { # name exit-code seconds: counts from Check's summary line in $log
    local n f
    read -r n f < <(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\)$/\1 \2 \3/p' "$log" |
        awk '{ n = $1; if ($2 + $3 > f) f = $2 + $3 } END { print n + 0, f + 0 }')
    [ "$2" -ne 0 ] && [ "$f" -eq 0 ] && f=1 && n=$((n > 0 ? n : 1))
    [ "$2" -eq 0 ] && [ "$n" -eq 0 ] && f=1 n=1 && echo "(exit 0, but no summary of Check)" >>"$log"
    report "$1" "$2" "$3" $((n - f)) "$f"
}

report() { # name exit-code seconds passed failed
    passed=$((passed + $4)) failed=$((failed + $5))
    if [ "$5" -eq 0 ]; then
        printf '  ok    %-52s %3d  %s s\n' "$1" "$4" "$3"
    else
        printf '  FAIL  %-52s exit %d after %s s\n' "$1" "$2" "$3"
        sed 's/^/        /' "$log" | tail -n 200
    fi
}

timed() { # command...: output to $log, sets code and seconds
    local start=${EPOCHREALTIME/[.,]/}
    "$@" >"$log" 2>&1 </dev/null
    code=$?
    local ms=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
    seconds=$((ms / 1000)).$((ms % 1000 / 100))
}

run_one() { # limit test
    leaks 1
    timed timeout -k 5 "$1" "$2"
    count "${2#"$build"/tests/}$suffix" "$code" "$seconds"
}

run_mpi() { # test: on every rank count of its first line
    local source=tests/mpi/${1##*/}.c counts n
    counts=$(sed -n '1s/.*ranks:\([0-9 ]*\).*/\1/p' "$source")
    [ -n "$counts" ] || { failed=$((failed + 1)); echo "  FAIL  $source: first line is not /* ranks: 1 2 4 */"; return; }
    [ -z "$lesser" ] || counts=$(sed -n '1s/.*on each instruction set:\([0-9 ]*\).*/\1/p' "$source")
    leaks 0
    for n in $counts; do
        timed timeout -k 5 $((mpi_limit + 30)) launch/run.sh -n "$n" --timeout "$mpi_limit" "$1"
        count "mpi/${1##*/} on $n$suffix" "$code" "$seconds"
    done
}

run_script() { # script: given the program
    leaks 0
    timed timeout -k 5 900 bash "$1" "$build/duet"
    if [ "$code" -eq 77 ] && [ "${TEST_SKIPS:-}" = fail ]; then
        echo "skipped, and here nothing may be (TEST_SKIPS=fail): install what it lacks, launch/setup.sh --hosts" >>"$log"
        report "${1#tests/}" "$code" "$seconds" 0 1
    elif [ "$code" -eq 77 ]; then
        skipped=$((skipped + 1))
        printf '  skip  %-52s %s\n' "${1#tests/}" "$(tail -n 1 "$log")"
    else
        report "${1#tests/}" "$code" "$seconds" $((code == 0)) $((code != 0))
    fi
}

kind=
for t in "$@"; do
    case $t in
    --*) kind=${t#--} ;;
    *) case $kind in
        unit) each_set "${t#"$build"/}.c" run_one 240 "$t" ;;
        property | growth) run_one 300 "$t" ;;
        mpi) each_set "tests/mpi/${t##*/}.c" run_mpi "$t" ;;
        faults | hosts | slurm) run_script "$t" ;;
        *) echo "run_tests.sh: $t: of which kind?" >&2; exit 2 ;;
        esac ;;
    esac
done
[ $skipped -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
