#!/bin/bash
# test_cache.sh DUET: a cache too small for all answers (mesh.cache_tokens): refused when not even
# one longest answer has room; else answers wait, and metrics, samples and tensors are those of a
# run with room for all (P2, P3), also when it is stopped while they wait, and resumed (P5).
. "${BASH_SOURCE%/*}/common.sh"
same() { bash "$root/tests/support/compare_runs.sh" "$1" "$2"; }
# waited FOLDER: answers did, in some step
waited() { grep -E '"rollout/waits": ?[1-9]' "$1/metrics.jsonl" || { echo "nobody waited"; return 1; }; }

sed -e 's/dp: 2, pp: 2/dp: 1, pp: 1/' -e '/kind: grpo/,$d' recipe.yaml >base.yaml
call "$duet" train base.yaml --set out=base
check "base: exit 0" equal "$code" 0 || finish
cat >grpo.yaml <<'YAML'
seed: 8
watchdog_s: 60
mesh: {pp: 2, decode_slots: 16}
schedule: dualpipe
model: {layers: 4, hidden: 32, heads: 2, max_context: 128, from: base}
data: {task: arithmetic, difficulty: 3, micro_batch_tokens: 512}
checkpoint: {every: 1, keep: 3}
phases:
  - {kind: grpo, steps: 3, prompts: 64, samples: 4, max_new: 110, temperature: 4, lr: 1e-3, reward_format: 0.5, save_tokens: true, save_samples: 16}
YAML
recipe=grpo.yaml

train 2 none --set mesh.cache_tokens=287
check "not even one: exit 2" equal "$code" 2
check "not even one: says so" has err "cache_tokens 287: max_context 128 needs at least 288 in the two directions"
check "not even one: what to do" has err "raise it, or lower model.max_context"
check "nothing was made" test ! -e none
call "$duet" plan grpo.yaml --set mesh.cache_tokens=288
check "plan: exit 0" equal "$code" 0
check "plan: how many fit" has out "room for 288 tokens: 2 answers of model.max_context 128"
check "plan: who waits" has out "16 are decoded at once, the youngest wait when it is full (mesh.cache_tokens)"

train 2 roomy
check "room for all: exit 0" equal "$code" 0
check "room for all: nothing is said" hasnt roomy/metrics.jsonl rollout/waits
train 2 tight --set mesh.cache_tokens=288
check "tight: exit 0" equal "$code" 0
check "tight: answers waited" waited tight
check "tight: the setting is named" has err "raise mesh.cache_tokens"
check "tight: what there is room for" has err "the cache has room for 288 tokens a pipeline, 2 answers of max_context"
check "tight: what it costs" has err "tokens a pipeline, too few:"
check "tight: that something was read again" has err "were read again"
check "tight: the same run" same roomy tight

# stopped in the rollout of the second step, while answers wait
export DUET_PACE_US=3000
start 2 broken --set mesh.cache_tokens=288
ready
check "stopped: under way" until_true lines 1 broken
read -rt 0.5 _ <&"$never"
kill -USR1 "$job"
ended
check "stopped: exit 85" equal "$code" 85
check "stopped: in a step" equal "$(wc -l <broken/metrics.jsonl)" 1
unset DUET_PACE_US
train 2 broken --set mesh.cache_tokens=288 --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: the same run" same roomy broken
finish
