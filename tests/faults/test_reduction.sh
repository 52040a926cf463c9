#!/bin/bash
# test_reduction.sh DUET: gradient sums that overlap the backward pass give the bits of sums after
# it, on one host and on two; and the rounding errors of gradients sent to other hosts are part of
# the state: a run killed and resumed equals the unbroken one (P5), while another mesh starts
# without them and says so. Hosts are simulated (DUET_RANKS_PER_NODE).
. "${BASH_SOURCE%/*}/common.sh"
short=(--set phases.start.steps=24 --set phases.grpo.steps=3 --set reduction.bucket_mib=0 --set schedule=1f1b --set model.layers=6)

train 4 early "${short[@]}"
check "overlapped: exit 0" equal "$code" 0
train 4 late "${short[@]}" --set reduction.overlap=false
check "at the end: exit 0" equal "$code" 0
check "overlapped as at the end" alike early late
check "seconds waited are told" test "$(values early/metrics.jsonl time/reduce_exposed | head -n 24 | grep -c '[0-9]')" -eq 24

export DUET_RANKS_PER_NODE=2
train 4 nodes "${short[@]}" --set reduction.path=nodes
check "two hosts: exit 0" equal "$code" 0
check "two hosts as one" alike early nodes

for wire in int8 bf16 int8-tp; do
    rounded=("${short[@]}" --set reduction.wire=${wire%-tp})
    [ $wire = int8-tp ] && rounded+=(--set mesh.pp=1 --set mesh.tp=2 --set schedule=serial)
    train 4 $wire "${rounded[@]}"
    check "$wire: exit 0" equal "$code" 0
    check "$wire: other bits" test "$(values $wire/metrics.jsonl loss | md5sum)" != "$(values early/metrics.jsonl loss | md5sum)"
    start 4 broken-$wire "${rounded[@]}" --resume auto
    ready
    check "$wire: killed" until_true is_saved 10 broken-$wire && kill -KILL "${pids[@]}"
    ended
    cp -r broken-$wire other-$wire
    train 4 broken-$wire "${rounded[@]}" --resume auto
    check "$wire, resumed: exit 0" equal "$code" 0
    check "$wire, resumed: at a step" has err "resuming from broken-$wire/"
    check "$wire, resumed: nothing is missing" hasnt err "has no residuals"
    check "$wire, resumed: same as the unbroken run" alike $wire broken-$wire
done
train 4 other-int8 "${short[@]}" --set reduction.wire=int8 --set schedule=dualpipe --resume auto
check "another placement: exit 0" equal "$code" 0
check "another placement: starts without residuals" times 1 err "has no residuals of reduction.wire for this mesh"
finish
