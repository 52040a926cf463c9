#!/bin/bash
# No space for a shard during training: the job exits 1, reports rank, what, why and what to do,
# leaves nothing half-written, and the previous checkpoint stays intact. The argument is the
# program; the test's own is next to it.
set -u
build=$(dirname "${1:-build/release/duet}")
test=$build/tests/mpi/test_checkpoint
make -s BUILD="$build" "$test" >/dev/null || { echo "cannot build $test"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "FAIL: $*"; cat "$folder/said"; exit 1; }

timeout 60 launch/run.sh -n 3 "$test" disk-full "$folder/checkpoints" >"$folder/said" 2>&1
code=$?
[ $code -eq 1 ] || fail "exit $code, not 1"
grep -q '^rank 2/3 on .*while saving .*shard-0002-of-0003.h5' "$folder/said" || fail "the rank is not named"
grep -q 'what: .*H5' "$folder/said" || fail "what?"
grep -q 'why:  *File too large' "$folder/said" || fail "why?"
grep -q 'fix: .*free space.*--resume auto' "$folder/said" || fail "what to do?"
[ "$(grep -c 'what:' "$folder/said")" -eq 1 ] || fail "said more than once"
[ -z "$(find "$folder/checkpoints" -name '*.partial' -o -name '*.tmp')" ] || fail "left $(find "$folder/checkpoints")"
[ "$(cat "$folder/checkpoints/latest")" = step-00000001 ] || fail "latest is $(cat "$folder/checkpoints/latest")"
timeout 60 launch/run.sh -n 3 "$test" verify "$folder" >"$folder/said" 2>&1 || fail "the former checkpoint does not load"
grep -qx 'step 1' "$folder/said" || fail "another step"

# P9: a value that is not finite: no checkpoint is written, and the previous one is not rotated
# away.
timeout 60 launch/run.sh -n 3 "$test" diverged "$folder/diverged" >"$folder/said" 2>&1
code=$?
[ $code -eq 1 ] || fail "exit $code, not 1, for a weight that is not finite"
grep -q '^rank 2/3 on .*while saving .*diverged/.*shard-0002-of-0003.h5' "$folder/said" || fail "the rank is not named"
grep -q 'what: saving step 2, which has values that are not finite' "$folder/said" || fail "the step is not named"
grep -q 'why:  model/layers.0.wqkv is inf at element [0-9]* of 1237: the training has diverged' "$folder/said" || fail "the tensor is not named"
grep -q 'resume from one of them with a smaller lr' "$folder/said" || fail "what to do?"
[ "$(grep -c 'what:' "$folder/said")" -eq 1 ] || fail "said more than once"
[ "$(ls "$folder/diverged")" = "latest
step-00000001" ] || fail "there is $(ls "$folder/diverged")"
timeout 60 launch/run.sh -n 3 "$test" verify "$folder/diverged" >"$folder/said" 2>&1 || fail "the former checkpoint does not load"
grep -qx 'step 1' "$folder/said" || fail "another step"

# Damage that all ranks see is reported once and ends the job with exit 1.
truncate -s -7 "$folder/checkpoints/step-00000001/manifest.json"
timeout 60 launch/run.sh -n 3 "$test" verify "$folder/checkpoints/step-00000001" >"$folder/said" 2>&1
code=$?
[ $code -eq 1 ] || fail "exit $code, not 1, for a damaged manifest"
[ "$(grep -c 'manifest.json: damaged' "$folder/said")" -eq 1 ] || fail "the damage must be named once"
