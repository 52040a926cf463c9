#!/bin/bash
# test_learn.sh DUET: what a step says that learned nothing, several updates, or skipped them; when that ends the run.
. tests/faults/common.sh
recipe=learn.yaml

# Fresh weights: no answer is right, none has the form, so that no group has spread.
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
finish
