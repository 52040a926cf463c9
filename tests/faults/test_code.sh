#!/bin/bash
# test_code.sh DUET: programs as answers, in a run: rewarded by their tests on any mesh alike,
# counted by how they end, resumed; a kernel that refuses the sandbox ends the job before it
# begins, and never less is run silently.
. "${BASH_SOURCE%/*}/common.sh"
same() { bash "$root/tests/support/compare_runs.sh" "$1" "$2"; }
# metric FOLDER NAME: the values of all steps
metric() { python3 -c '
import json, sys
for line in open(sys.argv[1] + "/metrics.jsonl"):
    o = json.loads(line)
    if sys.argv[2] in o: print(o[sys.argv[2]])' "$1" "$2" | paste -sd' '; }

# What the model learns to answer: a program that is right for one problem of three. Answers that
# are cut short have no code.
python3 - >tasks.jsonl <<'PY'
import json
for i in range(60):
    print(json.dumps({"prompt": "n%d" % i, "answer": "x", "language": "python",
                      "tests": [{"stdin": "", "stdout": "%d\n" % (i % 3)}]}))
PY
python3 - >shown.jsonl <<'PY'
import json
for i in range(60):
    print(json.dumps({"prompt": "n%d" % i, "answer": "x",
                      "demonstration": "</think><answer>\n```python\nprint(1)\n```\n</answer>"}))
PY
cat >base.yaml <<'YAML'
seed: 7
watchdog_s: 60
model: {layers: 2, hidden: 64, heads: 2, max_context: 96}
data: {task: file, file: shown.jsonl, micro_batch_tokens: 512}
phases:
  - {kind: sft, name: start, steps: 40, batch: 16, lr: 1e-2}
YAML
cat >code.yaml <<'YAML'
seed: 7
watchdog_s: 60
mesh: {decode_slots: 16}
model: {layers: 2, hidden: 64, heads: 2, max_context: 96, from: base}
data: {task: file, file: tasks.jsonl, micro_batch_tokens: 512}
checkpoint: {every: 1}
phases:
  - {kind: grpo, steps: 3, prompts: 8, samples: 4, max_new: 48, lr: 1e-4, reward_accuracy: 0, reward_code: 1,
     save_samples: 8}
YAML
recipe=base.yaml
train 1 base
check "base: exit 0" equal "$code" 0 || finish
recipe=code.yaml

train 1 one
check "one rank: exit 0" equal "$code" 0
check "the sandbox is named" has err "sandbox: FULL: user, pid, mount, net, ipc and uts namespaces, seccomp, limits"
check "some are right, some are wrong" python3 -c '
import sys
right, wrong, lost = [[float(x) for x in a.split()] for a in sys.argv[1:]]
assert len(right) == 3 and sum(right) > 0 and sum(wrong) > 0 and sum(lost) == 0, (right, wrong, lost)
' "$(metric one reward/code/right)" "$(metric one reward/code/wrong)" "$(metric one reward/code/lost)"
train 2 two --set mesh.dp=2
check "two ranks: exit 0" equal "$code" 0
check "two ranks give the same rewards" equal "$(metric two reward/code/mean)" "$(metric one reward/code/mean)"
train 1 again --set phases.grpo.steps=1
train 1 again --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: the same run" same one again

# --- the task of programs: accuracy, and every evaluation, is the verdict of the tests ---
cat >programs.yaml <<'YAML'
seed: 7
watchdog_s: 60
mesh: {decode_slots: 16}
model: {layers: 2, hidden: 64, heads: 2, max_context: 160}
data: {task: programs, difficulty: 1, give_up: 0, micro_batch_tokens: 512}
phases:
  - {kind: sft, name: start, steps: 160, batch: 32, lr: 1e-2, lr_decay: cosine}
  - {kind: eval, name: last, prompts: 32, samples: 1, temperature: 0, max_new: 112}
YAML
recipe=programs.yaml
train 2 programs --set mesh.dp=2
check "programs: exit 0" equal "$code" 0
check "programs: some are right" python3 -c 'import sys; assert 0 < float(sys.argv[1]) <= 1, sys.argv' \
    "$(metric programs eval/programs/pass@1)"
call "$duet" eval programs --prompts 32 --samples 1 --temperature 0
check "eval: exit 0" equal "$code" 0
check "eval: the same figure" has out "$(metric programs eval/programs/pass@1 | cut -c 1-5)"
recipe=code.yaml

# --- a kernel that refuses (a user namespace in which there may be none of a kind) ---
# without KIND COMMAND...
without() {
    local kind=$1
    shift
    unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_'"$kind"'_namespaces; exec "$@"' sh "$@"
}
alone() { call without "$1" "$duet" train code.yaml --set out="$2" "${@:3}"; }
alone user none
check "no user namespaces: exit 1" equal "$code" 1
check "no user namespaces: says so" has err "no sandbox for the programs that the tests judge: the kernel refuses user, pid and mount namespaces"
check "no user namespaces: what to do" has err "Allow unprivileged user namespaces on this host (docs/TROUBLE.md), or choose another task and reward"
check "nothing was made" test ! -e none
alone net none
check "no net namespaces: exit 1" equal "$code" 1
check "no net namespaces: says so" has err "the sandbox for the programs that the tests judge is REDUCED: the kernel refuses namespaces of: net"
alone net reduced --set phases.grpo.code_sandbox=reduced
check "accepted: exit 0" equal "$code" 0
check "accepted: named" has err "sandbox: REDUCED: the kernel refuses namespaces of: net; seccomp alone stands there"
check "accepted: the same rewards" equal "$(metric reduced reward/code/mean)" "$(metric one reward/code/mean)"

# --- bad input: tests that cannot be read, or never end ---
sed 's/"stdin": ""/"stdin": 1/' tasks.jsonl >bad.jsonl
train 1 bad --set data.file=bad.jsonl
check "bad tests: exit 0" equal "$code" 0
check "bad tests: lost and counted" equal "$(metric bad reward/code/lost)" "$(metric bad reward/code/bad_tests)"
sed 's/, *"tests": \[[^]]*\]//' tasks.jsonl >untested.jsonl
train 1 untested --set data.file=untested.jsonl
refusal "no tests" "tests"
finish
