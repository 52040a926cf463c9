#!/bin/bash
# graders.sh [ROUNDS]: answers a second through one worker of a plug-in grader, the examples of
# launch/graders: the shared object and the one in Python; short answers and long ones. From the
# root of the tree, built.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${CC:-mpicc}" -O2 -std=c17 -D_POSIX_C_SOURCE=200809L -I. -o "$dir/grader_pool" tests/bench/grader_pool.c build/release/libduet.a -lm -lxxhash -pthread
cc -O2 -shared -fPIC -I trainer/reward/plugin -o "$dir/grader.so" launch/graders/grader.c
for ((i = 0; i < ${1:-3}; i++)); do
    for bytes in 256 10000; do
        "$dir/grader_pool" 20000 $bytes build/duet grader "$dir/grader.so"
        "$dir/grader_pool" 20000 $bytes python3 launch/graders/verifier.py
    done
done
