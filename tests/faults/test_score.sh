#!/bin/bash
# test_score.sh DUET: promise P2 from outside. `duet score` with the checkpoint of a step gives
# exactly the log-probabilities that were recorded when that step's answers were sampled, on any
# mesh. eval and sample use the same checkpoint.
. "${BASH_SOURCE%/*}/common.sh"
base
# of 16 groups some always differ in their rewards: every step learns
train 4 run --set mesh.pp=2 --set checkpoint.every=1 --set checkpoint.keep=9 --set phases.grpo.prompts=16
check "train: exit 0" equal "$code" 0

# numbers FILE: log-probabilities, one answer per line, with the nine digits that distinguish floats
numbers() {
    sed 's/.*"logp": *\[\([^]]*\)\].*/\1/' "$1" | awk -F ', *' '{ for (i = 1; i <= NF; i++) printf "%.9g ", $i; print "" }'
}
# score NAME STEP RANKS ARGUMENTS...
score() {
    local name=$1 step=$2 n=$3
    shift 3
    call "$root/launch/run.sh" -n "$n" --timeout 60 "$duet" score "run/checkpoints/step-0000000$step" "sampled.$step" "$@"
    check "$name: exit 0" equal "$code" 0
    check "$name: the recorded numbers" cmp <(numbers "sampled.$step") <(numbers out)
}
for step in 1 2; do
    grep "\"step\":$step," run/samples.jsonl >sampled.$step
    check "answers of step $step" equal "$(wc -l <sampled.$step)" 16
done
check "log-probabilities are numbers below 0" grep -qE '^-[0-9.e]+ -[0-9.e]+ ' <(numbers sampled.1)
score "step 1, one rank" 1 1
score "step 2, one rank" 2 1
score "step 2, two ranks" 2 2
score "step 2, two stages" 2 2 --set mesh.pp=2
cp sampled.2 sampled.1
call "$duet" score run/checkpoints/step-00000001 sampled.1
check "the weights of another step give other numbers" test "$(numbers sampled.1)" != "$(numbers out)"

# --- mistakes in the lines: all of them, with their line ---
printf '%s\n' '{"prompt_ids": [1], "answer_ids": [2]}' 'not json' '{"prompt_ids": [1]}' '{"prompt_ids": [1], "answer_ids": [99999]}' >bad.jsonl
call "$root/launch/run.sh" -n 2 --timeout 60 "$duet" score run bad.jsonl
check "mistaken lines: exit 2" equal "$code" 2
check "mistaken lines: line 2" times 1 err "bad.jsonl:2: is not JSON"
check "mistaken lines: line 3" times 1 err "bad.jsonl:3: needs \"prompt_ids\" and \"answer_ids\""
call "$duet" score run missing.jsonl
check "missing file: exit 2" equal "$code" 2
check "missing file: named" has err "missing.jsonl"

# --- the other commands that answer ---
call "$duet" eval run --prompts 8 --samples 2
check "eval: exit 0" equal "$code" 0
check "eval: one JSON object" grep -qE '^\{"step": 3, "task": "arithmetic", "prompts": 8, .*"pass@2": [0-9.]+.*\}$' out
mv out eval.1
call "$root/launch/run.sh" -n 2 --timeout 60 "$duet" eval run --prompts 8 --samples 2 --set mesh.pp=2
check "eval on two stages: the same numbers" cmp eval.1 out
call "$duet" sample run "1+2" --samples 3
check "sample: exit 0" equal "$code" 0
check "sample: three answers" times 3 out "1+2<think>"
finish
