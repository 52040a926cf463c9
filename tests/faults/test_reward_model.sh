#!/bin/bash
# test_reward_model.sh DUET: a phase of kind reward_model. From the same weights every mesh gives
# the first scores of the same pairs, bit for bit, and orders held-out pairs; the policy comes out
# of the phase as it went in; a run stopped in the phase, or behind it, resumes to the bits of the
# unbroken one. Files of pairs and of labels; what is wrong with a file, or a recipe, is named.
. "${BASH_SOURCE%/*}/common.sh"
base

cat >pairs.yaml <<'YAML'
seed: 7
watchdog_s: 60
mesh: {decode_slots: 16}
model: {layers: 4, hidden: 32, heads: 2, max_context: 128, from: base}
data: {task: arithmetic, difficulty: 2, give_up: 0.5, micro_batch_tokens: 512}
checkpoint: {every: 4, keep: 9}
phases:
  - {kind: reward_model, name: judge, steps: 12, batch: 24, lr: 3e-3, eval_every: 12, eval_prompts: 40}
  - {kind: grpo, steps: 2, prompts: 4, samples: 4, max_new: 24, lr: 1e-3, reward_model: 0.5, save_samples: 16, save_tokens: true}
YAML
recipe=pairs.yaml
meshes=(1x1x1:serial 2x1x1:serial 1x2x1:1f1b 1x2x1:dualpipe 1x2x1:dualpipev 2x2x1:zb1p)

# what the first step found of the same weights, and how the last differs from one rank's
first() { for name in loss reward_model/margin reward_model/mean reward_model/std; do values "$1/metrics.jsonl" "$name" | head -n 1; done | paste -sd ' '; }
last() { values "$1/metrics.jsonl" loss | sed -n 12p; }
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }' || { echo "$1 is not less than $2"; return 1; }; }
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(d < 0.02) }' || { echo "$1 is not near $2"; return 1; }; }
for at in "${meshes[@]}"; do
    mesh=${at%:*} schedule=${at#*:}
    read -r dp pp tp <<<"${mesh//x/ }"
    name=$mesh-$schedule
    train $((dp * pp * tp)) "$name" --set "mesh.dp=$dp" --set "mesh.pp=$pp" --set "mesh.tp=$tp" --set "schedule=$schedule"
    check "$name: exit 0" equal "$code" 0
    check "$name: the first scores are those of one rank, bit for bit" equal "$(first "$name")" "$(first 1x1x1-serial)"
    check "$name: the last loss is near one rank's" near "$(last "$name")" "$(last 1x1x1-serial)"
    check "$name: held-out pairs were asked" test "$(values "$name/metrics.jsonl" eval/arithmetic/pairs | sed -n 12p)" -ge 20
    check "$name: and most are in order" less 0.85 "$(values "$name/metrics.jsonl" eval/arithmetic/pair_accuracy | sed -n 12p)"
    check "$name: the ratio is exactly 1 behind it" equal "$(sed -n '13,$p' "$name/metrics.jsonl" | deviations /dev/stdin)" 0
    grep '"step":12,' "$name/samples.jsonl" | sed 's/"reward".*//' >"$name.first"
    check "$name: the first answers behind it are one rank's, bit for bit" cmp 1x1x1-serial.first "$name.first"
    check "$name: and have scores" test "$(values "$name/metrics.jsonl" reward/model/std | grep -c '^[0-9.]*[1-9]')" = 2
done

# a model that learned nothing is everywhere the same: so are its scores of the answers, which lie
# where they were sampled
for at in "${meshes[@]}"; do
    mesh=${at%:*} schedule=${at#*:}
    read -r dp pp tp <<<"${mesh//x/ }"
    name=rest-$mesh-$schedule
    train $((dp * pp * tp)) "$name" --set "mesh.dp=$dp" --set "mesh.pp=$pp" --set "schedule=$schedule" --set phases.judge.steps=1 --set phases.judge.lr=0 --set phases.grpo.mini_batches=2
    check "$name: exit 0" equal "$code" 0
    grep '"step":1,' "$name/samples.jsonl" >"$name.first"
    check "$name: 16 answers with a score" equal "$(grep -c '"model":-*[0-9]' "$name.first")" 16
    check "$name: the scores are one rank's, bit for bit" cmp rest-1x1x1-serial.first "$name.first"
done

# tensor parallelism adds in another order: near, and the ratio exact
train 2 tp --set mesh.tp=2
check "tp: exit 0" equal "$code" 0
check "tp: the first loss is near one rank's" near "$(values tp/metrics.jsonl loss | head -n 1)" "$(values 1x1x1-serial/metrics.jsonl loss | head -n 1)"
check "tp: the last loss, too" near "$(last tp)" "$(last 1x1x1-serial)"
check "tp: the ratio is exactly 1 behind it" equal "$(sed -n '13,$p' tp/metrics.jsonl | deviations /dev/stdin)" 0

# the policy rests: its log-probabilities behind the phase are those of before
grep '"step":12,' 1x1x1-serial/samples.jsonl >given
call "$duet" score base given
mv out before
call "$duet" score 1x1x1-serial/checkpoints/step-00000012 given
check "the policy is as it was: something is scored" test "$(wc -l <before)" -ge 16
check "the policy is as it was, bit for bit" cmp before out

# stopped in the phase, right behind it, and where it is asked
train 2 whole --set mesh.pp=2 --set checkpoint.every=1 --set checkpoint.keep=99
for step in 4 8 12 13; do
    rm -rf run
    cp -r whole run
    back_to "$step" run
    train 2 run --resume auto --set mesh.pp=2 --set checkpoint.every=1 --set checkpoint.keep=99
    check "from step $step: exit 0" equal "$code" 0
    check "from step $step: resumed there" has err "resuming from run/checkpoints/step-$(printf %08d "$step")"
    check "from step $step: the unbroken run's bits" alike whole run
done
# more steps, asked for when the phase was over: the reward model goes on, and not the policy
train 2 longer --set mesh.pp=2 --set phases.judge.steps=14
rm -rf run
cp -r whole run
back_to 12 run
train 2 run --resume auto --set mesh.pp=2 --set phases.judge.steps=14
check "more steps: exit 0" equal "$code" 0
for name in loss reward_model/mean reward/model/mean; do
    check "more steps: $name of a run that had them from the start" equal "$(values run/metrics.jsonl "$name")" "$(values longer/metrics.jsonl "$name")"
done
back_to 4 run
train 2 run --resume auto --set mesh.tp=2
check "pp 2 -> tp 2: exit 0" equal "$code" 0
call "$duet" inspect run
check "inspect: whole" has out "verified: whole"
check "inspect: names the reward model's head" has out "reward/score"
check "inspect: the policy has none" hasnt out "model/score"
call "$duet" sample run --max-new 8 "1+2="
check "the run answers" equal "$code" 0
call "$duet" plan pairs.yaml --set model.from=
check "plan: exit 0" equal "$code" 0

# files
for i in $(seq 60); do echo "{\"prompt\": \"$i+1=\", \"chosen\": \"$((i + 1))</think><answer>$((i + 1))</answer>\", \"rejected\": \"0</think><answer>0</answer>\"}"; done >pairs.jsonl
for i in $(seq 60); do echo "{\"prompt\": \"$i+1=\", \"answer\": \"$((i % 2))</think>\", \"score\": 0.$((i % 2 * 9))}"; done >labels.jsonl
echo '{"prompt": [{"role": "user", "content": "1+1="}], "chosen": [{"role": "assistant", "content": "<think>2"}], "rejected": "3"}' >>pairs.jsonl
for file in pairs labels; do
    train 2 "file-$file" --set "data.preferences=$file.jsonl" --set mesh.dp=2 --set phases.judge.steps=6 --set phases.judge.eval_every=6
    check "$file.jsonl: exit 0" equal "$code" 0
    check "$file.jsonl: it is learned" less "$(values "file-$file/metrics.jsonl" loss | sed -n 6p)" "$(values "file-$file/metrics.jsonl" loss | head -n 1)"
done
# a large file is known by its bytes: another one is noticed
head -c 1048576 /dev/zero | tr '\0' x >pad
large() { for i in $(seq 260); do printf '{"prompt": "%s+1=", "chosen": "%s", "rejected": "%s", "pad": "' "$i" "$((i + 1))" "$1"; cat pad; echo '"}'; done; }
large 0 >large.jsonl
train 1 large --set data.preferences=large.jsonl --set phases.judge.steps=3 --set phases.grpo.steps=1 --set checkpoint.every=1
check "a large file: exit 0" equal "$code" 0
back_to 2 large
large 1 >large.jsonl
train 1 large --resume auto --set data.preferences=large.jsonl --set phases.judge.steps=3 --set phases.grpo.steps=1 --set checkpoint.every=1
refusal "another large file" "other preferences"
rm large.jsonl pad
check "labels.jsonl: held-out labels" has file-labels/metrics.jsonl eval/labels.jsonl/label_accuracy

# refused LINE WORDS...: a file with that line behind a good one
refused() {
    { head -n 1 pairs.jsonl; echo "$1"; } >bad.jsonl
    shift
    train 1 bad --set data.preferences=bad.jsonl
    refusal "$1" "bad.jsonl:2" "$1"
}
refused '{"prompt": "1+1=", "rejected": "3"}' 'no "chosen"'
refused '{"prompt": "1+1=", "chosen": "3"}' 'no "rejected"'
refused '{"prompt": "1+1=", "chosen": "3", "rejected": "3"}' '"chosen" and "rejected" are the same text'
refused '{"prompt": "1+1=", "answer": "3", "score": 1.5}' '"score" is not a number from 0 to 1'
refused '{"prompt": "1+1=", "answer": "3", "score": "x"}' '"score" is not a number from 0 to 1'
refused '{"prompt": "1+1=", "chosen": 3, "rejected": "4"}' '"chosen" is not a string'
: >empty.jsonl
train 1 bad --set data.preferences=empty.jsonl
refusal "an empty file" "empty.jsonl: the file has no problems"
train 1 bad --set data.give_up=0
refusal "a task without wrong demonstrations" "learns from right and wrong demonstrations, but none of its first"
train 1 bad --set phases.judge.steps=0
refusal "nobody has trained it" "reward_model 0.5, but no phase of kind reward_model comes before it: put one there, with steps"
train 2 bad --set mesh.sites=2
refusal "sites" "a reward model learns on one site only: set mesh.sites to 1"
finish
