#!/bin/bash
# run.sh -n RANKS [--timeout SECONDS] PROGRAM ARGUMENTS...: several ranks on this machine.
#
#   launch/run.sh -n 4 build/duet train launch/recipes/countdown.yaml --resume auto
#
# Ctrl-C and SIGTERM ask the trainer to save a checkpoint and stop (exit 85); a second one ends it at once. mpirun
# itself ends ranks one after the other on SIGTERM, so that they could not agree on a checkpoint; SIGUSR1 it
# passes to all of them at once. Hence it runs in a session of its own, where the terminal's
# Ctrl-C does not reach it, and gets SIGUSR1 from here.
#
# Exit code: the program's (0 done, 1 the world failed, 2 user mistake, 3 our bug, 85 stopped on request), 110 after
# the timeout, 128 + signal when a rank was killed.
set -u

usage() {
    echo "usage: launch/run.sh -n RANKS [--timeout SECONDS] PROGRAM ARGUMENTS..." >&2
    exit 2
}

ranks=''
flags=()
while [ $# -gt 0 ]; do
    case $1 in
    -n | -np) ranks=${2:-}; shift 2 || usage ;;
    --timeout) flags+=(--timeout "${2:-}"); shift 2 || usage ;;
    -*) usage ;;
    *) break ;;
    esac
done
[[ $ranks =~ ^[1-9][0-9]*$ && $# -gt 0 ]] || usage
command -v mpirun >/dev/null || { echo "launch/run.sh: mpirun is not installed; run: make setup" >&2; exit 2; }
command -v "$1" >/dev/null || { echo "launch/run.sh: $1 is not a program; build it: make all" >&2; exit 2; }

[ "$(id -u)" -eq 0 ] && flags+=(--allow-run-as-root)
[ "$ranks" -gt "$(nproc)" ] && flags+=(--oversubscribe)
# More ranks than cores must yield and not be bound (with both, an 8-byte all-reduce of 4 ranks on 2 cores takes tens of
# microseconds, without them milliseconds); a failed rank ends the others at once, not after 4 seconds of grace.
flags+=(--bind-to none --mca mpi_yield_when_idle 1 --mca odls_base_sigkill_timeout 0
        --mca pml ob1 --mca btl "vader,self")
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# Ranks write to a pipe of mpirun's; only we know whether a terminal reads it, and how wide it is.
if [ -t 2 ]; then
    width=$(stty size <&2 2>/dev/null | cut -d' ' -f2)
    export DUET_TERMINAL=$((${width:-0} > 0 ? width : 80))
fi

# What mpirun adds to a failure comes in blocks between lines of dashes, after the rank's own message, which is the one to
# read: blocks that only say that a rank failed are left out, a rank killed by a signal (which cannot speak) is one
# line, other blocks pass. Text without a newline (the live line) passes after 0.1 s.
quieten() {
    local line='' part rc block='' inside=''
    trap '' INT TERM HUP USR1
    while :; do
        IFS= read -r -t 0.1 part
        rc=$?
        line+=$part
        if [ $rc -gt 128 ]; then # no newline yet
            [[ $inside || $line == -* ]] || { printf %s "$line"; line=''; }
            continue
        fi
        [ $rc -eq 0 ] || { printf %s "$block$line"; return; }
        if [[ $line =~ ^-{74}$ ]]; then
            [ -z "$inside" ] || block_end "$block"
            [ -z "$inside" ] && inside=1 || inside=''
            block=''
        elif [ "$inside" ]; then
            block+=$line$'\n'
        elif [[ $line != "mpirun: Forwarding signal"* ]]; then
            printf '%s\n' "$line"
        fi
        line=''
    done
}
block_end() {
    case $1 in
    *"MPI_ABORT was invoked"* | *"job has been aborted"* | *"exited with non-zero status"*) ;;
    *"exited on signal"*)
        sed -n 's/.*process \(rank [0-9]*\) with PID .* on node \([^ ]*\) exited on \(.*\)\.$/\1 on \2: ended by \3/p' <<<"$1"
        case $1 in
        *"signal 9 "*) echo "  why:  somebody's kill -9, or the kernel's, when memory ran out (see: dmesg)" ;;
        *"signal 15 "* | *"signal 2 "*) echo "  why:  somebody ended it" ;;
        *) echo "  why:  a crash; please report it with the lines above" ;;
        esac
        echo "  fix:  what was saved is whole: a training run goes on with --resume auto"
        ;;
    *) printf %s "$1" ;;
    esac
}

signals=0 asked_at=0
# Two signals within two seconds are one: timeout(1), for instance, sends it to us and to our process group.
# shellcheck disable=SC2317  # called by the trap
pass_on() {
    [ "$signals" -gt 0 ] && [ $((SECONDS - asked_at)) -lt 2 ] && return
    signals=$((signals + 1)) asked_at=$SECONDS
    case $signals in
    1) kill -USR1 "$job" 2>/dev/null; [ -t 2 ] && echo >&2; echo "launch/run.sh: saving a checkpoint, then stopping; once more: stop at once" >&2 ;;
    2) kill -TERM "$job" 2>/dev/null ;;
    *) kill -KILL "$job" 2>/dev/null ;;
    esac
}
trap pass_on INT TERM HUP
trap 'kill -USR1 "$job" 2>/dev/null' USR1

exec {noise}> >(quieten >&2)
filter=$!
leash=() # should this script be killed, mpirun must not stay
command -v setpriv >/dev/null && leash=(setpriv --pdeathsig TERM)
setsid "${leash[@]}" mpirun -np "$ranks" "${flags[@]}" "$@" <&0 2>&"$noise" &
job=$!
while :; do # a trap interrupts `wait`
    wait "$job"
    code=$?
    kill -0 "$job" 2>/dev/null || break
done
exec {noise}>&-
wait "$filter"
[ "$code" -eq 85 ] && echo "launch/run.sh: stopped on request, checkpoint saved; start again with --resume auto" >&2
exit "$code"
