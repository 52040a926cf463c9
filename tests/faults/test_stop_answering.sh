#!/bin/bash
# test_stop_answering.sh DUET: P5, P8: a run reacts to a stop request while answers are sampled: in
# an evaluation phase, in an evaluation within a phase, in a rollout. It takes seconds, not the rest
# of the phase; finished evaluations are kept; resumed, the run has the bits of the unbroken one.
. "${BASH_SOURCE%/*}/common.sh"
long_answers "dp: 2" 1200 2 200
train 2 whole
export DUET_PACE_US=4000 # every decode batch takes so much longer, on a fast machine too; no bit changes
check "unbroken: exit 0" equal "$code" 0

# stopped NAME LINES SECONDS: SECONDS after LINES lines
stopped() {
    local name=$1 since
    start 2 broken --resume auto
    ready
    check "$name: started" until_true told "run folder" || { ended; return 1; }
    check "$name: under way" until_true lines "$2" broken || { ended; return 1; }
    pause "$3"
    since=$SECONDS
    kill -USR1 "$job"
    ended
    check "$name: exit 85" equal "$code" 85
    check "$name: within seconds" test $((SECONDS - since)) -le 3
    check "$name: no line more" equal "$(wc -l <broken/metrics.jsonl)" "$2"
    check "$name: reported" has err "restart with --resume auto"
}
# advanced NAME LINES FROM MOST: stopped later and later until more than FROM problems are done; a
# loaded machine may need it
advanced() {
    local wait
    for wait in 0.5 1 2 4; do
        stopped "$1" "$2" "$wait" || return
        done=$(member 'done' broken)
        [ "${done:-0}" -le "$3" ] || break
    done
    check "$1: more problems are done, not all" test "${done:-0}" -gt "$3" -a "${done:-0}" -lt "$4"
}
advanced "evaluation in sft" 3 0 1200
advanced "evaluation in sft, again" 3 "$done" 1200
stopped "first rollout" 4 0.4
check "first rollout: saved where it stood" is_saved 4 broken
stopped "second rollout" 5 0.4
check "second rollout: saved where it stood" is_saved 5 broken
advanced "evaluation" 6 0 300
cp -r broken other
unset DUET_PACE_US
train 2 other --resume auto --set phases.last.prompts=4
check "with other settings: exit 0" equal "$code" 0
check "with other settings: anew" has err "starts over: its settings have changed"
check "with other settings: what is asked for now" has err "(4 problems, answers per problem: 4)"
train 2 broken --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: same as the unbroken run" alike whole broken


# --- duet eval: what it has so far ---
DUET_PACE_US=4000 "$root/launch/run.sh" -n 2 --timeout 60 "$duet" eval whole --prompts 2000 --samples 8 >out 2>err </dev/null &
job=$! started=2
ready
pause 1.5
kill -TERM "$job"
ended
check "duet eval: exit 85" equal "$code" 85
check "duet eval: reported" has out '"stopped": true'
check "duet eval: how many it has" grep -qE "stopped on request after [0-9]+ of 2000 problems: the figures are for those" err

# --- duet sample: the prompts that it has all answers to ---
call "$duet" sample whole --problems 40 --samples 4
check "duet sample: exit 0" equal "$code" 0
cp out answers
DUET_PACE_US=4000 "$root/launch/run.sh" -n 2 --timeout 60 "$duet" sample whole --problems 40 --samples 4 >out 2>err.sample </dev/null &
job=$! started=2
ready
pause 1.5
kill -TERM "$job"
ended
check "duet sample: exit 85" equal "$code" 85
check "duet sample: how many it shows" grep -qE "stopped on request after [0-9]+ of 40 prompts: their answers are shown" err.sample
check "duet sample: the first answers, whole" cmp -s out <(head -c "$(wc -c <out)" answers)

# --- what has nothing to save ---
# ends_at_once NAME: the job under way, asked to stop
ends_at_once() {
    ready
    pause 1
    kill -TERM "$job"
    ended
    check "$1: exit 85" equal "$code" 85
    check "$1: once, that nothing is saved" times 1 err "stopped on request before the end: nothing is saved, run it again"
    check "$1: nothing about a checkpoint" hasnt err checkpoint
}
started=2
"$root/launch/run.sh" -n 2 --timeout 60 "$duet" score whole >out 2>err <never & # waits for lines
job=$!
ends_at_once "duet score"
"$root/launch/run.sh" -n 2 --timeout 60 "$duet" bench reduce --mib 64 --steps 1000 >out 2>err </dev/null &
job=$!
ends_at_once "duet bench"
"$duet" bench decode --layers 2 --hidden 64 --ffn 64 --heads 2 --slots 64 --answer 200 --steps 1000 >out 2>err </dev/null &
job=$!
pause 1
kill -INT "$job"
kill -TERM "$job"
ended
check "duet bench alone: exit 85" equal "$code" 85
check "duet bench alone: said" has err "nothing is saved, run it again"
finish
