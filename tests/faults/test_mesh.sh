#!/bin/bash
# test_mesh.sh DUET: promises P2 and P3. From the same weights every mesh samples the same answers
# with the same log-probabilities, and the trainer computes exactly those again: ratio/max_deviation
# is 0, with rewards that differ.
. "${BASH_SOURCE%/*}/common.sh"
base
for mesh in 1x1 2x1 1x2 2x2 1x4; do
    dp=${mesh%x*} pp=${mesh#*x}
    train $((dp * pp)) "$mesh" --set "mesh.dp=$dp" --set "mesh.pp=$pp"
    check "$mesh: exit 0" equal "$code" 0
    check "$mesh: the ratio is exactly 1 at every step" equal "$(deviations "$mesh/metrics.jsonl")" 0
    check "$mesh: steps learned something" test "$(values "$mesh/metrics.jsonl" grad_norm | grep -c '[1-9]')" -ge 2
    grep '"step":0,' "$mesh/samples.jsonl" >"$mesh.first"
    check "$mesh: the first answers" equal "$(wc -l <"$mesh.first")" 16
    check "$mesh: the first answers are those of 1x1, bit for bit" cmp 1x1.first "$mesh.first"
    check "$mesh: answers of the first step differ" test "$(grep -o '"answer_ids":[^]]*' "$mesh.first" | sort -u | wc -l)" -gt 4
done
# The largest number of slots, in one decode batch: its head is still one piece of a message.
train 2 many --set mesh.dp=1 --set mesh.pp=2 --set schedule=1f1b --set mesh.decode_slots=65536 --set mesh.decode_waves=1 \
    --set data.micro_batch_tokens=65536 --set model.layers=2 --set model.hidden=16 --set model.from= --set phases.grpo.steps=1
check "most slots: exit 0" equal "$code" 0
# what those answers would fill, dealt in turn and by cost
"$duet" pack grpo.yaml 1x1/samples.jsonl --batch 16 --set mesh.dp=2 >packed 2>err
check "pack: exit 0" equal $? 0
check "pack: three batches" has packed "3 batches of 16 sequences; micro-batches of 512 rows; 2 pipelines, 2 directions"
check "pack: both ways" equal "$(grep -c '^  dealt .* 4\.0 ' packed)" 2
"$duet" pack grpo.yaml nothing.jsonl >out 2>err
check "pack without a file: exit 2" equal $? 2
check "pack without a file: named" has err "nothing.jsonl: cannot be read"
finish
