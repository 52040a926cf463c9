#!/bin/bash
# test_connections.sh DUET: with how many others a rank is connected, on 8 to 64 real ranks over
# TCP, eight to a pretended host and each a replica: while it learns, and in `duet eval`. All pairs
# of a small group, few of a large one, and none twice. Rank 0 is left out: it gets from every rank
# what that saves, once.
# shellcheck source=tests/faults/common.sh disable=SC2154,SC2013,SC2317
. "${BASH_SOURCE%/*}/../faults/common.sh"
unset "${!DUET_@}"
export DUET_RANKS_PER_NODE=8
FEW=31   # others, at most: half of 64's all pairs. Up to 23, and 26 where both ends began a connection
OTHERS=3 # sockets: of mpirun, and the one that listens

cat >recipe.yaml <<'YAML'
watchdog_s: 240
model: {layers: 2, hidden: 32, heads: 2, max_context: 64}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 64}
schedule: serial
checkpoint: {every: 100000}
phases: [{kind: sft, batch: 128, steps: 100000}]
YAML

# begin RANKS COMMAND...: in the background, without shared memory
begin() {
    started=$1
    shift
    "$root/launch/run.sh" -n "$started" --timeout 400 env OMPI_MCA_btl=self,tcp "$duet" "$@" >out 2>err </dev/null &
    job=$!
}
sockets() { # PID
    find "/proc/$1/fd" -lname 'socket:*' 2>/dev/null | wc -l
}
# others: all ranks but the first; mpirun starts many from several threads
others() {
    local pid
    for pid in $(cat "/proc/$(launcher)/task/"*/children); do
        grep -qz '^OMPI_COMM_WORLD_RANK=0$' "/proc/$pid/environ" || echo "$pid"
    done 2>/dev/null
}
# most_sockets: of the others
most_sockets() {
    local pid n most=0
    for pid in $(others); do
        n=$(sockets "$pid")
        [ "$n" -le "$most" ] || most=$n
    done
    echo "$most"
}
few_connected() { # RANKS SOCKETS
    local others=$(($1 - 1 < FEW ? $1 - 1 : FEW))
    [ "$2" -gt "$OTHERS" ] || { echo "$2 sockets: it is not TCP"; return 1; }
    [ "$2" -le $((OTHERS + others)) ] || { echo "a rank of $1 has $2 sockets, not $((OTHERS + others))"; return 1; }
}

for n in 8 16 32 64; do
    begin "$n" train recipe.yaml --set "out=of-$n"
    check "$n ranks learn" until_true lines 2 "of-$n" || finish
    most=$(most_sockets)
    echo "$n ranks that learn: $most sockets"
    check "$n ranks that learn have few connections" few_connected "$n" "$most"
    kill -TERM "$job"
    ended
    check "$n ranks: exit 85" equal "$code" 85
done

begin 64 eval of-64 --prompts 128 --samples 4 --max-new 32
most=0
while kill -0 "$job" 2>/dev/null; do
    now=$(most_sockets)
    [ "$now" -le "$most" ] || most=$now
    pause 0.2
done
ended
echo "64 ranks that evaluate: $most sockets"
check "64 ranks evaluate: exit 0" equal "$code" 0
check "64 ranks that evaluate have few connections" few_connected 64 "$most"
finish
