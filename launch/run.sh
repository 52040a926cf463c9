#!/bin/bash
# run.sh -n RANKS [options] PROGRAM ARGUMENTS...: several ranks on this machine, on the hosts of a hostfile, or in a Slurm job.
#
#   launch/run.sh -n 4 build/duet train launch/recipes/countdown.yaml --resume auto
#   launch/run.sh -n 8 --hostfile hostfiles/4-hosts build/duet train launch/recipes/countdown.yaml --set mesh.dp=4
#
# Ctrl-C and SIGTERM ask the trainer to save a checkpoint and stop (exit 85); a second one ends it at once. mpirun
# itself ends ranks one after the other on SIGTERM, so that they could not agree on a checkpoint; SIGUSR1 it
# passes to all of them at once. Hence it runs in a session of its own, where the terminal's
# Ctrl-C does not reach it, and gets SIGUSR1 from here.
#
# Exit code: the program's (0 done, 1 the world failed, 2 user mistake, 3 our bug, 85 stopped on request), 1 when a host was lost,
# 110 after the timeout, 128 + signal when a rank was killed.
# shellcheck disable=SC2034,SC2154  # variables are shared with the files of launch/run
set -u
case ${BASH_SOURCE[0]} in */*) here=${BASH_SOURCE[0]%/*} ;; *) here=. ;; esac
who=launch/run.sh own_name=$(hostname)
for file in environment hostfile hosts leftovers map messages relay; do
    # shellcheck source=/dev/null
    . "$here/run/$file.sh"
done

usage() {
    cat >&2 <<'EOT'
usage: launch/run.sh -n RANKS [options] PROGRAM ARGUMENTS...
  --hostfile FILE        the hosts and how many ranks each runs (hostfiles/README.md); without: this machine, or the Slurm job's hosts
  --map MAP              which rank runs where: pipelines (hosts are filled in rank order), experts:DPxPPxTP, mirrored:DPxPPxTP,
                         or a file with a host a line, for rank 0, 1, ... (hostfiles/README.md)
  --interface NET        the network that messages take between hosts: 10.0.0.0/24, or a name such as ib0 (also DUET_INTERFACE)
  --launcher mpirun|srun what starts the ranks (mpirun); srun: in a Slurm job, through PMIx
  --bind WHAT            binds ranks: core, numa, ... as mpirun's --bind-to (none)
  --start-timeout S      seconds that hosts have to answer and to start (60)
  --timeout S            ends the job after S seconds, exit 110
  --dry-run              prints which rank would run where and the command, starts nothing
environment: DUET_SSH="ssh -F FILE" reaches other hosts; DUET_KEEPALIVE="3 1 6": a host that is silent for 3 s is asked again each 1 s,
and lost after 6 such questions; 0: never; DUET_RAW=1: nothing that mpirun says is left out (launch/README.md has them all)
EOT
    exit 2
}

# --- options --------------------------------------------------------------------------------------

ranks='' hostfile='' hostfile_given='' map='' launcher=mpirun bind=none start_limit=60 timeout='' dry='' interface=${DUET_INTERFACE:-}
while [ $# -gt 0 ]; do
    case $1 in
    -n | -np) ranks=${2:-}; shift 2 || usage ;;
    --hostfile) hostfile=${2:-} hostfile_given=1; shift 2 || usage ;;
    --map) map=${2:-}; shift 2 || usage ;;
    --interface) interface=${2:-}; shift 2 || usage ;;
    --launcher) launcher=${2:-}; shift 2 || usage ;;
    --bind) bind=${2:-}; shift 2 || usage ;;
    --start-timeout) start_limit=${2:-}; shift 2 || usage ;;
    --timeout) timeout=${2:-}; shift 2 || usage ;;
    --dry-run) dry=1; shift ;;
    -*) usage ;;
    *) break ;;
    esac
done
[ "$hostfile_given$hostfile" != 1 ] || problem "--hostfile \"\": the name of the hostfile is empty" "leave --hostfile out for this machine alone"
check_environment
end_if_problems
[[ $ranks =~ ^[1-9][0-9]*$ && $# -gt 0 && $start_limit =~ ^[1-9][0-9]*$ && $launcher =~ ^(mpirun|srun)$ ]] || usage
command -v "$launcher" >/dev/null || { echo "launch/run.sh: $launcher is not installed; run: make setup" >&2; exit 2; }
command -v "$1" >/dev/null || { echo "launch/run.sh: $1 is not a program; build it: make all" >&2; exit 2; }
ssh_words=${DUET_SSH:-ssh}
agent=$ssh_words
[ "${DUET_SSH:-}" ] || agent="ssh -o BatchMode=yes -o ConnectTimeout=$start_limit"
read_keepalive

# --- where ----------------------------------------------------------------------------------------

trap leave EXIT

by_slurm='' where=$hostfile
if [ "$hostfile" ]; then
    read_hostfile "$hostfile"
elif [ "${SLURM_JOB_ID:-}" ] && [ "${SLURM_JOB_NODELIST:-}" ]; then
    by_slurm=1 where="Slurm job $SLURM_JOB_ID"
    read_allocation
fi
end_if_problems

# The map becomes one host a line, for rank 0, 1, ..., in `placed`.
placed=()
place_ranks() {
    local kind=${map%%:*} dp pp tp order
    case $map in
    pipelines | '') return ;;
    pipelines:* | experts* | mirrored*)
        if [[ ! $map =~ :([0-9]+)x([0-9]+)x([0-9]+)$ ]]; then
            problem "--map $map: of which mesh?" "write dp, pp and tp: --map $kind:2x4x1"
            return
        fi
        dp=${BASH_REMATCH[1]} pp=${BASH_REMATCH[2]} tp=${BASH_REMATCH[3]}
        if [ $((dp * pp * tp)) -ne "$ranks" ]; then
            problem "--map $map: that mesh has $((dp * pp * tp)) ranks, not $ranks" "start with -n $((dp * pp * tp))"
            return
        fi
        order=$(map_order "$kind" "$dp" "$pp" "$tp")
        mapfile -t placed < <(for i in "${!host[@]}"; do echo "${host[i]} ${slots[i]}"; done | map_hosts "$order") ;;
    *)
        { [ -r "$map" ] && [ ! -d "$map" ]; } || { problem "--map $map is neither a file nor pipelines, experts:DPxPPxTP or mirrored:DPxPPxTP" "see hostfiles/README.md"; return; }
        read_map "$map" "$ranks" ;;
    esac
}
remote=() # the hosts that are not this one
if [ ${#host[@]} -gt 0 ]; then
    keep_used "$ranks"
    end_if_problems
    place_ranks
    for name in "${host[@]}"; do is_here "$name" || remote+=("$name"); done
elif [ "$map" ] && [ "$map" != pipelines ]; then
    problem "--map needs hosts" "give --hostfile FILE"
fi
end_if_problems
if [ ${#host[@]} -gt 1 ] && [ ${#remote[@]} -gt 0 ] && [ -z "$interface" ]; then interface=$(network_to "${remote[0]}"); fi
if [ "$interface" ] && [ ${#remote[@]} -gt 0 ]; then
    has_interface "$interface" "$(cd /sys/class/net && echo *)" "$(hostname -I)" ||
        wrong_interface "this host" "$(cd /sys/class/net && echo *)" "$(hostname -I)"
fi
if [ "$launcher" = srun ]; then
    [ "$by_slurm" ] || problem "srun starts ranks only inside a Slurm job" "launch/submit.sh, or leave --launcher srun out"
    types=$(srun --mpi=list 2>&1)
    grep -q pmix <<<"$types" || problem "this Slurm's srun has no PMIx, through which Open MPI's ranks find each other; it has: \
$(grep -v ' are' <<<"$types" | tr -s '[:space:]' ' ')" "--launcher mpirun (it uses the job's hosts as well)"
    [ -z "$timeout" ] || problem "--timeout is mpirun's" "leave it out: a Slurm job has its limit (--time)"
fi
end_if_problems

# --- what mpirun is told --------------------------------------------------------------------------

# More ranks than cores must yield and not be bound (with both, an 8-byte all-reduce of 4 ranks on 2 cores takes tens of
# microseconds, without them milliseconds).
mca=("mpi_yield_when_idle=1" "pml=ob1")
if [ ${#host[@]} -gt 1 ] || [ ${#remote[@]} -gt 0 ]; then
    mca+=("btl=tcp,vader,self")
    [ -z "$interface" ] || mca+=("btl_tcp_if_include=$interface")
else
    mca+=("btl=vader,self")
fi

# A failed rank ends the others at once, not after 4 seconds of grace. Keep-alives: a lost link is otherwise noticed after minutes, or never.
# shellcheck disable=SC2317  # called by its launcher's name
mpirun_flags() {
    local pair
    flags=(-np "$ranks" --bind-to "$bind" --mca odls_base_sigkill_timeout 0 --report-uri "$scratch/uri")
    for pair in "${mca[@]}"; do flags+=(--mca "${pair%%=*}" "${pair#*=}"); done
    [ "$(id -u)" -eq 0 ] && flags+=(--allow-run-as-root)
    [ -z "$timeout" ] || flags+=(--timeout "$timeout")
    if [ ${#host[@]} -eq 0 ]; then
        [ "$ranks" -le "$(env -u OMP_NUM_THREADS nproc)" ] || flags+=(--oversubscribe)
        return
    fi
    # Else gpu1.east.example and gpu1.west.example are one host to it.
    flags+=(--mca orte_keep_fqdn_hostnames 1)
    if [ ${#placed[@]} -gt 0 ]; then
        flags+=(--hostfile "$scratch/map" --map-by seq)
    elif [ "$hostfile" ]; then
        flags+=(--hostfile "$(hostfile_for_mpirun "$hostfile" "$scratch")" --map-by slot)
    fi
    [ ${#remote[@]} -eq 0 ] && return
    flags+=(--wdir "$PWD")
    [ -z "$interface" ] || flags+=(--mca oob_tcp_if_include "$interface")
    [ "$keepalive_time" = 0 ] || flags+=(--mca oob_tcp_keepalive_time "$keepalive_time" --mca oob_tcp_keepalive_intvl "$keepalive_interval"
        --mca oob_tcp_keepalive_probes "$keepalive_probes")
    [ "$by_slurm" ] || flags+=(--mca plm_rsh_agent "$agent" --mca plm_rsh_no_tree_spawn 1)
    [[ $(command -v mpirun) == /usr/bin/* ]] || flags+=(--prefix "$(dirname "$(dirname "$(command -v mpirun)")")")
    for pair in $(compgen -e | grep -E '^(DUET_|OMP_|LD_LIBRARY_PATH$|[A-Z]+SAN_OPTIONS$|CK_)'); do flags+=(-x "$pair"); done
}

# --wait: when a rank was killed, the others are ended 5 s later (--kill-on-bad-exit would end those that still leave with code 85).
# shellcheck disable=SC2317
srun_flags() {
    local pair
    flags=(--mpi=pmix -n "$ranks" -N "${#host[@]}" --cpu-bind=none --wait=5 --kill-on-bad-exit=0 --export=ALL)
    if [ ${#placed[@]} -gt 0 ]; then
        export SLURM_HOSTFILE=$scratch/map
        flags+=(--distribution=arbitrary)
    else
        flags+=(--distribution=block)
    fi
    for pair in "${mca[@]}"; do export "OMPI_MCA_${pair?}"; done
}

make_scratch
sweep
[ ${#placed[@]} -eq 0 ] || printf '%s\n' "${placed[@]}" >"$scratch/map"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# Ranks write to a pipe of mpirun's; only we know whether a terminal reads it, and how wide it is.
if [ -t 2 ]; then
    width=$(stty size <&2 2>/dev/null | cut -d' ' -f2)
    export DUET_TERMINAL=$((${width:-0} > 0 ? width : 80))
fi
"${launcher}_flags"

if [ "$dry" ]; then
    [ ${#placed[@]} -gt 0 ] || [ ${#host[@]} -eq 0 ] || mapfile -t placed < <(for i in "${!host[@]}"; do echo "${host[i]} ${slots[i]}"; done |
        map_hosts "$(seq 0 $((ranks - 1)))")
    for i in "${!placed[@]}"; do echo "rank $i: ${placed[i]}"; done
    printf '%q ' "$launcher" "${flags[@]}" "$@"
    echo
    exit 0
fi
[ ${#remote[@]} -eq 0 ] || ask_hosts "$@"
end_if_problems

# --- the job --------------------------------------------------------------------------------------

job='' signals=0 asked_at=0 tell=2 at_once=TERM
# Two signals within two seconds are one: timeout(1), for instance, sends it to us and to our process group. What ends a job at once is SIGUSR2,
# which mpirun passes on and no rank listens to; SIGTERM, which would end mpirun too, is blocked in it.
# shellcheck disable=SC2317  # called by the trap
pass_on() {
    [ "$signals" -gt 0 ] && [ $((SECONDS - asked_at)) -lt 2 ] && return
    signals=$((signals + 1)) asked_at=$SECONDS
    case $signals in
    1) ask_to_stop; [ -t "$tell" ] && echo >&"$tell"; echo "launch/run.sh: saving a checkpoint, then stopping; once more: stop at once" >&"$tell" ;;
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
# The request is kept until the ranks listen, who say so (messages.sh): before, it would end mpirun or a rank, or be lost.
# shellcheck disable=SC2317
ask_to_stop() {
    [ -n "$job" ] || return 0
    {
        [ "${program##*/}" != duet ] || while [ ! -e "$scratch/listens" ] && kill -0 "$job"; do sleep 0.05; done
        kill -USR1 "$job"
    } >/dev/null 2>&1 {out}>&- {noise}>&- {tell}>&- &
}
program=$1
# Somebody's SIGUSR1, or that of our own helpers (relay.sh), who say why.
# shellcheck disable=SC2317
noticed() {
    local why=''
    [ ! -e "$scratch/why" ] || { why=$(<"$scratch/why"); rm -f "$scratch/why"; }
    [ -z "$why" ] || [ "$signals" -gt 0 ] || echo "launch/run.sh: $why: saving a checkpoint, then stopping" >&"$tell"
    ask_to_stop
}
trap : PIPE # nobody reads what we say: the ranks must be asked all the same

# On other hosts ranks say that they are there; who says nothing is named and the launch ended (hosts.sh).
command=("$@")
[ "$launcher" = srun ] || [ ${#remote[@]} -eq 0 ] || command=(sh -c "echo '$rank_is_there' >&2; exec \"\$@\"" sh "$@")

# Whoever is closed to us is nobody.
[ -L /proc/self/fd/0 ] || exec </dev/null
[ -L /proc/self/fd/1 ] || exec >/dev/null
[ -L /proc/self/fd/2 ] || exec 2>/dev/null
mkfifo "$scratch/out" "$scratch/err" "$scratch/never"
relay "standard output" <"$scratch/out" &
relays=($!)
quieten <"$scratch/err" | relay "standard error" >&2 &
relays+=($!)
exec {out}>"$scratch/out" {noise}>"$scratch/err" {tell}>&2

leash=()
command -v setpriv >/dev/null && leash=(setpriv --pdeathsig USR1) # should this script be killed, the job is to save and stop
if [ "$launcher" = mpirun ] && env --block-signal=HUP true 2>/dev/null; then
    leash+=(env "--block-signal=HUP,INT,TERM") at_once=USR2
fi
# Not sooner: nothing is begun before, and bash loses a signal whose trap strikes while it expands "$(...)": hence none from here to `wait`.
trap pass_on INT TERM HUP
trap noticed USR1
export DUET_LAUNCHED=run.sh # the ranks say when they listen
exec 2>"$scratch/shell" # where our shell says that a signal ended mpirun
setsid "${leash[@]}" "$launcher" "${flags[@]}" "${command[@]}" <&0 >&"$out" 2>&"$noise" {out}>&- {noise}>&- {tell}>&- &
job=$!
{ printf '%s ' "$job"; start_of "$job"; } >"$scratch/job"
[ "$signals" -eq 0 ] || ask_to_stop # it came before there was a job to ask
watch='' watch_signals=''
[ "${command[0]}" = "$1" ] || { watch_start "$job" 2>&"$noise" & watch=$!; }
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

is_said() { local file; for file; do [ ! -e "$scratch/$file" ] || return 0; done; return 1; }
if [ "$code" -gt 128 ] && [ "$signals" -lt 2 ]; then
    is_said lost killed || launcher_killed "$code"
elif [ "$code" -eq 1 ] && [ "$launcher" = mpirun ] && [ "$signals" -lt 2 ]; then
    is_said lost killed spoken || launcher_ended
fi
[ "$code" -eq 85 ] && echo "launch/run.sh: stopped on request, checkpoint saved; start again with --resume auto" >&2
# A program that does not listen to our request (138: SIGUSR1) ends as any does whose reader goes, or whose disk is full.
case $code in
138) if is_said reader-gone; then code=141; elif is_said unwritten; then code=1; fi ;;
0) ! is_said unwritten || code=1 ;;
esac
{ [ "$code" -ne 205 ] && [ ! -e "$scratch/lost" ]; } || code=1 # 205: mpirun's own for a lost host
exit "$code"
