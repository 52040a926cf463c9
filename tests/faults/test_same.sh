#!/bin/bash
# test_same.sh DUET: promise P4. The same recipe on the same mesh always gives the same bits:
# metrics (except clock readings), samples and tensors; another seed gives others.
. "${BASH_SOURCE%/*}/common.sh"

train 4 one
check "first run: exit 0" equal "$code" 0
check "2x2 says what schedule auto is" has err "schedule auto: chunks placed in a "
start 4 two # one rank yields to everything else, so that messages come in another order
ready
renice -n 10 -p "${pids[2]}" >/dev/null 2>&1
ended
check "second run, one rank slowed down: exit 0" equal "$code" 0
check "the same bits" alike one two
train 4 three --set seed=8 --set phases.start.steps=10 --set phases.grpo.steps=1
check "another seed: exit 0" equal "$code" 0
check "another seed: another loss" test "$(values one/metrics.jsonl loss | head -n 1)" != "$(values three/metrics.jsonl loss | head -n 1)"
finish
