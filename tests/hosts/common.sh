# shellcheck shell=bash disable=SC2034,SC2154
# common.sh: for tests on several hosts; sourced with the program as $1. Everything of
# tests/faults/common.sh (scratch folder, checks, the recipe of three seconds), and a testbed:
# hosts_up, runs on its hosts, processes there, bytes on its links. Where there can be no testbed a
# script exits 77 and says why.
. "${BASH_SOURCE%/*}/../faults/common.sh"
tb=$root/launch/testbed/testbed.sh
net=/run/duet-testbed${DUET_TESTBED:+-$DUET_TESTBED}
has_testbed=''

# hosts_up [N] [--slurm]: h1 to hN; waits while another test uses the testbed
hosts_up() {
    local code
    "$tb" up --wait 600 "$@" >up.log 2>&1 # not in a subshell: the testbed belongs to this process
    code=$?
    [ $code -eq 0 ] || { tail -n 1 up.log; exit $((code == 77 ? 77 : 1)); }
    has_testbed=1
    hosts=$(cat "$net/hosts_up")
}
cleanup_hosts() {
    [ "$has_testbed" ] && "$tb" down
    cleanup
}
trap cleanup_hosts EXIT

on() { "$tb" on "$@"; }

# A run on the hosts, from h1: as train, start of tests/faults/common.sh, but on `hostfile` (one
# rank a host).
hostfile=$net/hostfile
launch_hosts() { # RANKS ARGUMENTS...: sets command
    local n=$1
    shift
    command=("$tb" on 1 "$root/launch/run.sh" -n "$n" --hostfile "$hostfile" --timeout "${limit:-120}" "$duet" train "$recipe" "$@")
}
train_hosts() { # RANKS FOLDER ARGUMENTS...
    local n=$1 folder=$2 command
    shift 2
    launch_hosts "$n" --set "out=$folder" "$@"
    call "${command[@]}"
}
start_hosts() {
    local n=$1 folder=$2 command
    started=$n
    shift 2
    launch_hosts "$n" --set "out=$folder" "$@"
    "${command[@]}" >out 2>err </dev/null &
    job=$!
}

# row FAILURE TIME CODE MESSAGE: of the table in docs/CLUSTER.md
row() { printf '| %s | %s | %s | %s |\n' "$@"; }
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
seconds_of() { printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100)); } # of milliseconds

# --- processes on hosts ---

# ranks_on I: process ids of the trainer on host I
ranks_on() {
    local pid
    for pid in $(ip netns pids "${DUET_TESTBED:+$DUET_TESTBED-}duet-h$1"); do
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = duet ] && echo "$pid"
    done
}
# nobody_left SECONDS [BUT]: within that time all processes on the hosts have ended, except the
# testbed's own and those that match BUT
nobody_left() {
    local until=$((SECONDS + $1)) left
    while left=$("$tb" pids | grep -v -- "${2:-^$}"); do
        [ $SECONDS -lt $until ] || { echo "$left"; return 1; }
        read -rt 0.1 _ <&"$never"
    done
    return 0
}

# --- bytes on links ---

# traffic_of COMMAND...: runs it; sets traffic[from,to], the bytes (IP headers included) host hFROM
# sent to host hTO
declare -A traffic
traffic_of() {
    local from to bytes
    traffic=()
    while read -r from to bytes; do traffic[${from#h},${to#h}]=-$bytes; done < <("$tb" traffic)
    "$@"
    while read -r from to bytes; do traffic[${from#h},${to#h}]=$((bytes + ${traffic[${from#h},${to#h}]})); done < <("$tb" traffic)
    [ ${#traffic[@]} -gt 0 ] || { echo "no counters: iptables is missing; run: launch/setup.sh --hosts"; exit 77; }
}
# step_traffic RANKS SHORT LONG ARGUMENTS...: what a step sends: sets traffic as above, bytes a
# step. From two runs of SHORT and LONG steps of the recipe's first phase (which must be its only
# one), so that start, end and checkpoints drop out. The long run's folder stays: step-traffic-long.
step_traffic() {
    local n=$1 short=$2 long=$3 pair name
    shift 3
    local -A before
    name=$(sed -n 's/.*kind: [a-z]*, name: \([a-z]*\).*/\1/p' "$recipe" | head -n 1)
    rm -rf step-traffic-short step-traffic-long
    traffic_of train_hosts "$n" step-traffic-short --set "phases.$name.steps=$short" "$@"
    check "$short steps: exit 0" equal "$code" 0
    for pair in "${!traffic[@]}"; do before[$pair]=${traffic[$pair]}; done
    traffic_of train_hosts "$n" step-traffic-long --set "phases.$name.steps=$long" "$@"
    check "$long steps: exit 0" equal "$code" 0
    for pair in "${!traffic[@]}"; do traffic[$pair]=$(((traffic[$pair] - before[$pair]) / (long - short))); done
}
# near PERCENT A B: A is within PERCENT percent of B
near() {
    awk -v p="$1" -v a="$2" -v b="$3" 'BEGIN { d = 100 * (a - b) / b; if (d < 0) d = -d; if (d <= p) exit 0
        printf "%s is not within %s %% of %s\n", a, p, b; exit 1 }'
}
