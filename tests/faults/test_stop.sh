#!/bin/bash
# test_stop.sh DUET: a run that is asked to stop saves and exits 85, whatever the signal; resumed it
# equals the unbroken run.
# A second request ends it at once.
. "${BASH_SOURCE%/*}/common.sh"
train 4 whole
check "unbroken: exit 0" equal "$code" 0

# stopped NAME SIGNAL TEST...: the run stops this way, whether or not between two regular
# checkpoints
stopped() {
    local name=$1 signal=$2
    shift 2
    start 4 broken --resume auto
    ready
    check "$name: under way" until_true "$@" || { ended; return 1; }
    kill "-$signal" "$job"
    ended
    check "$name: exit 85" equal "$code" 85
    check "$name: reported" has err "restart with --resume auto"
    check "$name: everything is saved" equal "$(cat broken/checkpoints/latest)" "step-$(printf %08d "$(wc -l <broken/metrics.jsonl)")"
    check "$name: no process is left" gone 10 "${pids[@]}"
}
stopped "USR1 in sft" USR1 lines 23 broken
stopped "TERM in grpo" TERM lines 64 broken
train 4 broken --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: same as the unbroken run" alike whole broken

# --- a job that cannot stop because a rank hangs ---
start 4 stuck
ready
check "twice: under way" until_true lines 5 stuck
kill -STOP "${pids[2]}"
kill -TERM "$job"
# shellcheck disable=SC2317  # called by until_true
asked() { [[ $(<err) == *"saving a checkpoint, then stopping"* ]]; }
check "twice: the first is answered" until_true asked
sleep 3 # run.sh takes two signals within two seconds for one
since=$SECONDS
kill -TERM "$job"
ended
check "twice: ended within 10 s" test $((SECONDS - since)) -le 10
check "twice: neither done nor saved" test "$code" -ne 0 -a "$code" -ne 85
check "twice: no process is left" gone 10 "${pids[@]}"
finish
