#!/bin/bash
# run.sh -n RANKS [options] PROGRAM ARGUMENTS...: several ranks on this machine, on the hosts of a
# hostfile, or in a Slurm job.
#
#   launch/run.sh -n 4 build/duet train launch/recipes/countdown.yaml --resume auto
#   launch/run.sh -n 8 --hostfile hostfiles/4-hosts build/duet train launch/recipes/countdown.yaml --set mesh.dp=4
#
# Ctrl-C and SIGTERM ask the trainer to save a checkpoint and stop (exit 85); a second one ends it
# at once. mpirun itself ends ranks one after the other on SIGTERM, so that they could not agree on
# a checkpoint; SIGUSR1 it passes to all of them at once. Hence it runs in a session of its own,
# where the terminal's Ctrl-C does not reach it, and gets SIGUSR1 from here.
#
# Signals are handled from the first line on. bash loses a signal that arrives while it expands
# "$(...)"; hence this shell expands none until the job is over: what must be found out first is
# found out by a child (run/prepare.sh).
#
# Exit code: the program's (0 done, 1 the world failed, 2 user mistake, 3 our bug, 85 stopped on
# request), 1 when a host was lost, 110 after the timeout, 128 + signal when a rank was killed.
# shellcheck disable=SC2034,SC2154  # variables are shared with the files of launch/run
signals=0 asked_at=0 preparing=''
# shellcheck disable=SC2317  # called by the trap
too_early() {
    signals=1 asked_at=$SECONDS
    [ -z "$preparing" ] || end_tree "$preparing"
}
trap too_early INT TERM HUP USR1
trap : PIPE # nobody reads our output: the ranks must still be asked to stop
set -u
# A stream that is closed here becomes /dev/null.
[ -L /proc/self/fd/0 ] || exec </dev/null
[ -L /proc/self/fd/1 ] || exec >/dev/null
[ -L /proc/self/fd/2 ] || exec 2>/dev/null
case ${BASH_SOURCE[0]} in */*) here=${BASH_SOURCE[0]%/*} ;; *) here=. ;; esac
who=launch/run.sh
for file in environment hostfile hosts leftovers map messages prepare relay; do
    # shellcheck source=/dev/null
    . "$here/run/$file.sh"
done

# --- before the job: nothing has started, and a signal just ends it ---

# end_tree PID: ends it and all that it has started; each is frozen first, so that none it starts is
# missed.
# shellcheck disable=SC2317
end_tree() {
    local pid=$1 child children=()
    kill -STOP "$pid" || return
    read -ra children <"/proc/$pid/task/$pid/children"
    for child in "${children[@]}"; do end_tree "$child"; done
    kill -TERM "$pid"
    kill -CONT "$pid"
} 2>/dev/null
end_if_stopped() {
    [ "$signals" -gt 0 ] || return 0
    trap '' INT TERM HUP USR1
    [ -z "${out:-}" ] || { exec {out}>&- {noise}>&- && wait "${relays[@]}"; }
    echo "$who: stopped before the job began; nothing was changed: start it again" >&2
    exit 85
}

name_scratch
trap leave EXIT
prepare "$@" <&0 &
preparing=$!
[ "$signals" -eq 0 ] || end_tree "$preparing" # it came before there was a child to end
while :; do # a trap interrupts `wait`
    wait "$preparing" 2>/dev/null
    code=$?
    kill -0 "$preparing" 2>/dev/null || break
done
preparing=''
end_if_stopped
if [ ! -e "$scratch/prepared" ]; then
    [ "$code" -le 128 ] || echo "$who: ended by signal $((code - 128)) before the job began" >&2
    exit "$code"
fi
# shellcheck source=/dev/null
. "$scratch/prepared"

# --- the job ---

job='' asked='' sentence='' tell=2
# Two signals within two seconds are one: timeout(1), for instance, sends it to us and to our
# process group. What ends a job at once is SIGUSR2, which mpirun passes on and no rank listens to;
# SIGTERM, which would end mpirun too, is blocked in it.
# shellcheck disable=SC2317  # called by the trap
pass_on() {
    [ "$signals" -gt 0 ] && [ $((SECONDS - asked_at)) -lt 2 ] && return
    signals=$((signals + 1)) asked_at=$SECONDS
    case $signals in
    1) sentence="$stopping; signal once more to stop at once"; ask_to_stop ;;
    2) kill "-$at_once" "$job" 2>/dev/null; kill_later >/dev/null 2>&1 {out}>&- {noise}>&- {tell}>&- & ;;
    *) kill -KILL "$job" 2>/dev/null ;;
    esac
}
# shellcheck disable=SC2317
kill_later() { # a rank that stands still, and an mpirun that waits for it
    local pid start
    read -r pid start <"$scratch/job"
    sleep 3
    is_alive "$pid" "$start" && kill -KILL "$pid"
}
# Only `duet train` saves a checkpoint; another program may be a script around it.
stopping='saving a checkpoint, then stopping'
[ "${program[0]##*/}" != duet ] || [ "${program[1]:-}" = train ] || stopping=stopping
# The request is held until the ranks report that they listen (messages.sh): earlier it would end
# mpirun or a rank, or be lost.
# What we say of it waits for mpirun: until then the job is a child of this shell, which a signal to
# our process group ends, and the outcome is another (end_if_stopped).
# shellcheck disable=SC2317
ask_to_stop() {
    asked=1
    [ -n "$job" ] || return 0
    trap '' INT TERM HUP USR1 # the child is not to die of what comes twice
    {
        [ "$launcher" != mpirun ] || while [ ! -e "$scratch/uri" ] && kill -0 "$job"; do sleep 0.05; done
        if [ -n "$sentence" ] && kill -0 "$job"; then
            [ ! -t "$tell" ] || echo >&"$tell"
            echo "launch/run.sh: $sentence" >&"$tell"
        fi
        [ "${program[0]##*/}" != duet ] || while [ ! -e "$scratch/listens" ] && kill -0 "$job"; do sleep 0.05; done
        kill -USR1 "$job"
    } >/dev/null 2>&1 {out}>&- {noise}>&- &
    sentence=''
    listen
}
# shellcheck disable=SC2317
listen() {
    trap pass_on INT TERM HUP
    trap noticed USR1
}
# A SIGUSR1 from outside, or from our own helpers (relay.sh), which record the reason.
# shellcheck disable=SC2317
noticed() {
    local why=''
    [ ! -e "$scratch/why" ] || { IFS= read -r why <"$scratch/why"; rm -f "$scratch/why"; }
    [ -z "$why" ] || [ "$signals" -gt 0 ] || echo "launch/run.sh: $why: $stopping" >&"$tell"
    ask_to_stop
}
open_relays
listen
end_if_stopped # from here on a request is kept

exec 2>"$scratch/shell" # where our shell says that a signal ended mpirun
setsid "${leash[@]}" "$launcher" "${flags[@]}" "${command[@]}" <&0 >&"$out" 2>&"$noise" {out}>&- {noise}>&- {tell}>&- &
job=$!
{ printf '%s ' "$job"; start_of "$job"; } >"$scratch/job"
[ -z "$asked" ] || ask_to_stop # it came before there was a job to ask
watch='' watch_signals=''
[ "${command[0]}" = "${program[0]}" ] || { watch_start "$job" 2>&"$noise" & watch=$!; }
[ "$at_once" = TERM ] || { watch_launcher "$job" {out}>&- {noise}>&- {tell}>&- & watch_signals=$!; disown $!; }
while :; do # a trap interrupts `wait`
    wait "$job"
    code=$?
    kill -0 "$job" 2>/dev/null || break
done
[ -z "$watch_signals" ] || kill -KILL "$watch_signals" 2>/dev/null
[ -z "$watch" ] || wait "$watch" || code=1 # it ended the job
exec {noise}>&- {out}>&-
wait "${relays[@]}"
exec 2>&"$tell"
grep -vE ': [^:]*[0-9]+:? +[0-9]+ ' "$scratch/shell" >&2 # but not what it says of processes

# The first signal arrived before the process was mpirun, or before mpirun passed signals on.
if [ "$code" -gt 128 ] && [ "$launcher" = mpirun ] && [ "$signals" -gt 0 ] && [ ! -e "$scratch/uri" ]; then end_if_stopped; fi
is_said() { local file; for file; do [ ! -e "$scratch/$file" ] || return 0; done; return 1; }
if [ "$code" -gt 128 ] && [ "$signals" -lt 2 ]; then
    is_said lost killed || launcher_killed "$code"
elif [ "$code" -eq 1 ] && [ "$launcher" = mpirun ] && [ "$signals" -lt 2 ]; then
    is_said lost killed spoken || launcher_ended
fi
if [ "$code" -eq 85 ]; then
    saved=''
    [ "$stopping" = stopping ] || saved=', checkpoint saved; restart with --resume auto'
    echo "launch/run.sh: stopped on request$saved" >&2
fi
# A program that does not handle our request (138: SIGUSR1) exits like any program whose reader is
# gone, or whose disk is full.
case $code in
138) if is_said reader-gone; then code=141; elif is_said unwritten; then code=1; fi ;;
0) ! is_said unwritten || code=1 ;;
esac
{ [ "$code" -ne 205 ] && [ ! -e "$scratch/lost" ]; } || code=1 # 205: mpirun's own for a lost host
exit "$code"
