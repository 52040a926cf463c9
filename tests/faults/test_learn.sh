#!/bin/bash
# test_learn.sh DUET: what is reported for steps without anything to learn, with several updates, or
# with skipped ones; when that ends the run.
. tests/faults/common.sh
recipe=learn.yaml

# Random weights: no answer is right or well-formed, so that no group has spread.
cat >learn.yaml <<'YAML'
precision: fp32
model: {layers: 1, hidden: 16, heads: 2, max_context: 64}
mesh: {decode_slots: 16}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 128}
phases:
  - {kind: grpo, steps: 3, prompts: 2, samples: 2, max_new: 6}
YAML

# are FOLDER NAME VALUE...: of all lines
are() {
    local folder=$1 name=$2
    shift 2
    equal "$name $(values "$folder/metrics.jsonl" "$name" | paste -sd ' ')" "$name $*"
}

train 1 none
check "nothing to learn from: exit 0" equal "$code" 0
for name in loss entropy grad_norm lr clip_fraction ratio/max_deviation pack/imbalance pipeline/bubble_fraction time/gflops; do
    check "what was not measured is null: $name" are none $name null null null
done
check "no kl without phases.grpo.kl" are none kl_ref - - -
for name in updates skipped_updates tokens reward/accuracy/mean; do check "what was counted is a number: $name" are none $name 0 0 0; done

# Ten such steps in a row are reported, once, until spread returns; also when the run is resumed in
# between.
train 1 flat --set phases.grpo.steps=25 --set checkpoint.every=8
check "no spread: a warning" has err "grpo: for 10 steps in a row the rewards within every group were equal: nothing was learned"
check "no spread: what stays at which value" has err "accuracy is 0, format 0, reward 0: no answer is right"
check "no spread: where to look" has err "samples.jsonl"
check "no spread: reported once" times 1 err "steps in a row the rewards"
back_to 16 flat
train 1 flat --set phases.grpo.steps=25 --set checkpoint.every=8 --resume auto
check "no spread: not again after a resume" times 0 err "steps in a row the rewards"
back_to 8 flat
train 1 flat --set phases.grpo.steps=25 --set checkpoint.every=8 --resume auto
check "no spread: steps before a resume are counted" times 1 err "for 10 steps in a row the rewards"

# Several updates: the step's numbers are means over them.
base --set phases.start.steps=40
recipe=grpo.yaml
train 1 one --set phases.grpo.steps=1
train 1 many --set phases.grpo.steps=1 --set phases.grpo.epochs=3
check "the first update's deviation" are many ratio/max_deviation 0
check "no other update, no other deviation" are one ratio/max_deviation_later -
later() { python3 -c 'import json
one, many = (json.loads(open(f + "/metrics.jsonl").readline()) for f in ("one", "many"))
assert many["updates"] == 3 and one["updates"] == 1
assert many["ratio/max_deviation_later"] > 0
assert many["tokens"] == 3 * one["tokens"]
for name in "loss", "entropy", "grad_norm": assert many[name] != one[name], name'; }
check "means over three updates" later
wide=(--set phases.grpo.clip_low=1 --set phases.grpo.clip_high=100)
narrow=(--set phases.grpo.clip_low=0 --set phases.grpo.clip_high=0)
train 1 wide --set phases.grpo.steps=1 --set phases.grpo.epochs=3 "${wide[@]}"
train 1 narrow --set phases.grpo.steps=1 --set phases.grpo.epochs=3 "${narrow[@]}"
clipped() { awk -v n="$(values narrow/metrics.jsonl clip_fraction)" 'BEGIN { exit !(n > 0.05 && n < 1) }'; }
check "the recipe's clip: none that wide" are wide clip_fraction 0
check "the recipe's clip: some that narrow" clipped

# Weights ruined by a rate of 1 and a decay of 10: from the update in skips_from on, no gradient is
# finite.
cat >ruin.yaml <<'YAML'
precision: fp32
model: {layers: 2, hidden: 32, heads: 2, max_context: 128}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 128}
checkpoint: {every: 2, keep: 2}
phases:
  - {kind: sft, name: ruin, steps: 100, batch: 8, lr: 1, weight_decay: 10}
YAML
recipe=ruin.yaml
skips_from() { echo $(($(values "$1/metrics.jsonl" skipped_updates | grep -n -m 1 1 | cut -d : -f 1) - 1)); }
kept() { (cd "$1/checkpoints" && echo step-*); }

train 2 ruined
first=$(skips_from ruined) good=$(printf 'step-%08d' $(((first) / 2 * 2)))
check "skips in a row end the run with 1" equal "$code" 1
check "they say since when" has err "ruin: 10 updates in a row were skipped, since step $first: their gradients were not finite"
check "the last good checkpoint is named" has err "The last checkpoint from before is ruined/checkpoints/$good: remove later ones, if there are any, and restart with --resume auto, with a lower lr (it is 1)"
check "reported once" times 1 err "updates in a row were skipped"
check "the first one is said" times 1 err "step $first: the gradient is not finite"
check "P9: good checkpoints are not rotated away" equal "$(kept ruined)" "$(printf 'step-%08d ' $((first / 2 * 2 - 2)))$good"
check "updates that were skipped are counted" equal "$(values ruined/metrics.jsonl skipped_updates | grep -c 1) $(values ruined/metrics.jsonl updates | tail -n 1)" "9 0"
check "their norm and rate are null" equal "$(values ruined/metrics.jsonl grad_norm | tail -n 1) $(values ruined/metrics.jsonl lr | tail -n 1)" "null null"

train 1 three --set phases.ruin.max_skips=3
check "another limit" has err "ruin: 3 updates in a row were skipped"
train 1 short --set "phases.ruin.steps=$((first + 4))" --set phases.ruin.max_skips=0
check "no limit: exit 0" equal "$code" 0
check "no limit: a warning" has err "ruin ends with 4 skipped updates, since step $first"
train 1 early --set checkpoint.every=0
check "no checkpoint from before" has err "There is no earlier checkpoint: start over"

# An evaluation after skips makes no update: the checkpoint at its end is not among those kept, also
# when the run was resumed just before.
sed '$a\  - {kind: eval, prompts: 2, samples: 1, max_new: 4}' ruin.yaml >asked.yaml
recipe=asked.yaml
few=(--set "phases.ruin.steps=$((first + 4))" --set checkpoint.keep=1)
train 1 asked "${few[@]}"
check "skips, then an evaluation: exit 0" equal "$code" 0
check "skips, then an evaluation: the good one is kept" test -e "asked/checkpoints/$good"
cp -r asked again
back_to $((first + 4)) again
train 1 again "${few[@]}" --resume auto
check "skips, resumed at an evaluation: exit 0" equal "$code" 0
check "P9: skips, resumed at an evaluation: the good one is kept" equal "$(kept again)" "$(kept asked)"
recipe=ruin.yaml

# The count is part of a checkpoint: the first phase ends with skips, the second continues the
# count, also when it is resumed there.
cat >>ruin.yaml <<'YAML'
  - {kind: sft, name: more, steps: 100, batch: 8, lr: 1, weight_decay: 10}
YAML
train 1 counted --set "phases.ruin.steps=$((first + 3))"
check "a phase goes on counting" has err "more: 10 updates in a row were skipped, since step $first"
cp counted/metrics.jsonl unbroken.jsonl
train 1 counted --set "phases.ruin.steps=$((first + 3))" --resume auto
check "P5: the count continues after a resume" has err "more: 10 updates in a row were skipped, since step $first"
check "P5: after as many steps" equal "$(values counted/metrics.jsonl step)" "$(values unbroken.jsonl step)"
check "the good one is still named" has err "The last checkpoint from before is counted/checkpoints/$good"
finish
