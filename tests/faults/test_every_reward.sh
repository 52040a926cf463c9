#!/bin/bash
# test_every_reward.sh DUET [SEED]: promise P5 with every reward that the program has, all at once:
# a run of sft, grpo and eval is killed at moments drawn by chance and resumed, until it is through.
# Its metrics, samples and tensors are those of an unbroken run. The weights are those of the table
# of settings, so that a new reward is in it by itself; a Python verifier is one more.
# SOAK=SECONDS: again and again with other moments for that time.
seed=${2:-1} soak_s=${SOAK:-0} began=$SECONDS
. "${BASH_SOURCE%/*}/common.sh"
RANDOM=$seed

for i in $(seq 1 40); do
    echo "{\"prompt\": \"$i+$((i % 7))\", \"answer\": \"$((i + i % 7))\", \"demonstration\": \"$i plus\", \"language\": \"en python\", \"tests\": [{\"stdin\": \"\", \"stdout\": \"$i\\n\"}]}"
done >problems.jsonl
cat >verifier.py <<'PY'
import json, os, signal, sys
for n, line in enumerate(sys.stdin):
    r = json.loads(line)
    if (n + os.getpid()) % 40 == 39:
        os.kill(os.getpid(), signal.SIGKILL)
    print(json.dumps({"id": r["id"], "reward": len(r["answer"]) % 7 / 7}), flush=True)
PY
weights=$("$duet" help settings --markdown | sed -n 's/^| `\(reward_[a-z_]*\)` | `[0-9.]*` |.*/\1: 0.1, /p' | grep -v '^reward_model:' | tr -d '\n')
echo "without reward_model: it needs a phase of its own kind, and preferences"
grader=''
command -v python3 >/dev/null && grader='graders: [{name: judge, command: python3 verifier.py, workers: 2, retries: 9, timeout: 3, start: 1}]'
cat >recipe.yaml <<YAML
seed: 7
watchdog_s: 60
mesh: {dp: 2, pp: 1, decode_slots: 16}
model: {layers: 2, hidden: 32, heads: 2, max_context: 128}
data: {task: file, file: problems.jsonl, micro_batch_tokens: 512}
checkpoint: {every: 2, keep: 3}
phases:
  - {kind: sft, name: start, steps: 6, batch: 8, lr: 1e-3}
  - {kind: grpo, steps: 8, prompts: 4, samples: 4, max_new: 24, lr: 1e-3, eval_every: 4, eval_prompts: 4, save_samples: 16,
     code_sandbox: reduced, $weights$grader}
  - {kind: eval, name: last, prompts: 4, samples: 4, max_new: 24}
YAML

train 2 whole
if [ "$code" -ne 0 ] && grep -qiE 'sandbox.*refuse' err; then
    echo "skip: no sandbox here, so without the code reward"
    sed -i 's/reward_code: 0.1, //' recipe.yaml
    train 2 whole
fi
check "unbroken: exit 0" equal "$code" 0 || finish
for name in $(grep -oE 'reward_[a-z_]+: 0.1' recipe.yaml | sed 's/reward_//; s/:.*//') ${grader:+judge}; do
    check "unbroken: $name is a reward of the run" has whole/metrics.jsonl "\"reward/$name/mean\":"
done
check "unbroken: ratio 1" equal "$(deviations whole/metrics.jsonl)" "- 0" # (- in sft and eval)

# Killed, resumed, killed: at the end it runs through.
broken() {
    local kills=0
    rm -rf broken
    while [ $kills -lt 4 ]; do
        start 2 broken --resume auto
        ready
        pause 0.$((RANDOM % 10))$((RANDOM % 10))
        kill -KILL "${pids[@]}" 2>/dev/null
        ended
        kills=$((kills + 1))
    done
    train 2 broken --resume auto
    check "resumed: exit 0" equal "$code" 0
    check "resumed after $kills kills (seed $seed): same as the unbroken run" alike whole broken
}
broken
while [ $((SECONDS - began)) -lt "$soak_s" ] && [ $failed -eq 0 ]; do
    seed=$((seed + 1)) RANDOM=$seed
    broken
done
finish
