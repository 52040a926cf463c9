#!/bin/bash
# test_sites_stop.sh DUET: P5, P8: several sites also react to a stop request while answers are
# sampled: in an evaluation phase, in an evaluation within a phase, in a rollout. It takes seconds;
# the sites stop at the same step, also when one is a step ahead, when only one rank of one site is
# signalled, and during an exchange; resumed, both have the bits of the unbroken run.
. "${BASH_SOURCE%/*}/common.sh"
long_answers "sites: 2, dp: 2" 600 6 60
echo "sites: {every: 3, delay: 2}" >>recipe.yaml
train 4 whole
check "unbroken: exit 0" equal "$code" 0
export DUET_PACE_US=3000 # for each decode batch, on a fast machine too; no bit changes

sites_at() { equal "$(cat broken/site-{1,2}/checkpoints/latest | paste -sd' ')" "step-$(printf %08d "$1") step-$(printf %08d "$1")"; }
either() { sites_at "$1" || sites_at "$2"; }
# begun NAME LINES: resumes the run and waits until both sites have that number of lines
begun() {
    start 4 broken --resume auto
    ready
    check "$1: started" until_true told "run folder" || { ended; return 1; }
    check "$1: site 1 is under way" until_true lines "$2" broken/site-1 || { ended; return 1; }
    check "$1: site 2 is under way" until_true lines "$2" broken/site-2 || { ended; return 1; }
}
# heard NAME SINCE STEP: the request was heard within seconds, at that step on both sites
heard() {
    ended
    check "$1: exit 85" equal "$code" 85
    check "$1: within seconds" test $((SECONDS - $2)) -le 4
    check "$1: both at that step" sites_at "$3"
}
# stopped NAME LINES SECONDS STEP: asked SECONDS after both sites have LINES lines
stopped() {
    local since
    begun "$1" "$2" || return
    pause "$3"
    since=$SECONDS
    kill -USR1 "$job"
    heard "$1" "$since" "$4"
    check "$1: no line more" equal "$(cat broken/site-?/metrics.jsonl | wc -l)" $((2 * $2))
}
# advanced NAME LINES STEP MOST: stopped later and later until both sites are done with some
# problems; a loaded machine may need it
advanced() {
    local wait
    for wait in 0.5 1 2 4; do
        stopped "$1" "$2" "$wait" "$3" || return
        done=$(member 'done' broken/site-1) other=$(member 'done' broken/site-2)
        [ "${done:-0}" -eq 0 ] || [ "${other:-0}" -eq 0 ] || break
    done
    check "$1: site 1 keeps some problems, not all" test "${done:-0}" -gt 0 -a "${done:-0}" -lt "$4"
    check "$1: site 2 keeps some problems, not all" test "${other:-0}" -gt 0 -a "${other:-0}" -lt "$4"
}
advanced "evaluation in sft" 3 4 1200
stopped "first rollout" 4 0.4 4

# An exchange begins after update 3 of learn, at the end of step 7, and counts two later. Meanwhile
# one rank alone is asked, the last.
begun "one rank" 7
pause 0.4
since=$SECONDS
kill -USR1 "${pids[4]}"
heard "one rank" "$since" 7
check "one rank: an exchange is under way" equal "$(member exchange_began broken/site-1) $(member exchange_began broken/site-2)" "3 3"

# ahead NAME LINES SECONDS [FURTHER]: site 2 stands still until site 1, a step ahead and in its
# rollout, has been asked for so long. The rollout of site 2 is not cut: it comes to where site 1
# stands.
ahead() {
    begun "$1" "$2" || return
    kill -STOP "${pids[3]}" "${pids[4]}"
    check "$1: site 1" until_true lines $(($2 + 1)) broken/site-1
    pause 0.1
    kill -USR1 "${pids[1]}"
    pause "$3"
    check "$1: site 2 is behind" equal "$(wc -l <broken/site-2/metrics.jsonl)" "$2"
    kill -CONT "${pids[3]}" "${pids[4]}"
    ended
    check "$1: exit 85" equal "$code" 85
    check "$1: where site 1 stood${4:+, or a step further}" either "$(($2 + 1))" "$(($2 + ${4:-1}))"
}
ahead "one ahead" 7 0.4
pace=$DUET_PACE_US
unset DUET_PACE_US
# (Where its first rank had answered all before it was asked, it learns and says the step behind.)
ahead "one ahead, whose rollout ends before the other answers" 8 2.5 2
export DUET_PACE_US=$pace
advanced "evaluation" 10 10 300
unset DUET_PACE_US
train 4 broken --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: site 1 same as the unbroken run" alike whole/site-1 broken/site-1
check "resumed: site 2 same as the unbroken run" alike whole/site-2 broken/site-2
finish
