#!/bin/bash
# test_math.sh DUET: answers graded by value in a run: what the exact verifier calls wrong is right,
# in accuracy, in the math reward, in evaluations and their votes, on any mesh alike, and after a
# resume; a file's answers that cannot be compared are named at the start and left out.
. "${BASH_SOURCE%/*}/common.sh"
same() { bash "$root/tests/support/compare_runs.sh" "$1" "$2"; }
# metric FOLDER NAME: the values of all steps
metric() { python3 -c '
import json, sys
for line in open(sys.argv[1] + "/metrics.jsonl"):
    o = json.loads(line)
    if sys.argv[2] in o: print(o[sys.argv[2]])' "$1" "$2" | paste -sd' '; }

# The model learns to answer 1/2; the file says 0.5 for one problem of two, \frac{2}{3} for others.
# rows FILE FIELDS: sixty problems
python3 - <<'PY'
import json
with open("shown.jsonl", "w") as shown, open("tasks.jsonl", "w") as tasks:
    for i in range(60):
        prompt = "n%d" % i
        print(json.dumps({"prompt": prompt, "answer": "1/2",
                          "demonstration": "</think><answer>1/2</answer>"}), file=shown)
        print(json.dumps({"prompt": prompt, "answer": ["0.5", "\\frac{2}{3}"][i % 2]}), file=tasks)
lines = open("tasks.jsonl").read().split("\n")
lines[2] = json.dumps({"prompt": "n2", "answer": "\\int_0^1 x\\,dx"})
open("some.jsonl", "w").write("\n".join(lines))
PY
cat >base.yaml <<'YAML'
seed: 7
watchdog_s: 60
model: {layers: 2, hidden: 64, heads: 2, max_context: 96}
data: {task: file, file: shown.jsonl, micro_batch_tokens: 512}
phases:
  - {kind: sft, name: start, steps: 40, batch: 16, lr: 1e-2}
YAML
cat >math.yaml <<'YAML'
seed: 7
watchdog_s: 60
mesh: {decode_slots: 16}
model: {layers: 2, hidden: 64, heads: 2, max_context: 96, from: base}
data: {task: file, file: tasks.jsonl, verifier: math, micro_batch_tokens: 512}
checkpoint: {every: 1}
phases:
  - {kind: grpo, steps: 3, prompts: 8, samples: 4, max_new: 48, lr: 1e-4, reward_math: 0.5,
     save_samples: 8}
YAML
recipe=base.yaml
train 1 base
check "base: exit 0" equal "$code" 0 || finish
recipe=math.yaml

train 1 one
check "one rank: exit 0" equal "$code" 0
check "right by value, and as often for both" python3 -c '
import sys
accuracy, math = [[float(x) for x in a.split()] for a in sys.argv[1:]]
assert len(accuracy) == 3 and sum(accuracy) > 0.5 and accuracy == math, (accuracy, math)
' "$(metric one reward/accuracy/mean)" "$(metric one reward/math/mean)"
check "a sample says so" grep -q '"parsed": *"1/2".*"why": *"right"' one/samples.jsonl
train 2 two --set mesh.dp=2
check "two ranks: exit 0" equal "$code" 0
check "two ranks: the same rewards" equal "$(metric two reward/math/mean)" "$(metric one reward/math/mean)"
train 1 exact --set data.verifier=exact
check "exact: exit 0" equal "$code" 0
check "exact: the text is another" equal "$(metric exact reward/accuracy/mean)" "0 0 0"
train 1 part --set phases.0.steps=1
train 1 part --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: the unbroken run" same one part

# --- answers that cannot be compared ---
train 1 left --set data.file=some.jsonl --set data.leave_out=0.1
check "left out: exit 0" equal "$code" 0
check "left out: named" has err "some.jsonl:3: training problems whose answer cannot be compared by value: 1 of"
train 1 no --set data.file=some.jsonl --set data.leave_out=0
refusal "refused" "some.jsonl:3" "training problems whose answer cannot be compared by value" "data.leave_out"
train 1 no --set data.task=countdown --set data.file= --set phases.0.reward_math=0
refusal "a generator checks its own" "data.verifier is used only with task: file"
train 1 no --set data.task=countdown --set data.file= --set data.verifier=exact
refusal "a generator has no answers to compare with" "reward_math compares with the answers of a file"
finish
