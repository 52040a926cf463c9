#!/bin/bash
# test_imported_mesh.sh DUET: a model that was imported trains as one that was born here, on any
# mesh: ratio 1 (P2), answers that do not depend on what else is decoded (P1), exact resume (P5).
. "${BASH_SOURCE%/*}/common.sh"

# three heads, so that three ranks can share a layer; a vocabulary with rows without a token
cat >born.yaml <<'YAML'
model: {layers: 3, hidden: 48, heads: 6, kv_heads: 3, head_dim: 8, ffn: 72, max_context: 64, vocabulary: 110, qkv_bias: true, tied: true, init_std: 0.08}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 256}
phases:
  - {kind: sft, steps: 20, batch: 16, lr: 1e-2}
  - {kind: export, dir: m, dtype: bf16}
YAML
recipe=born.yaml
train 1 born
check "a folder: exit 0" equal "$code" 0
cat >r.yaml <<'YAML'
model: {from: m}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 256}
mesh: {decode_slots: 16}
checkpoint: {every: 1, keep: 9}
phases:
  - {kind: grpo, steps: 3, prompts: 4, samples: 4, max_new: 24, lr: 1e-2, reward_format: 0.5, kl: 0.01, save_samples: 99, save_tokens: true}
YAML
recipe=r.yaml
# answers FOLDER STEP: tokens and log-probabilities
answers() { grep "\"step\":$2," "$1/samples.jsonl" | grep -o '"answer_ids":.*' | sed 's/,"[a-z_]*reward.*//'; }
same_answers() { [ "$(answers "$1" 0 | wc -l)" = 16 ] && cmp <(answers "$1" 0) <(answers "$2" 0); }
for mesh in 1 "2 dp=2" "2 pp=2 schedule=dualpipe" "3 tp=3"; do
    read -r n axis schedule <<<"$mesh"
    sets=(${axis:+--set "mesh.$axis"} ${schedule:+--set "$schedule"})
    name=${axis:-one}
    train "$n" "$name" "${sets[@]}"
    check "$name: exit 0" equal "$code" 0
    check "P2: $name: ratio 1" equal "$(deviations "$name/metrics.jsonl")" 0
    check "$name: it learns" fails grep '"updates":0' "$name/metrics.jsonl"
    train "$n" "$name.slots" "${sets[@]}" --set mesh.decode_slots=3 --set phases.grpo.steps=1
    check "P1: $name: the same answers, three at a time" same_answers "$name" "$name.slots"
    [ "${axis%=*}" = tp ] || check "P1: $name: the same answers as on one rank" same_answers one "$name"
    cp -r "$name" back
    back_to 2 back
    mv m gone
    train "$n" back "${sets[@]}" --resume auto
    check "P5: $name: resumed: exit 0" equal "$code" 0
    check "P5: $name: resumed: same as unbroken" alike "$name" back
    mv gone m && rm -r back
done
check "another step, other answers" fails cmp <(answers one 0) <(answers one 1)
finish
