#!/bin/bash
# test_algorithms.sh DUET: every algorithm that `duet help algorithms` names trains on two pipeline
# stages, several updates a step, so that ratios move: the first is on-policy to the bit (P2), every
# gradient finite. Losses of whole answers resume to the same bits (P5), and what is no loss is
# refused.
. "${BASH_SOURCE%/*}/common.sh"
base
"$duet" help algorithms >algorithms
names=$(awk 'NR > 2 && /^[a-z]/ { print $1 }' algorithms)
check "help names them" test "$(wc -w <<<"$names")" -ge 19
get() { "$duet" settings grpo.yaml --set "phases.grpo.algorithm=$1" --get "phases.grpo.$2"; }
check "a preset's value is the recipe's" equal "$(get gspo policy_loss)" gspo
check "a line of the recipe stays" equal "$(get dapo samples) $(get dapo clip_high)" "4 0.28"

same=(--set mesh.pp=2 --set phases.grpo.prompts=16 --set phases.grpo.mini_batches=2 --set phases.grpo.epochs=2
    --set phases.grpo.eval_every=0 --set phases.grpo.kl=0.01 --set phases.grpo.lr=1e-3 --set phases.grpo.ref_every=0)
# finite FILE: no update was skipped, and each had a gradient
finite() { ! grep -E '"grad_norm": ?(null|0[,}])|NaN|Infinity' "$1"; }
for name in $names; do
    train 2 "run-$name" "${same[@]}" --set "phases.grpo.algorithm=$name" --set phases.grpo.steps=2
    check "$name: exit 0" equal "$code" 0
    check "$name: on-policy ratio 1" equal "$(values "run-$name/metrics.jsonl" ratio/max_deviation | sort -u)" 0
    check "$name: finite" finite "run-$name/metrics.jsonl"
done
losses() { for name in $names; do values "run-$name/metrics.jsonl" loss | tail -n 1; done | sort -u | wc -l; }
check "they do not learn the same" test "$(losses)" -ge 14

# whole answers, a mask, a KL that follows the ratio
whole=("${same[@]}" --set phases.grpo.algorithm=gspo --set phases.grpo.off_policy_mask=0.01
    --set phases.grpo.clip_low=0.05 --set phases.grpo.kl_estimator=unbiased --set checkpoint.every=1 --set checkpoint.keep=5)
train 2 whole "${whole[@]}"
check "whole: exit 0" equal "$code" 0
cp -r whole cut
back_to 1 cut
train 2 cut "${whole[@]}" --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: the same bits" bash "$root/tests/support/compare_runs.sh" whole cut

call "$duet" plan grpo.yaml --set phases.grpo.policy_loss=nope
check "no such loss: exit 2" equal "$code" 2
check "no such loss: which there are" has err "clip|gspo|cispo|gmpo|sapo|vespo|dppo|window"
finish
