#!/bin/bash
# test_early_stop.sh DUET: P9: a stop request during start-up ends the job with 85 at any moment:
# before mpirun is started nothing has begun; later the request is held until the ranks listen. Also
# what a rank reports about SIGHUP and about a file over its size limit.
# shellcheck source=tests/faults/common.sh
. "${BASH_SOURCE%/*}/common.sh"
long=(--set phases.start.steps=100000 --set phases.start.lr=1e-3)
mkdir tmp

# Our shell has begun to catch signals: before, nobody can keep one.
# shellcheck disable=SC2317  # called by until_true
catches() {
    local word mask
    while read -r word mask; do
        [ "$word" != SigCgt: ] || { (((16#$mask & 0x4001) == 0x4001)) && return; }
    done 2>/dev/null <"/proc/$job/status"
    return 1
}
# early [SLOW]: starts run.sh in its own process group, with SIGINT set as in a terminal; sets job.
# SLOW: a command that run.sh needs before the job and that takes so long here that the job cannot
# have started when the signal arrives.
early() {
    rm -rf early
    set -m
    PATH=${1:+$dir/slow-$1:}$PATH TMPDIR=$dir/tmp "$root/launch/run.sh" -n 2 --timeout 60 "$duet" train recipe.yaml --set out=early --set mesh.dp=1 \
        "${long[@]}" >out 2>err </dev/null &
    job=$!
    set +m
    until_true catches
}
# whole: what the stop left: a checkpoint of the run's last step, or no run at all; and exactly one
# message about the outcome
# shellcheck disable=SC2317
whole() {
    if [ -e early/checkpoints/latest ]; then
        equal "$(cat early/checkpoints/latest)" "step-$(printf %08d "$(wc -l <early/metrics.jsonl)")" && has err "stopped on request, checkpoint saved"
    else
        equal "$(find early -type f 2>/dev/null)" "" && equal "$(<err)" "launch/run.sh: stopped before the job began; nothing was changed: start it again"
    fi
}
# strike NAME SIGNAL [TO]: sends the signal now and checks what is left
strike() {
    case ${3:-} in
    group) kill "-$2" -- "-$job" ;; # Ctrl-C, or a terminal that is closed
    both) kill "-$2" "$job" && kill "-$2" -- "-$job" ;; # timeout(1)
    *) kill "-$2" "$job" ;;
    esac
    ended
    check "SIG$2 ${3:-} $1: exit 85" equal "$code" 85
    check "SIG$2 ${3:-} $1: all or nothing" whole
    check "SIG$2 ${3:-} $1: no folder is left" equal "$(ls tmp)" ""
}
for name in hostname mkfifo setsid; do # the first that is called, and one that is called when there is a folder
    mkdir "slow-$name"
    printf '#!/bin/bash\n: >"%s/reached"\nsleep 0.5\nexec %s "$@"\n' "$dir" "$(type -P $name)" >"slow-$name/$name"
    chmod +x "slow-$name/$name"
done
for name in hostname mkfifo; do
    for how in TERM INT HUP "TERM group" "INT group" "TERM both"; do
        rm -f reached
        early $name
        check "$how: $name is called before the job" until_true test -e reached
        read -r signal to <<<"$how"
        strike "in $name, before the job" "$signal" "$to"
        check "$how: in $name: nothing has begun" test ! -e early
    done
done
# What a signal to the group meets between the fork of the job and its own session: the job is not
# begun.
for how in "TERM group" "HUP group"; do
    rm -f reached
    early setsid
    check "$how: the job has no session yet" until_true test -e reached
    read -r signal to <<<"$how"
    strike "before the job has a session" "$signal" "$to"
    check "$how: before the job has a session: nothing has begun" test ! -e early
done
for how in TERM "INT group" "TERM both"; do
    early
    check "$how: under way" until_true lines 1 early
    read -r signal to <<<"$how"
    strike "in the first steps" "$signal" "$to"
    check "$how: in the first steps: saved" test -e early/checkpoints/latest
done
# there NAME: run.sh, or mpirun, has made it
there() { compgen -G "tmp/$1" >/dev/null; }
# Each thing that a start makes: what it has made must go again, and none of its processes may wait
# for one that the signal has ended.
for made in 'duet-run.*' 'duet-run.*/owner' 'ompi.*' 'ompi.*/hold.*' 'duet-run.*/out' 'duet-run.*/out.deaf' 'duet-run.*/err.deaf' 'duet-run.*/job' 'duet-run.*/uri'; do
    for how in TERM "INT group" "TERM both" "INT group"; do
        early
        until there "$made"; do kill -0 "$job" 2>/dev/null || break; done
        read -r signal to <<<"$how"
        strike "when there is $made" "$signal" "$to"
    done
done
turn=0 # and at any moment between: what is hit depends on the machine
signals=(TERM INT HUP "TERM group" "INT group" "TERM both")
for ms in {10..200..10} {225..600..25}; do
    read -r signal to <<<"${signals[turn++ % 6]}"
    early
    read -rt "$(printf 0.%03d "$ms")" _ <&"$never"
    strike "after $ms ms" "$signal" "$to"
done

# --- what an early kill leaves ---
early
kill -KILL "$job"
{ ended; } 2>/dev/null
mkdir tmp/duet-run.oooooo tmp/duet-run.foreig tmp/duet-run.youngo
: >tmp/duet-run.oooooo/owner
touch tmp/duet-run.foreig/notes
touch -d '10 minutes ago' tmp/duet-run.oooooo tmp/duet-run.foreig
TMPDIR=$dir/tmp call "$root/launch/run.sh" -n 1 true
check "a folder without an owner: swept when it is old and empty" equal "$(cd tmp && echo duet-run.*)" "duet-run.foreig duet-run.youngo"

# --- a rank that loses its terminal ---
start 2 hangup --set mesh.dp=1 "${long[@]}"
ready
check "hang-up: under way" until_true lines 3 hangup
kill -HUP "${pids[1]}"
ended
check "hang-up: exit 85" equal "$code" 85

# --- Ctrl-C without launch/run.sh ---
set -m # else our shell starts it with SIGINT ignored
"$duet" train recipe.yaml --set out=bare --set mesh.dp=1 --set mesh.pp=1 "${long[@]}" >out 2>err </dev/null &
job=$!
set +m
check "Ctrl-C: under way" until_true lines 3 bare
kill -INT "$job"
ended
check "Ctrl-C on a bare duet train: exit 85" equal "$code" 85
check "Ctrl-C on a bare duet train: saved" test -e bare/checkpoints/latest

# --- nohup duet train, and "&" in a script: what was ignored at the start stays ignored ---
nohup "$duet" train recipe.yaml --set out=kept --set mesh.dp=1 --set mesh.pp=1 "${long[@]}" >out 2>err </dev/null &
job=$!
check "nohup: under way" until_true lines 3 kept
kill -HUP "$job"
kill -INT "$job"
check "nohup: trains on" until_true lines $(($(wc -l <kept/metrics.jsonl) + 50)) kept
kill -TERM "$job"
ended
check "nohup: SIGTERM is heard: exit 85" equal "$code" 85

# --- a bare duet train whose reader exits is a hang-up; commands that only print end silently, as
# other tools do ---
one=(--set mesh.dp=1 --set mesh.pp=1 --set checkpoint.every=1000)
{ timeout 60 "$duet" train recipe.yaml --set out=read "${one[@]}" "${long[@]}" 2>&1; echo $? >code; } </dev/null | head -n 1 >out
check "a bare duet train, head: exit 85" equal "$(<code)" 85
check "a bare duet train, head: saved" equal "$(cat read/checkpoints/latest)" "step-$(printf %08d "$(wc -l <read/metrics.jsonl)")"
check "a bare duet train, head: it had its line" equal "$(wc -l <out)" 1
{ pause 0.5; "$duet" help settings 2>err; } | true # which has ended by then
check "a command that prints, head: says nothing" equal "${PIPESTATUS[0]} $(<err)" "141 "

# --- a bare duet train that dies: our message, and no output of Open MPI ---
"$duet" train recipe.yaml --set out=moved "${one[@]}" "${long[@]}" >out 2>err </dev/null &
job=$!
check "moved: under way" until_true lines 3 moved
mv moved elsewhere
ended
check "a bare rank that dies: exit 1" equal "$code" 1
check "P8: a bare rank that dies: our message is the last" equal "$(tail -n 4 err | cut -c 1-7 | paste -sd,)" "rank 0/,  what:,  why: ,  fix: "

# lane: starts and ends bare ranks, one after the other
lane() { for _ in {1..20}; do "$duet" train missing.yaml 2>&1 | grep -v 'missing.yaml: cannot read the recipe\|^1 problem$'; done; }
for i in 1 2 3; do lane >"lane.$i" & lanes[i]=$!; done
lane >lane.0
wait "${lanes[@]}"
check "bare ranks beside each other: none meets another's files" equal "$(cat lane.?)" ""

# --- a limit of file sizes ---
# shellcheck disable=SC2016  # for the rank's shell
printf '%s\n' '#!/bin/bash' 'ulimit -f 16384; exec "$UNDER_TEST" "$@"' >limited.sh
chmod +x limited.sh
UNDER_TEST=$duet call "$root/launch/run.sh" -n 2 --timeout 60 ./limited.sh train recipe.yaml --set out=limited --set mesh.dp=2 --set mesh.pp=1 \
    --set model.hidden=320 --set phases.start.steps=1
check "ulimit -f: exit 1" equal "$code" 1
check "P8: ulimit -f: both ranks reach it, one says so" times 1 err "a file has reached the limit of this process"
check "ulimit -f: names the limit" has err "no file may be larger than 16384 KiB (ulimit -f)"
check "ulimit -f: no crash" hasnt err "a crash"
for kib in 0 64 4096; do # the shared memory of Open MPI needs 4097
    { (ulimit -f $kib && exec "$root/launch/run.sh" -n 2 true 2>&1); echo "exit $?"; } | cat >out
    check "ulimit -f $kib: exit 2" equal "$(tail -n 1 out)" "exit 2"
    check "ulimit -f $kib: names the limit" has out "no file may be larger than $kib KiB here (ulimit -f)"
    check "ulimit -f $kib: what to do, and nothing else" equal "$(wc -l <out) $(grep -c '^  fix: ' out)" "3 1"
done
{ (ulimit -f 4097 && exec "$root/launch/run.sh" -n 2 --timeout 60 "$duet" train missing.yaml 2>&1); echo "exit $?"; } | cat >out
check "ulimit -f 4097: Open MPI starts" equal "$(head -n 1 out)" "missing.yaml: cannot read the recipe: No such file or directory"
finish
