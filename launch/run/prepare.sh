# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # variables are shared with run.sh and the other files of this folder
# prepare.sh: what run.sh does before a job: reads the options, finds out where the ranks run and
# what is wrong, builds mpirun's flags.
# It runs in a child of run.sh, which handles signals in the meantime, and hands over its results in
# a file.

usage() {
    cat >&2 <<'EOT'
usage: launch/run.sh -n RANKS [options] PROGRAM ARGUMENTS...
  --hostfile FILE        the hosts and the number of ranks on each (hostfiles/README.md); default: this machine, or the Slurm job's hosts
  --map MAP              which host runs which rank: pipelines (fills hosts in rank order), experts:DPxPPxTP, mirrored:DPxPPxTP,
                         or a file with one host per line, for rank 0, 1, ... (hostfiles/README.md)
  --interface NET        the network for messages between hosts: 10.0.0.0/24, or a name such as ib0 (also DUET_INTERFACE)
  --launcher mpirun|srun what starts the ranks (mpirun); srun: in a Slurm job, through PMIx
  --bind WHAT            binds ranks as mpirun's --bind-to does: core, numa, ... (none)
  --start-timeout S      seconds that hosts may take to answer and to start (60)
  --timeout S            ends the job after S seconds with exit code 110
  --dry-run              prints which host would run which rank and the command; starts nothing
environment: DUET_SSH="ssh -F FILE" reaches other hosts; DUET_KEEPALIVE="3 1 6": a host that is silent for 3 s is probed every 1 s,
and counts as lost after 6 probes without an answer; 0: never; DUET_RAW=1: shows all output of mpirun (launch/README.md lists them all)
EOT
    exit 2
}

# prepare OPTIONS PROGRAM ARGUMENTS...: for a subshell: ends it, with 0 and $scratch/prepared where
# a job is to start, with 0 and no such file after a dry run, otherwise with the exit code of a
# start that failed.
prepare() {
    own_name=$(hostname)
    read_options "$@"
    find_hosts
    make_scratch
    sweep
    choose_flags
    [ -z "$dry" ] || { show_start; exit 0; }
    [ ${#remote[@]} -eq 0 ] || ask_hosts "${program[@]}"
    end_if_problems
    hand_over
    exit 0
}

# The variables that run.sh and its functions read, and those that the ranks get through the
# environment.
hand_over() {
    local pair exports=()
    for pair in "${mca[@]}"; do exports+=("OMPI_MCA_${pair%%=*}"); done
    mkfifo "$scratch/out" "$scratch/err" "$scratch/said" "$scratch/never"
    choose_leash
    declare -p own_name ranks launcher flags program command leash at_once host line remote interface agent ssh_words by_slurm start_limit \
        keepalive_seconds >"$scratch/prepared.new" &&
        declare -p OMP_NUM_THREADS DUET_LAUNCHED DUET_TERMINAL SLURM_HOSTFILE "${exports[@]}" >>"$scratch/prepared.new" 2>/dev/null
    mv "$scratch/prepared.new" "$scratch/prepared" || {
        problem "cannot write in $scratch" "make room there, or name another folder: TMPDIR=FOLDER"
        exit 1
    }
}

# --- options ---

read_options() {
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
    program=("$@")
    check_options
    ssh_words=${DUET_SSH:-ssh}
    agent=$ssh_words
    [ "${DUET_SSH:-}" ] || agent="ssh -o BatchMode=yes -o ConnectTimeout=$start_limit"
    read_keepalive
}

check_options() {
    [ "$hostfile_given$hostfile" != 1 ] || problem "--hostfile \"\": the name of the hostfile is empty" "name a hostfile, or leave --hostfile out to run on this machine alone"
    check_environment
    check_file_limit
    end_if_problems
    [[ $ranks =~ ^[1-9][0-9]*$ && ${#program[@]} -gt 0 && $start_limit =~ ^[1-9][0-9]*$ && $launcher =~ ^(mpirun|srun)$ ]] || usage
    command -v "$launcher" >/dev/null || { echo "launch/run.sh: $launcher is not installed; run: make setup" >&2; exit 2; }
    command -v "${program[0]}" >/dev/null || { echo "launch/run.sh: ${program[0]} is not a program; build it: make all" >&2; exit 2; }
}

# Open MPI's shared memory consists of files: PMIx's of 4 MiB per job, btl vader's of 8 bytes more
# per rank. With a lower limit mpirun fails with unhelpful messages or hangs.
least_file_kib=4097
check_file_limit() {
    local limit
    limit=$(ulimit -f)
    [ "$limit" = unlimited ] || [ "$limit" -ge $least_file_kib ] ||
        problem "no file may be larger than $limit KiB here (ulimit -f), but Open MPI's shared memory needs files of $least_file_kib KiB" \
            "start it where ulimit -f is unlimited; if only this shell's limit was lowered, raise it: ulimit -S -f hard"
}

# --- where ---

# The hosts that get a rank, those other than this one also in `remote`, and the network between
# them.
find_hosts() {
    local name
    by_slurm='' where=$hostfile placed=() remote=()
    if [ "$hostfile" ]; then
        read_hostfile "$hostfile"
    elif [ "${SLURM_JOB_ID:-}" ] && [ "${SLURM_JOB_NODELIST:-}" ]; then
        by_slurm=1 where="Slurm job $SLURM_JOB_ID"
        read_allocation
    fi
    end_if_problems
    if [ ${#host[@]} -gt 0 ]; then
        keep_used "$ranks"
        end_if_problems
        place_ranks
        for name in "${host[@]}"; do is_here "$name" || remote+=("$name"); done
    elif [ "$map" ] && [ "$map" != pipelines ]; then
        problem "--map needs hosts" "give --hostfile FILE"
    fi
    end_if_problems
    choose_interface
    [ "$launcher" != srun ] || check_srun
    end_if_problems
}

# Resolves the map to one host per rank 0, 1, ..., in `placed`.
place_ranks() {
    local kind=${map%%:*} dp pp tp order
    case $map in
    pipelines | '') return ;;
    pipelines:* | experts* | mirrored*)
        if [[ ! $map =~ :([0-9]+)x([0-9]+)x([0-9]+)$ ]]; then
            problem "--map $map: the mesh is missing" "write dp, pp and tp: --map $kind:2x4x1"
            return
        fi
        dp=${BASH_REMATCH[1]} pp=${BASH_REMATCH[2]} tp=${BASH_REMATCH[3]}
        if [ $((dp * pp * tp)) -ne "$ranks" ]; then
            problem "--map $map: that mesh has $((dp * pp * tp)) ranks, not $ranks" "start with -n $((dp * pp * tp))"
            return
        fi
        order=$(map_order "$kind" "$dp" "$pp" "$tp")
        mapfile -t placed < <(hosts_and_slots | map_hosts "$order") ;;
    *)
        { [ -r "$map" ] && [ ! -d "$map" ]; } || { problem "--map $map is neither a file nor pipelines, experts:DPxPPxTP or mirrored:DPxPPxTP" "see hostfiles/README.md"; return; }
        read_map "$map" "$ranks" ;;
    esac
}
hosts_and_slots() {
    local i
    for i in "${!host[@]}"; do echo "${host[i]} ${slots[i]}"; done
}

choose_interface() {
    if [ ${#host[@]} -gt 1 ] && [ ${#remote[@]} -gt 0 ] && [ -z "$interface" ]; then interface=$(network_to "${remote[0]}"); fi
    if [ "$interface" ] && [ ${#remote[@]} -gt 0 ]; then
        has_interface "$interface" "$(cd /sys/class/net && echo *)" "$(hostname -I)" ||
            wrong_interface "this host" "$(cd /sys/class/net && echo *)" "$(hostname -I)"
    fi
}

check_srun() {
    local types
    [ "$by_slurm" ] || problem "srun starts ranks only inside a Slurm job" "submit one with launch/submit.sh, or leave --launcher srun out"
    types=$(srun --mpi=list 2>&1)
    grep -q pmix <<<"$types" || problem "this Slurm's srun lacks PMIx, through which Open MPI's ranks find each other; it offers: \
$(grep -v ' are' <<<"$types" | tr -s '[:space:]' ' ')" "use --launcher mpirun (it runs on the job's hosts as well)"
    [ -z "$timeout" ] || problem "--timeout works with mpirun only" "leave it out: a Slurm job has its own limit (--time)"
}

# --- what mpirun is told ---

# With more ranks than cores, ranks must yield and must not be bound (an 8-byte all-reduce of 4
# ranks on 2 cores then takes tens of microseconds instead of milliseconds).
choose_flags() {
    local width
    mca=("mpi_yield_when_idle=1" "pml=ob1")
    if [ ${#host[@]} -gt 1 ] || [ ${#remote[@]} -gt 0 ]; then
        mca+=("btl=tcp,vader,self")
        [ -z "$interface" ] || mca+=("btl_tcp_if_include=$interface")
    else
        mca+=("btl=vader,self")
    fi
    [ ${#placed[@]} -eq 0 ] || printf '%s\n' "${placed[@]}" >"$scratch/map"
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    # Ranks write to a pipe of mpirun's; only we know whether a terminal reads it, and how wide it
    # is.
    if [ -t 2 ]; then
        width=$(stty size <&2 2>/dev/null | cut -d' ' -f2)
        export DUET_TERMINAL=$((${width:-0} > 0 ? width : 80))
    fi
    export DUET_LAUNCHED=run.sh # the ranks say when they listen
    "${launcher}_flags"
    # On other hosts every rank reports its start; hosts that stay silent are named and the launch
    # ends (hosts.sh).
    command=("${program[@]}")
    [ "$launcher" = srun ] || [ ${#remote[@]} -eq 0 ] || command=(sh -c "echo '$rank_is_there' >&2; exec \"\$@\"" sh "${program[@]}")
}

# A failed rank ends the others at once, without 4 seconds of grace. Keep-alives: a lost link is
# otherwise noticed after minutes, or never.
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
    # Otherwise it takes gpu1.east.example and gpu1.west.example for one host.
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

# --wait: when a rank was killed, the others are ended 5 s later (--kill-on-bad-exit would end those
# that still leave with code 85).
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

# What mpirun is started through: should run.sh be killed, the job is to save and stop; and what
# would make mpirun end its ranks is blocked in it.
choose_leash() {
    leash=() at_once=TERM
    command -v setpriv >/dev/null && leash=(setpriv --pdeathsig USR1)
    if [ "$launcher" = mpirun ] && env --block-signal=HUP true 2>/dev/null; then
        leash+=(env "--block-signal=HUP,INT,TERM") at_once=USR2
    fi
}

show_start() {
    local i
    [ ${#placed[@]} -gt 0 ] || [ ${#host[@]} -eq 0 ] || mapfile -t placed < <(hosts_and_slots | map_hosts "$(seq 0 $((ranks - 1)))")
    for i in "${!placed[@]}"; do echo "rank $i: ${placed[i]}"; done
    printf '%q ' "$launcher" "${flags[@]}" "${program[@]}"
    echo
}
