# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # scratch, job, out ...: of run.sh
# relay.sh: sits between mpirun and the outside while a job runs: the reader of its output may exit,
# and signals to mpirun itself are noticed. mpirun would end the ranks at once, without saving; here
# both become a request to save and stop. Sourced by run.sh.

# want_stop WHY: has run.sh ask the job to stop, for that reason
want_stop() {
    echo "$1" >"$scratch/why.new" && mv "$scratch/why.new" "$scratch/why"
    kill -USR1 $$ 2>/dev/null # run.sh, also from its subshells
}

# relay NAME: passes its input on. When that is no longer possible (head has ended, a terminal was
# closed, a disk is full) the rest is discarded, since mpirun and the ranks must not die of it.
relay() {
    local rc why
    trap '' INT TERM HUP USR1
    LC_ALL=C cat 2>"$scratch/cat-$1"
    rc=$?
    [ $rc -ne 0 ] || return 0
    why=$(sed -n 's/^cat: write error: //p' "$scratch/cat-$1")
    if [ $rc -eq 141 ] || [[ $why == "Broken pipe" || $why == "Input/output error" ]]; then
        : >"$scratch/reader-gone"
        want_stop "what read its $1 has ended (head, a terminal that was closed)"
    else
        : >"$scratch/unwritten"
        want_stop "its $1 cannot be written: ${why:-$(<"$scratch/cat-$1")}"
    fi
    cat >/dev/null
}

# Both relays, to which mpirun writes through `out` and `noise`; `tell` is our own standard error.
# They must ignore signals before a job starts: a signal to the whole process group would end them,
# and with them mpirun. One that strikes while they are made ends some of them; the others must not
# wait for ever to open the far end of a FIFO: hence each holds all three until it has its own.
open_relays() {
    local hold1 hold2 hold3 deaf name
    exec {hold1}<>"$scratch/out" {hold2}<>"$scratch/err" {hold3}<>"$scratch/said" {deaf}<>"$scratch/never" {tell}>&2
    { ignore_signals out; relay "standard output"; } <"$scratch/out" {hold1}>&- {hold2}>&- {hold3}>&- &
    relays=($!)
    # no pipeline here: a trap that strikes while bash makes one waits for its first half, for ever
    { ignore_signals err; quieten; } <"$scratch/err" >"$scratch/said" {hold1}>&- {hold2}>&- {hold3}>&- &
    { ignore_signals relay; relay "standard error"; } <"$scratch/said" >&2 {hold1}>&- {hold2}>&- {hold3}>&- &
    relays+=($!)
    exec {out}>"$scratch/out" {noise}>"$scratch/err"
    for name in out err relay; do
        until [ -e "$scratch/$name.deaf" ] || [ "$signals" -gt 0 ]; do read -rt 0.001 _ <&"$deaf"; done
    done
    exec {hold1}>&- {hold2}>&- {hold3}>&- {deaf}>&-
}
ignore_signals() { # NAME
    trap '' INT TERM HUP USR1
    : >"$scratch/$1.deaf"
}

# Is a blocked signal pending in mpirun? Bits of SIGHUP, SIGINT, SIGTERM in the hexadecimal masks of
# /proc
has_signal() { # PID
    local word mask
    while read -r word mask; do
        case $word in SigPnd: | ShdPnd:) (((16#$mask & 0x4003) == 0)) || return 0 ;; esac
    done 2>/dev/null <"/proc/$1/status"
    return 1
}
# mpirun ends its ranks on SIGTERM, SIGINT and SIGHUP, so these are blocked in it; we poll for
# pending ones.
watch_launcher() { # PID
    local never
    trap '' INT TERM HUP USR1
    exec {never}<>"$scratch/never"
    while kill -0 "$1" 2>/dev/null; do
        if has_signal "$1"; then
            want_stop "$launcher was told to end (a signal to process $1)"
            return
        fi
        read -rt 0.5 _ <&"$never"
    done
}
