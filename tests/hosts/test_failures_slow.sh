#!/bin/bash
# test_failures_slow.sh DUET: a straggler reports itself and changes no bit; a host whose disk is
# full ends the job with its name, and earlier checkpoints stay intact. Prints the rows of the table
# in docs/CLUSTER.md.
. "${BASH_SOURCE%/*}/common.sh"
hosts_up 4
sed -i '/kind: grpo/,$d' recipe.yaml # the supervised steps are enough

train 4 single
check "one host: exit 0" equal "$code" 0

# --- slow: stopped most of the time, until it has said so ---
pulse() { # PID: stopped ten times as long as it ran; starts no process, which would take longer than the pulses
    local said=() since ran=2000 pause
    until [[ ${said[*]} == *"straggler: passes"* ]]; do
        kill -STOP "$1" || return
        mapfile -t said <err
        printf -v pause '%d.%06d' $((10 * ran / 1000000)) $((10 * ran % 1000000))
        read -rt "$pause" _ <&"$never"
        since=${EPOCHREALTIME/[.,]/}
        kill -CONT "$1"
        read -rt 0.002 _ <&"$never"
        ran=$((${EPOCHREALTIME/[.,]/} - since))
    done 2>/dev/null
    kill -CONT "$1" 2>/dev/null
}
start_hosts 4 slow
check "slow rank: under way" until_true lines 5 slow
pulse "$(ranks_on 3)" &
ended
check "slow rank: exit 0" equal "$code" 0
check "slow rank: the same bits" alike single slow
said='rank 2: warning: straggler: passes on h3 take [0-9.]* x the others'
check "slow rank: who" grep -q "$said" err
row "slow rank" "goes on" "$code" "$(grep -o "$said" err)"

# --- full: a small file system of h3's own where checkpoints lie; the first fits, the second does
# not ---
mkdir -p full/checkpoints
on 3 mount -t tmpfs -o size=256k none "$dir/full/checkpoints"
on 3 mkdir full/checkpoints/step-000000{2,4}0.partial # as on a file system common to all
start_hosts 4 full --set phases.start.steps=100000 --set checkpoint.every=20
check "disk full: it is noticed" until_true grep -q "No space left" err
since=$(now_ms)
ended
took=$(($(now_ms) - since))
check "disk full: exit 1" equal "$code" 1
check "disk full: who" grep -qE '^rank 2/4 on h3, .* while saving full/checkpoints/step-00000040' err
check "disk full: what" grep -qE 'why: .*No space left on device' err
check "disk full: what to do" has err "free space on that disk; the checkpoints saved before are intact"
check "disk full: no process is left" nobody_left 5
check "disk full: the checkpoint before it counts" is_saved 20 full
row "disk full on one host" "$(seconds_of $took)" "$code" "$(grep -m 1 '^rank' err)"

# --- a run folder that only one host sees ---
on 1 mkdir -p only
on 1 mount -t tmpfs none "$dir/only"
train_hosts 4 only
check "folder not common: exit 2" equal "$code" 2
check "folder not common: who" grep -qE 'host h[234] \(rank [123]\) does not see the run folder only that rank 0 created' err
row "run folder not common" "at the start" "$code" "$(grep -m 1 'does not see' err)"
finish
