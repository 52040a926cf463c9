#!/bin/bash
# test_moe.sh DUET: layers with experts. From the same weights, read by every mesh, meshes that
# share experts (ep) or not give the same first answers, bit for bit, and learn on-policy (P2: the
# ratio is exactly 1); a run resumes exactly, also with another ep; experts that cannot be shared
# evenly are rejected; those with little room go in rounds, which the metrics say.
. "${BASH_SOURCE%/*}/common.sh"
moe=(--set model.experts=4 --set model.first_dense=1 --set model.balance=0.01)
base "${moe[@]}"
check "base: experts had work in every step" equal "$(values base/metrics.jsonl moe/load_max | grep -c '^[1-4]')" 60
check "base: in one round" equal "$(values base/metrics.jsonl moe/rounds | sort | uniq -c | xargs)" "60 1"
moe+=(--set phases.0.kl=0.01) # so that every answer is learned from, whatever this machine's kernels make of its reward
for mesh in 1x1x1 2x1x2 4x1x4 2x2x2; do
    read -r dp pp ep <<<"${mesh//x/ }"
    train $((dp * pp)) "$mesh" "${moe[@]}" --set "mesh.dp=$dp" --set "mesh.pp=$pp" --set "mesh.ep=$ep"
    check "$mesh: exit 0" equal "$code" 0
    check "$mesh: says its mesh" has err "mesh $dp x $pp x 1 (dp x pp x tp), ep $ep"
    check "$mesh: the ratio is exactly 1 at every step" equal "$(deviations "$mesh/metrics.jsonl")" 0
    check "$mesh: experts had work in every step" equal "$(values "$mesh/metrics.jsonl" moe/load_max | grep -c '^[1-4]')" 3
    grep '"step":0,' "$mesh/samples.jsonl" >"$mesh.first"
    check "$mesh: the first answers are those of 1x1x1, bit for bit" cmp 1x1x1.first "$mesh.first"
done

# rounds: with room for the 256 rows of a unit some 900 of a rank are worked off in several
crowd=("${moe[@]}" --set phases.0.prompts=64 --set mesh.dp=4 --set mesh.ep=4)
for room in 0 0.01; do
    train 4 "room-$room" "${crowd[@]}" --set "mesh.expert_room=$room"
    check "room $room: exit 0" equal "$code" 0
done
check "room for all: one round" equal "$(values room-0/metrics.jsonl moe/rounds | sort -u)" 1
check "little room: several rounds at every step" equal "$(values room-0.01/metrics.jsonl moe/rounds | grep -c '^[2-9]')" 3
check "in rounds the same bits" cmp room-0/samples.jsonl room-0.01/samples.jsonl

# one run of four steps with ep 2; from its second step on again, as it was and with every expert on
# every rank
more=("${moe[@]}" --set phases.0.steps=4 --set checkpoint.every=2 --set checkpoint.keep=9)
train 2 whole --set mesh.ep=2 "${more[@]}"
check "whole: exit 0" equal "$code" 0
cp -r whole run
rm -r run/checkpoints/step-0000000[345]
echo step-00000002 >run/checkpoints/latest
cp -r run other
train 2 run --resume auto --set mesh.ep=2 "${more[@]}"
check "resumed: from the second step" has err "resuming from run/checkpoints/step-00000002"
check "resumed: same as the unbroken run" alike whole run
train 1 other --resume auto "${more[@]}"
check "ep 2 -> one rank: from the second step" has err "resuming from other/checkpoints/step-00000002"
check "ep 2 -> one rank: the ratio is 1 at each of four steps" equal "$(deviations other/metrics.jsonl)" 0
call "$duet" inspect run
check "the last checkpoint is whole" has out "verified: whole"
check "it names the experts" has out "layers.1.experts_wgu"
call "$duet" sample run --max-new 8 "1+2="
check "the run answers on one rank" equal "$code" 0

train 2 refused --set mesh.ep=2
check "ep without experts: exit 2" equal "$code" 2
check "ep without experts: named" has err "ep 2 shares out experts, but the model has none"
finish
