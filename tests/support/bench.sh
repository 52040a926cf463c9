#!/bin/bash
# bench.sh PROGRAM: every benchmark of duet, one line of JSON each, also kept in build/bench.
set -u
mkdir -p build/bench
status=0
for what in train decode; do
    "$1" bench "$what" >"build/bench/$what.json" || status=1
    cat "build/bench/$what.json"
done
launch/run.sh -n 16 "$1" bench pipeline >build/bench/pipeline.json || status=1
cat build/bench/pipeline.json
launch/run.sh -n 2 "$1" bench network >build/bench/network.json || status=1
cat build/bench/network.json
exit $status
