#!/bin/bash
# test_graders.sh DUET: graders of one's own in a run. A Python verifier that is killed, that hangs
# and that prints nonsense at random for 1,000 answers: the run goes on and every lost verdict is
# counted. What a retry gives again is the same bits, also when the run is killed and resumed. A
# command that does not run and a shared object without its symbol are refused at the start.
. "${BASH_SOURCE%/*}/common.sh"
command -v python3 >/dev/null || { echo "skip: no python3"; exit 0; }

# The reward follows from the answer alone. Trouble is drawn from a file of its own, so that the
# second try of an answer may go well.
cat >verifier.py <<'PY'
import json, os, random, signal, sys, time
how = sys.argv[1]
draw = random.Random(os.getpid())
for line in sys.stdin:
    r = json.loads(line)
    roll = draw.random() if how != "well" else 1.0
    if roll < 0.03:
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "all" and roll < 0.05:
        time.sleep(60)
    if how == "all" and roll < 0.09:
        print("noise", r["answer"][:20])
    reply = {"id": r["id"], "reward": len(r["answer"]) % 7 / 7}
    if how == "all" and roll > 0.99:
        reply = {"id": r["id"], "error": "no idea"}
    print(json.dumps(reply), flush=True)
PY

# graders HOW RETRIES TIMEOUT [STEPS]: a recipe of GRPO steps of 128 answers that the verifier
# grades
graders() {
    cat >recipe.yaml <<YAML
seed: 7
watchdog_s: 60
mesh: {dp: 2, pp: 1, decode_slots: 32}
model: {layers: 1, hidden: 16, heads: 2, max_context: 64}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 512}
checkpoint: {every: 2, keep: 3}
phases:
  - kind: grpo
    steps: ${4:-8}
    prompts: 16
    samples: 8
    max_new: 16
    lr: 1e-3
    reward_accuracy: 0
    save_samples: 32
    graders:
      - {name: judge, command: python3 verifier.py $1, workers: 2, retries: $2, timeout: $3, start: 1}
YAML
}
sum() { values "$1/metrics.jsonl" "$2" | awk '{ n += $1 } END { print n + 0 }'; }

graders well 2 10 4
train 2 well
check "well: exit 0" equal "$code" 0 || finish
check "well: nothing is lost" equal "$(sum well reward/judge/lost)" 0
check "well: answers earn different rewards" test "$(values well/metrics.jsonl reward/judge/std | grep -c '[1-9]')" -ge 3
check "well: its own name in samples" has well/samples.jsonl "\"judge\":"

# a recipe may have any name
graders well 2 10 1
mv recipe.yaml recipe.txt
recipe=recipe.txt
train 2 named
check "recipe.txt: exit 0" equal "$code" 0
check "recipe.txt: is graded" equal "$(sum named reward/judge/lost)" 0
recipe=recipe.yaml
check "well: something is learned" test "$(values well/metrics.jsonl grad_norm | grep -c '[1-9]')" -ge 3
check "well: ratio 1" equal "$(deviations well/metrics.jsonl)" 0
check "well: its time" test "$(values well/metrics.jsonl time/reward/judge | grep -c '[1-9]')" -eq 4

# --- killed, hung, noisy: 1,024 answers ---
graders all 0 0.3
train 2 all
lost=$(sum all reward/judge/lost)
check "at random: exit 0" equal "$code" 0
check "at random: all steps" equal "$(wc -l <all/metrics.jsonl)" 8
check "at random: verdicts are lost" test "$lost" -ge 20
check "at random: most are not" test "$lost" -le 200
check "at random: said that it ended" has err "grader judge ended without a verdict (signal 9)"
check "at random: said that it hung" has err "grader judge gave no verdict in time and was ended"
check "at random: said that it printed nonsense" has err "grader judge printed what is no reply (noise"
check "at random: said that it gave up" has err "grader judge could not grade an answer (no idea)"
check "at random: each once on a rank" test "$(grep -c 'said once, then counted' err)" -le 8
echo "at random: $lost of 1024 verdicts lost"

# --- killed at random, tried again: the same bits ---
graders killed 20 1 4
train 2 killed
check "tried again: exit 0" equal "$code" 0
check "tried again: said that it ended" has err "grader judge ended without a verdict (signal 9)"
check "tried again: nothing is lost" equal "$(sum killed reward/judge/lost)" 0
unclocked() { sed -E 's/"(time\/[^"]*|tokens_per_second|pipeline\/[^"]*)": *[^,}]*,? *//g' "$1/metrics.jsonl"; }
check "tried again: the same metrics" equal "$(unclocked killed)" "$(unclocked well)"
check "tried again: the same samples" cmp killed/samples.jsonl well/samples.jsonl
start 2 again
ready
check "killed and resumed: at that moment" until_true lines 2 again
kill -KILL "${pids[@]}"
ended
train 2 again --resume auto
check "killed and resumed: exit 0" equal "$code" 0
check "killed and resumed: same as the unbroken run" alike killed again
check "nothing is left behind" fails pgrep -f "verifier.py killed"

# --- refused at the start ---
refused() { # NAME GRADER WORDS...
    local name=$1
    train 2 refused --set "phases.grpo.graders=[$2]"
    shift 2
    refusal "$name" "$@"
    check "$name: nothing was begun" test ! -e refused
}
refused "no such command" '{"name": "judge", "command": "./no-verifier x"}' \
    "grader judge (./no-verifier) does not work, tried on an empty answer: ended: exit status 127: cannot run ./no-verifier: No such file or directory"
refused "a script with a mistake" '{"name": "judge", "command": "python3 no-verifier.py"}' \
    "grader judge (python3) does not work, tried on an empty answer: ended: exit status 2: " "can't open file"
refused "two at once" '{"name": "judge", "command": "false"}, {"name": "other", "command": "false"}' \
    "grader judge (false) does not work, tried on an empty answer: ended: exit status 1" "grader other (false) does not work" "2 problems"
refused "a shared object that is none" '{"name": "fast", "library": "verifier.py"}' \
    "grader fast (verifier.py) does not work, tried on an empty answer: ended: exit status 2: " "verifier.py: "
refused "a name of two" '{"name": "a", "command": "cat"}, {"name": "a", "command": "cat"}' "graders of grpo: two graders are called a"

# --- duet grade ---
printf '{"id": "a", "answer": "four", "prompt": "1+1"}\n{"id": "b", "answer": ""}\n{"answer": 1}\n' >lines
call "$duet" grade --reward judge --reward format --set 'graders=[{"name": "judge", "command": "python3 verifier.py well"}]' lines
check "duet grade: exit 0" equal "$code" 0
check "duet grade: a verdict" has out '"id": "a", "rewards": {"format": 0.0, "judge": 0.571428'
check "duet grade: one a line" equal "$(wc -l <out)" 3
call "$duet" grade --reward jugde --set 'graders=[{"name": "judge", "command": "python3 verifier.py well"}]' lines
refusal "duet grade: no such name" 'no reward is called "jugde"; did you mean judge?'
call "$duet" grade --reward judge --set 'graders=[{"name": "judge", "command": "./no-verifier"}]' lines
refusal "duet grade: one that does not work" "grader judge (./no-verifier) does not work, tried on an empty answer: ended: exit status 127"

# --- a shared object ---
if command -v cc >/dev/null; then
    cc -shared -fPIC -I "$root/trainer/reward/plugin" -o grader.so "$root/launch/graders/grader.c" || finish
    echo 'int other;' >empty.c
    cc -shared -fPIC -o empty.so empty.c
    sed 's/{DUET_GRADER_VERSION,/{99,/' "$root/launch/graders/grader.c" >old.c
    cc -shared -fPIC -I "$root/trainer/reward/plugin" -o old.so old.c
    sed 's/if (!to) return 0;.*/if (a->answer.bytes > 0) __builtin_trap();/' "$root/launch/graders/grader.c" >crash.c
    cc -shared -fPIC -I "$root/trainer/reward/plugin" -o crash.so crash.c
    refused "no symbol" '{"name": "fast", "library": "empty.so"}' \
        "grader fast (empty.so) does not work, tried on an empty answer: ended: exit status 2: no grader: " "undefined symbol: duet_grader"
    refused "another version" '{"name": "fast", "library": "./old.so"}' "made for version 99 of duet_grader.h, this program has 1"
    train 2 object --set 'phases.grpo.graders=[{"name": "fast", "library": "grader.so"}]' --set phases.grpo.steps=1
    check "shared object: exit 0" equal "$code" 0
    check "shared object: nothing is lost" equal "$(sum object reward/fast/lost)" 0
    train 2 crash --set 'phases.grpo.graders=[{"name": "fast", "library": "./crash.so", "retries": 0}]' --set phases.grpo.steps=1
    check "one that crashes: exit 0" equal "$code" 0
    check "one that crashes: lost" test "$(sum crash reward/fast/lost)" -ge 100
    check "one that crashes: is said" has err "grader fast ended without a verdict (signal "
    echo '{"id": "1", "answer": "so <answer>7</answer>", "expected": "7"}' >line
    "$duet" grader grader.so <line >out 2>err
    check "duet grader" equal "$(cat out)" '{"id":"1","reward":1}'
    python3 "$root/launch/graders/verifier.py" <line >out 2>err
    check "the example in Python" equal "$(cat out)" '{"id": "1", "reward": 1.0}'
else
    echo "skip: no cc for a shared object"
fi
finish
