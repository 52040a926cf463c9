#!/bin/bash
# fuzz.sh -max_total_time=SECONDS|-runs=N FUZZER...: runs each fuzzer for that time, or that often,
# starting from tests/fuzz/corpus/<name> where there is one, with inputs of up to MAX_LEN bytes
# (65536). New inputs stay in build/corpus; an input that breaks something is kept as build/crash-*
# and ends the run.
set -u
limit=$1
shift
[ $# -gt 0 ] || { echo "fuzz: no fuzzers in tests/fuzz"; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for fuzzer in "$@"; do
    name=${fuzzer##*/fuzz_}
    mkdir -p "build/corpus/$name"
    seeds=()
    [ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
    begin=$SECONDS
    if "$fuzzer" "$limit" -timeout=10 -rss_limit_mb=2048 -max_len="${MAX_LEN:-65536}" \
        -artifact_prefix="build/crash-$name-" -print_final_stats=1 "build/corpus/$name" "${seeds[@]}" >"$log" 2>&1; then
        runs=$(sed -n 's/stat::number_of_executed_units: *//p' "$log")
        cover=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
        printf '  ok    %-20s %s inputs in %s s, %s\n' "$name" "$runs" $((SECONDS - begin)) "$cover"
    else
        tail -n 60 "$log"
        echo "  FAIL  $name"
        exit 1
    fi
done
