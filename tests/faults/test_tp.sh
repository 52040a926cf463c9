#!/bin/bash
# test_tp.sh DUET: tensor parallelism. From the same weights, read by every mesh, two ranks per
# layer sample and learn on-policy (P2: the ratio is exactly 1), with the same answers on every mesh
# of the same tp; a run resumes with another tp; an invalid tp is rejected with the nearest meshes.
. "${BASH_SOURCE%/*}/common.sh"
base
for mesh in 1x1x2 2x1x2 1x2x2; do
    read -r dp pp tp <<<"${mesh//x/ }"
    train $((dp * pp * tp)) "$mesh" --set "mesh.dp=$dp" --set "mesh.pp=$pp" --set "mesh.tp=$tp"
    check "$mesh: exit 0" equal "$code" 0
    check "$mesh: says its mesh" has err "mesh $dp x $pp x $tp (dp x pp x tp)"
    check "$mesh: the ratio is exactly 1 at every step" equal "$(deviations "$mesh/metrics.jsonl")" 0
    check "$mesh: steps learned something" test "$(values "$mesh/metrics.jsonl" grad_norm | grep -c '[1-9]')" -ge 2
    grep '"step":0,' "$mesh/samples.jsonl" >"$mesh.first"
    check "$mesh: the first answers" equal "$(wc -l <"$mesh.first")" 16
    check "$mesh: the first answers are those of 1x1x2, bit for bit" cmp 1x1x2.first "$mesh.first"
done

# the recorded log-probabilities again, of the weights that sampled them: with that tp; with another
# one that is said
call "$root/launch/run.sh" -n 2 --timeout 60 "$duet" score base 1x1x2.first --set mesh.tp=2
check "score with another tp than the run's: reported" has err "the run had mesh.tp 1, this job has 2: the last bits may differ"
check "score with another tp than the run's: how to have the same" has err "a multiple of 1 ranks with --set mesh.tp=1"
call "$duet" score base 1x1x2.first
check "score with the run's tp: nothing said" hasnt err "mesh.tp"

# one run of six steps with tp 2; from its second step on again, as it was and on other meshes, and
# back
more=(--set phases.0.steps=6 --set checkpoint.every=2 --set checkpoint.keep=9)
train 2 whole --set mesh.tp=2 "${more[@]}"
check "whole: exit 0" equal "$code" 0
cp -r whole run
back_to 2 run
train 2 run --resume auto --set mesh.tp=2 "${more[@]}"
check "resumed: from the second step" has err "resuming from run/checkpoints/step-00000002"
check "resumed: same as the unbroken run" alike whole run
back_to 2 run
train 1 run --resume auto "${more[@]}"
check "tp 2 -> tp 1: exit 0" equal "$code" 0
check "tp 2 -> tp 1: from the second step" has err "resuming from run/checkpoints/step-00000002"
back_to 4 run
train 4 run --resume auto --set mesh.tp=2 --set mesh.pp=2 "${more[@]}"
check "tp 1 -> tp 2, pp 2: exit 0" equal "$code" 0
check "tp 1 -> tp 2, pp 2: from the fourth step" has err "resuming from run/checkpoints/step-00000004"
check "the ratio is 1 at each of six steps" equal "$(deviations run/metrics.jsonl)" 0
call "$duet" inspect run
check "the last checkpoint is whole" has out "verified: whole"
call "$duet" sample run --max-new 8 "1+2="
check "the run answers on one rank" equal "$code" 0

train 4 refused --set mesh.tp=4 --set model.kv_heads=2
check "tp 4 of 2 key/value heads: exit 2" equal "$code" 2
check "tp 4 of 2 key/value heads: named" has err "tp 4 does not divide kv_heads 2"
finish
