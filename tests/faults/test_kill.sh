#!/bin/bash
# test_kill.sh DUET: promise P8. A rank that dies ends the job within seconds: the message names
# rank, host and signal and says what to do, the exit code is not 0, and no process is left. The
# same holds when mpirun or launch/run.sh itself dies.
. "${BASH_SOURCE%/*}/common.sh"
host=$(hostname)

# killed NAME SIGNAL NUMBER: process NUMBER of pids (0: mpirun, then the ranks) gets the signal
# during the steps
killed() {
    local name=$1 signal=$2 victim=$3 since
    rm -rf run
    start 4 run
    ready
    check "$name: under way" until_true lines 5 run || { ended; return 1; }
    since=$SECONDS
    kill "-$signal" "${pids[victim]}"
    ended
    check "$name: ended within 10 s" test $((SECONDS - since)) -le 10
    check "$name: exit code not 0" test "$code" -ne 0
    check "$name: no process is left" gone 10 "${pids[@]}"
}
killed "rank 2 killed" KILL 3
check "rank 2 killed: exit code 128 + 9" equal "$code" 137
check "rank 2 killed: reported once" times 1 err "rank 2 on $host: ended by signal 9 (Killed)"
check "rank 2 killed: what to do" has err "--resume auto"
check "rank 2 killed: nobody else complains" hasnt err "what:"
killed "rank 0 crashed" SEGV 1
check "rank 0 crashed: exit code 128 + 11" equal "$code" 139
check "rank 0 crashed: reported" has err "rank 0 on $host: ended by signal 11 (Segmentation fault)"
killed "mpirun killed" KILL 0

start 4 again
ready
check "run.sh killed: under way" until_true lines 5 again
kill -KILL "$job"
ended 2>/dev/null
check "run.sh killed: no process is left" gone 10 "${pids[@]}"

# --- a rank that hangs: the watchdog of the ranks that wait for it ---
rm -rf run
start 4 run --set watchdog_s=5
ready
check "rank 1 stopped: under way" until_true lines 5 run
since=$SECONDS
kill -STOP "${pids[2]}"
ended
check "rank 1 stopped: ended within 15 s" test $((SECONDS - since)) -le 15
check "rank 1 stopped: exit 1" equal "$code" 1
check "rank 1 stopped: the watchdog says so" has err "what: the watchdog ended a job that made no progress"
check "rank 1 stopped: it says who waits" grep -qE '^rank [023]/4 on .*, (while|waiting for) ' err
check "rank 1 stopped: no process is left" gone 10 "${pids[@]}"
finish
