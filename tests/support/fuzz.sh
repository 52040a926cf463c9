#!/bin/bash
# fuzz.sh SECONDS FUZZER...: runs each fuzzer for that time, starting from tests/fuzz/corpus/<name>
# where there is one. New inputs stay in build/corpus; an input that breaks something is kept as
# build/crash-* and ends the run.
set -u
seconds=$1
shift
[ $# -gt 0 ] || { echo "fuzz: no fuzzers in tests/fuzz"; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for fuzzer in "$@"; do
    name=${fuzzer##*/fuzz_}
    mkdir -p "build/corpus/$name"
    seeds=()
    [ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
    if "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -artifact_prefix="build/crash-$name-" \
        -print_final_stats=1 "build/corpus/$name" "${seeds[@]}" >"$log" 2>&1; then
        runs=$(sed -n 's/stat::number_of_executed_units: *//p' "$log")
        cover=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
        printf '  ok    %-20s %s inputs in %s s, %s\n' "$name" "$runs" "$seconds" "$cover"
    else
        tail -n 60 "$log"
        echo "  FAIL  $name"
        exit 1
    fi
done
