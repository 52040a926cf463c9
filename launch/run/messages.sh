# shellcheck shell=bash disable=SC2154
# messages.sh: makes what mpirun and srun print about a failure readable. Sourced by run.sh.

rank_is_there="launch/run.sh: a rank is there" # said by every rank on several hosts; not passed on

ranks_listen="launch/run.sh: the ranks listen" # said once by rank 0 (comm/world.c): from now on a signal is heard; not passed on

# mpirun reports a failure in blocks between lines of dashes, after the rank's own message, which is
# the one to read: blocks that only say that a rank failed are dropped, a rank killed by a signal
# (which cannot report) and a lost host are reported in our own words, other blocks pass. Text
# without a newline (the live line) passes after 0.1 s, and may precede a line of dashes. With
# DUET_RAW=1 everything passes, in addition to our messages.
quieten() {
    local line='' part rc block='' inside='' dashes
    trap '' INT TERM HUP USR1
    while :; do
        IFS= read -r -t 0.1 part
        rc=$?
        line+=$part
        if [ $rc -gt 128 ]; then # no newline yet
            [[ $inside || $line == -* || $line == srun:* || $line == mpirun* || $rank_is_there == "$line"* || $ranks_listen == "$line"* ]] || { printf %s "$line"; line=''; }
            continue
        fi
        [ $rc -eq 0 ] || { printf %s "$block$line"; return; }
        if [[ $line =~ ^(|.*[^-])-{74}$ ]]; then
            [ -z "${BASH_REMATCH[1]}" ] || printf '%s\n' "${BASH_REMATCH[1]}"
            dashes=${line#"${BASH_REMATCH[1]}"}
            if [ "$inside" ]; then block_end "$block"; inside=''; else inside=1; fi
            left_out "$dashes"
            block=''
        elif [ "$inside" ]; then
            block+=$line$'\n'
        else
            line_end "$line"
        fi
        line=''
    done
}

left_out() { [ "${DUET_RAW:-0}" != 1 ] || printf '%s\n' "$1"; }

# Output next to the message of the failed rank that tells the reader nothing (launch/README.md
# lists it): Open MPI's own trace, a rank that reads the memory of one that is gone, libevent's
# warning about a closed connection.
noise='^\[[^]]*\] \[\[.*\] ORTE_ERROR_LOG: .* in file .* at line [0-9]+$|^(\[[^]]*\] )?Read -1, expected [0-9]+, errno = [0-9]+$|^\[warn\] Epoll (ADD|MOD|DEL)\([0-9]+\) on fd [0-9]+ failed\.'

# How the message of a rank begins (comm/base/die.c, comm/watch.c): mpirun's own block about it may
# be lost.
rank_says='rank [0-9]+/[0-9]+ on [^ ]+, |^a rank on [^ ]+: '

line_end() {
    [[ ! $1 =~ $noise ]] || { left_out "$1"; return; }
    [[ ! $1 =~ $rank_says ]] || : >"$scratch/spoken"
    case $1 in
    *"plm:rsh: Warning: setpgid"*) left_out "$1" ;; # a harmless race of mpirun's
    "mpirun noticed that process rank "*" exited on signal "*) block_end "$1" ;; # whose line of dashes was lost
    "$rank_is_there") : >"$scratch/started" ;;
    "$ranks_listen") : >"$scratch/listens" ;;
    "mpirun: Forwarding signal"* | *"mca_btl_tcp_frag_"* | "srun: error: "*": Exited with exit code "*) left_out "$1" ;;
    "srun: cluster configuration lacks support for cpu binding" | "srun: First task exited "* | "srun: "*"STEP "*" CANCELLED AT "* | "slurmstepd: error: *** STEP "*) left_out "$1" ;;
    "srun: Terminating StepId="* | "srun: Force Terminated "* | "srun: Job step aborted:"* | "srun: error: "*": Terminated") left_out "$1" ;;
    "srun: error: "*": task "*": "*) # srun: error: h2: task 3: Killed
        sed -n 's/^srun: error: \([^:]*\): task \([0-9]*\): \(.*\)$/rank \2 on \1: ended by a signal (\3)/p;t;p' <<<"$1"
        killed_by "$1"
        ;;
    *) printf '%s\n' "$1" ;;
    esac
}

block_end() {
    : >"$scratch/spoken"
    [ -z "$1" ] || left_out "${1%$'\n'}"
    case $1 in
    *"MPI_ABORT was invoked"* | *"job has been aborted"* | *"exited with non-zero status"*) ;;
    *"WARNING: Open MPI failed to TCP connect"* | *"MPI process aborted or lost connection"*) ;;
    *"exited on signal"*)
        sed -n 's/.*process \(rank [0-9]*\) with PID .* on node \([^ ]*\) exited on \(.*\)\.$/\1 on \2: ended by \3/p' <<<"$1"
        killed_by "$1"
        ;;
    *"lost communication with a remote daemon"*) lost_host "$1" ;;
    *"unable to reliably start"* | *"daemon failed to start"* | *"failed to start as it"*) not_started "$1" ;;
    *) [ "${DUET_RAW:-0}" = 1 ] || printf %s "$1" ;;
    esac
}

killed_by() {
    : >"$scratch/killed"
    case $1 in
    *"signal 10 "* | *"User defined signal 1"*) echo "  why:  it was asked to save and stop, but did not handle that signal (yet, or at all)" ;;
    *"signal 12 "* | *"User defined signal 2"*) echo "  why:  a second request to stop ended it at once" ;;
    *"signal 9 "* | *Killed*) echo "  why:  kill -9 by a user, or by the kernel when memory ran out (see: dmesg)" ;;
    *"signal 13 "* | *"Broken pipe"*) echo "  why:  the process it was writing to has ended (another rank, or mpirun's daemon on its host): see the messages about those" ;;
    *"signal 15 "* | *"signal 2 "* | *Interrupt*) echo "  why:  a user ended it" ;;
    *) echo "  why:  a crash; please report it with the lines above" ;;
    esac
    echo "  fix:  the checkpoints saved so far are intact: resume a training run with --resume auto"
}

# Only we can report the end of mpirun itself: CODE is 128 + signal. Our shell's message about a
# process ended by a signal is in $scratch/shell; without one, mpirun ended on its own with the code
# of a rank.
launcher_killed() { # CODE
    local signal=$(($1 - 128))
    [ "$1" -ne 205 ] || return 0 # mpirun's own for a lost host
    if ! grep -qE ": +$job " "$scratch/shell"; then
        echo "a rank was ended by signal $signal (SIG$(kill -l $signal 2>/dev/null)); $launcher did not say which"
        killed_by "signal $signal "
        return
    fi
    cat <<EOT
$launcher on $own_name was ended by signal $signal
  why:  kill by a user, or by the kernel when memory ran out (see: dmesg); the ranks on all hosts end with it
  fix:  the checkpoints saved so far are intact: resume a training run with --resume auto
EOT
} >&2
# It exited 1 although no rank failed: somebody ended it, in a way that we cannot intercept.
launcher_ended() {
    cat >&2 <<EOT
$launcher on $own_name ended the job, and no rank reported why
  why:  it was told to (kill of process $job), or could not continue: see its messages above
  fix:  to save and stop, signal launch/run.sh, not $launcher; the checkpoints saved so far are intact: resume a training run with --resume auto
EOT
}

# The block names the daemons of both hosts: "HNP daemon : ... on node h1", "Remote daemon: ... on
# node h3".
lost_host() {
    local name
    name=$(sed -n 's/.*Remote daemon: .* on node \([^ ]*\).*/\1/p' <<<"$1")
    cat <<EOT
host ${name:-unknown}: the connection to it is lost
  what: it sent nothing for ${keepalive_seconds:-some} s, so the job was ended on all hosts
  why:  the host is down, its link is, or its mpirun daemon (orted) was killed
  fix:  check that \`${ssh_words:-ssh} ${name:-HOST} true\` works, or leave the host out; the checkpoints saved so far are intact: resume a
        training run with --resume auto. For links that may fail for longer than this: DUET_KEEPALIVE="TIME INTERVAL PROBES"
EOT
    : >"$scratch/lost"
    end_lost >/dev/null 2>&1 &
}
# When mpirun's own host is cut off, it waits for the other hosts' daemons without end. What it
# started ends when it does.
end_lost() {
    local job _
    read -r job _ <"$scratch/job"
    for _ in $(seq 25); do
        [ "$(cat "/proc/$job/comm")" = mpirun ] || return
        sleep 0.2
    done
    kill -KILL "$job"
}

not_started() {
    cat <<EOT
a host did not start its part of the job
  why:  mpirun's daemon (orted) ended there before it reported back
  fix:  see the messages above; if they do not help, try on that host: orted --version
EOT
}
