#!/bin/bash
# test_failures.sh DUET: promise P8 on four hosts. A rank killed, a host killed, a link down
# permanently, mpirun killed, a rank that hangs: the job ends in time, reports who and what, with
# its exit code, and leaves no process on any host. A link down for 3 s: the job continues.
# Prints the rows of the table in docs/CLUSTER.md.
. "${BASH_SOURCE%/*}/common.sh"
hosts_up 4

# hurt NAME LIMIT_S COMMAND...: while four ranks train on four hosts, one each; sets took (ms from
# there to the end) and code
hurt() {
    local name=$1 limit_s=$2 since
    shift 2
    rm -rf run
    start_hosts 4 run --set phases.start.steps=100000 --set checkpoint.every=1000 "${settings[@]}"
    check "$name: under way" until_true lines 5 run || { ended; return; }
    since=$(now_ms)
    "$@"
    ended
    took=$(($(now_ms) - since))
    check "$name: ended within $limit_s s" test $took -le $((limit_s * 1000))
    check "$name: no process is left" nobody_left "${left_s:-5}"
    row "$name" "$(seconds_of $took)" "$code" "$(grep -m 1 -E '^(rank|host|mpirun) ' err)"
}
settings=()

kill_rank() { kill -KILL "$(ranks_on "$1")"; }
hurt "rank killed" 10 kill_rank 3
check "rank killed: exit code 128 + 9" equal "$code" 137
check "rank killed: who and how" has err "rank 2 on h3: ended by signal 9"
check "rank killed: what to do" has err "--resume auto"

# shellcheck disable=SC2046
kill_host() { kill -KILL $("$tb" pids "$1" | awk '{ print $2 }') "$(cat "$net/sshd$1.pid")"; }
hurt "host killed" 15 kill_host 3
check "host killed: exit 1" equal "$code" 1
check "host killed: which" has err "host h3: the connection to it is lost"
check "host killed: what to do" has err "--resume auto"
on 3 /usr/sbin/sshd -f "$net/sshd3.conf"

left_s=20
hurt "link down for ever" 20 "$tb" cut 3
check "link down permanently: exit 1" equal "$code" 1
check "link down permanently: which host" has err "host h3: the connection to it is lost"
"$tb" mend 3

# mpirun's own host: what it started elsewhere must end on its own
hurt "link of mpirun's host down" 20 "$tb" cut 1
check "link of mpirun's host down: exit 1" equal "$code" 1
check "link of mpirun's host down: which hosts" grep -qE '^host h[234]: the connection to it is lost' err
"$tb" mend 1

kill_mpirun() { kill -KILL "$(launcher)"; }
hurt "mpirun killed" 10 kill_mpirun
check "mpirun killed: exit code 128 + 9" equal "$code" 137
check "mpirun killed: reported" has err "mpirun on h1 was ended by signal 9"
kill_run_sh() { kill -KILL "$job"; }
hurt "run.sh killed" 10 kill_run_sh 2>/dev/null

left_s=5 settings=(--set watchdog_s=5)
stop_rank() { kill -STOP "$(ranks_on "$1")"; }
hurt "rank stopped" 15 stop_rank 3
check "rank stopped: exit 1" equal "$code" 1
check "rank stopped: why" has err "the watchdog ended a job that made no progress"
check "rank stopped: who" has err "rank 2 on h3 answers nobody"

# --- what a job survives ---
train 4 single
check "one host: exit 0" equal "$code" 0
rm -rf run
start_hosts 4 run
check "link down for 3 s: under way" until_true lines 20 run
"$tb" cut 3
read -rt 3 _ <&"$never"
"$tb" mend 3
ended
check "link down for 3 s: exit 0" equal "$code" 0
check "link down for 3 s: the same bits" alike single run
row "link down for 3 s" "goes on" "$code" "none"
finish
