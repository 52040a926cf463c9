# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # ranks, agent, start_limit ... are of run.sh
# hosts.sh: which hosts a job has, and what they answer before it starts there. Sourced by run.sh,
# with hostfile.sh, whose arrays it uses.

# The hosts of a Slurm allocation, with the tasks of each: SLURM_TASKS_PER_NODE is "2(x3),1".
read_allocation() {
    local name i=0 counts
    mapfile -t counts < <(tr ',' '\n' <<<"${SLURM_TASKS_PER_NODE:-1}" | awk -F '[(x)]+' '{ for (i = 0; i < ($2 ? $2 : 1); i++) print $1 }')
    for name in $(scontrol show hostnames "${SLURM_JOB_NODELIST:-}"); do
        host+=("$name") slots+=("${counts[i]:-1}") line+=('')
        i=$((i + 1))
    done
    [ $i -gt 0 ] || problem "this is a Slurm job, but its hosts are unknown (scontrol show hostnames \"${SLURM_JOB_NODELIST:-}\")" "give --hostfile"
}

# Keeps the hosts that get a rank.
keep_used() { # RANKS
    local i sum=0 n=${#host[@]}
    for ((i = 0; i < n; i++)); do
        [ $sum -lt "$1" ] || break
        sum=$((sum + slots[i]))
    done
    host=("${host[@]:0:i}") slots=("${slots[@]:0:i}") line=("${line[@]:0:i}")
    [ $sum -lt "$1" ] || return 0
    problem "$1 ranks, but $where gives $sum slots on ${#host[@]} host$([ ${#host[@]} -eq 1 ] || echo s)" \
        "start with -n $sum, or write more slots, such as: ${host[0]} slots=$((($1 + ${#host[@]} - 1) / ${#host[@]}))"
}

is_here() { # HOST
    local name=${1#*@} address
    name=${name,,}
    case $name in localhost | 127.* | "${own_name,,}" | "${own_name%%.*}") return 0 ;; esac
    address=$(address_of "$name")
    [ "$address" ] && [[ $address == 127.* || " $(hostname -I 2>/dev/null) " == *" $address "* ]]
}
address_of() { getent ahostsv4 "$1" | awk '{ print $1; exit }'; }

# The network through which messages to that host leave, as "10.77.0.0/24"; nothing when it is
# behind a gateway or unknown.
network_to() { # HOST
    local address route device
    address=$(address_of "$1")
    [ "$address" ] && command -v ip >/dev/null || return 0
    route=$(ip -4 -o route get "$address" 2>/dev/null)
    [[ $route != *" via "* ]] && device=$(sed -n 's/.* dev \([^ ]*\).*/\1/p' <<<"$route") && [ "$device" ] || return 0
    ip -4 -o addr show dev "$device" | awk '{ print $4; exit }' | network_of
}
network_of() { # of "10.77.0.3/24" on stdin
    awk -F '[./]' 'NF == 5 {
        for (i = 1; i <= 4; i++) {
            bits = $5 - 8 * (i - 1)
            step = bits >= 8 ? 1 : bits <= 0 ? 256 : 2 ^ (8 - bits)
            printf "%d%s", $i - $i % step, i < 4 ? "." : "/" $5 "\n"
        }
    }'
}

# has_interface WANTED INTERFACES ADDRESSES: is one of the comma-separated names and networks there?
has_interface() {
    local one address
    for one in ${1//,/ }; do
        if [[ $one == */* ]]; then
            for address in $3; do
                [ "$(network_of <<<"$address/${one#*/}")" = "$(network_of <<<"$one")" ] && return 0
            done
        else
            [[ " $2 " == *" $one "* ]] && return 0
        fi
    done
    return 1
}

# --- asking hosts ---

for_shell() { printf ' %q' "$@" | cut -c 2-; } # for the user's
quoted() { printf "'%s' " "${1//\'/\'\\\'\'}"; } # for any sh

# The script that a host runs: it prints one finding per line, "seen" last. Arguments: folder,
# program, mpirun's folder, files...
# shellcheck disable=SC2016
question='
cd "$1" 2>/dev/null || { echo "folder"; echo seen; exit 0; }
prog=$2 bin=$3
shift 3
path=$(command -v "$prog") || echo "program"
case $path in */*) ;; *) path= ;; esac
[ -z "$path" ] || ldd "$path" 2>/dev/null | sed -n "s/^[[:blank:]]*\([^ ]*\) => not found/library \1/p"
for f in ${path:+"$path"} "$@"; do [ -e "$f" ] || echo "file $f"; [ ! -f "$f" ] || echo "sum $(cksum <"$f") $f"; done
command -v orted >/dev/null || [ -x "$bin/orted" ] || echo "orted"
echo "interfaces $(ls /sys/class/net | tr "\n" " ")"
echo "addresses $(hostname -I)"
echo "name $(hostname)"
echo seen
'
ask() { # HOST WORDS...: asks one host; its answer, or what ssh said, on stdout
    local name=$1 command='' word
    shift
    for word in sh -c "$question" ask "$@"; do command+=$(quoted "$word"); done
    if [ "$by_slurm" ]; then
        timeout -k 1 "$start_limit" srun --overlap --mem=0 --mpi=none -N1 -n1 -w "$name" sh -c "$question" ask "$@"
    else
        # shellcheck disable=SC2086  # the agent is words
        timeout -k 1 "$start_limit" $agent "$name" "$command"
    fi 2>&1 </dev/null
    # 124: no answer in time
    [ $? -ne 124 ] || echo "no answer within $start_limit s"
}

# ask_hosts PROGRAM ARGUMENTS...: queries all other hosts in parallel and reports what is wrong on
# which.
ask_hosts() {
    local program=$1 files=() word i answers=$scratch sums
    shift
    for word; do [ -e "$word" ] && files+=("$word"); done
    local mine=("$PWD" "$program" "$(dirname "$(command -v mpirun)")" "${files[@]}")
    sums=$(sh -c "$question" ask "${mine[@]}" | grep '^sum ')
    for i in "${!host[@]}"; do
        is_here "${host[i]}" && continue
        ask "${host[i]}" "${mine[@]}" >"$answers/$i" &
        [ $((i % 64)) -ne 63 ] || wait
    done
    wait
    for i in "${!host[@]}"; do
        [ ! -e "$answers/$i" ] || judge "$i" "$answers/$i" "$program" "$sums"
    done
    judge_names "$answers"
}

# Hosts with one name are one host to Open MPI: ranks of both would look for each other in shared
# memory.
judge_names() { # FOLDER OF ANSWERS
    local i name
    local -A named=()
    for i in "${!host[@]}"; do
        if is_here "${host[i]}"; then name=$own_name; else name=$(sed -n 's/^name //p' "$1/$i"); fi
        [ "$name" ] || continue
        [ -z "${named[$name]:-}" ] || problem "${line[i]}host ${host[i]} has the hostname $name, as ${named[$name]} has: Open MPI would take both for one host" \
            "if it is one host listed twice, write it once with all its slots; otherwise give it its own name: hostnamectl set-hostname ${host[i]}"
        named[$name]=${host[i]}
    done
}

judge() { # INDEX FILE PROGRAM SUMS
    local name=${host[$1]} at=${line[$1]} answer=$2 program=$3 text
    if ! grep -qx seen "$answer"; then
        unreachable "$name" "$at" "$(grep -v '^[[:space:]]*$' "$answer" | tail -n 1)"
        return
    fi
    if grep -qx folder "$answer"; then
        problem "${at}host $name has no folder $PWD: it does not see this file system" \
            "start from a folder that all hosts see under the same name (a shared home or scratch), or copy it there: rsync -a $(for_shell "$PWD/" "$name:$PWD/")"
        return
    fi
    grep -qx program "$answer" && problem "${at}host $name has no program $program in $PWD" \
        "put it on a file system that all hosts see, or copy it: rsync -a $(for_shell "$program" "$name:$(realpath "$program" 2>/dev/null)")"
    grep -qx orted "$answer" && problem "${at}host $name has no Open MPI (orted) in $(dirname "$(command -v mpirun)") or its PATH" \
        "install it there: apt-get install openmpi-bin"
    while read -r text; do
        problem "${at}host $name lacks the library $text" "install there what \`make setup\` installs here"
    done < <(sed -n 's/^library //p' "$answer")
    while read -r text; do
        problem "${at}host $name has no $text in $PWD" "put it on a file system that all hosts see, or copy it: rsync -aR $(for_shell "$text" "$name:$PWD/")"
    done < <(sed -n 's/^file //p' "$answer")
    while read -r text; do
        problem "${at}host $name has a different $text than this host" "copy it: rsync -aR $(for_shell "$text" "$name:$PWD/")"
    done < <(grep '^sum ' "$answer" | grep -vxF -- "$4" | cut -d' ' -f4-)
    text=$(sed -n 's/^interfaces //p' "$answer")
    [ -z "$interface" ] || has_interface "$interface" "$text" "$(sed -n 's/^addresses //p' "$answer")" ||
        wrong_interface "${at}host $name" "$text" "$(sed -n 's/^addresses //p' "$answer")"
}

wrong_interface() { # WHO INTERFACES ADDRESSES
    problem "$1 has no interface $interface; it has ${2% }, with addresses ${3% }" \
        "give one that all hosts have: --interface NETWORK, such as --interface $(network_of <<<"${3%% *}/24")"
}

unreachable() { # HOST PLACE WHAT-SSH-SAID
    local try="$ssh_words $1 true"
    [ -z "$by_slurm" ] || try="srun -w $1 true" problems_code=1 # Slurm chose it: no mistake of the user's
    case $3 in
    *"resolve hostname"* | *"Unknown host"* | *"not known"*)
        problem "$2host $1 is unknown: no address has that name" "correct the name, or add a line to /etc/hosts on every host" ;;
    *"Permission denied"*) problem "$2ssh to host $1 is refused: $3" "ssh-copy-id $1   (until \`$try\` asks for nothing)" ;;
    *"Host key verification"*) problem "$2ssh does not know host $1's key: $3" "ssh $1 true   (once, and answer yes)" ;;
    *) problem "$2host $1 does not answer: ${3:-ssh ended without a message}" "see that it is up and \`$try\` works, or leave it out${by_slurm:+: --exclude=$1}" ;;
    esac
}

# --- the start ---

# watch_start MPIRUN: ends it when no rank has started in time (ranks start when the daemons of all
# hosts have reported), naming the hosts that have no connection to it. Fails if it did.
watch_start() {
    local until=$((SECONDS + start_limit)) i silent=()
    while [ $SECONDS -lt $until ]; do
        [ ! -e "$scratch/started" ] && kill -0 "$1" 2>/dev/null || return 0
        sleep 0.2
    done
    local peers jobid
    peers=" $(peers_of "$1") "
    jobid=$(sed -n 's/^\([0-9]*\)\..*/\1/p' "$scratch/uri" 2>/dev/null)
    for i in "${!host[@]}"; do
        is_here "${host[i]}" || is_connected "$i" "$peers" || silent+=("$i")
    done
    : >"$scratch/spoken"
    echo "launch/run.sh: no rank started within $start_limit s"
    for i in "${silent[@]}"; do
        echo "  ${line[i]}host ${host[i]}: ssh works, but mpirun's daemon there (orted) did not report back"
    done
    cat <<EOT
  why:  messages do not pass ${interface:+through $interface }between the hosts (a firewall, networks that are not connected), or a host is very slow
  fix:  allow TCP between the hosts on all ports, or name another network: --interface NETWORK (see: ip -4 addr); for slow hosts:
        --start-timeout SECONDS
EOT
    kill -TERM "$1" 2>/dev/null
    for i in "${silent[@]}"; do # what we started there and cannot reach
        # shellcheck disable=SC2086
        [ "$by_slurm" ] || [ -z "$jobid" ] || timeout 10 $agent "${host[i]}" "pkill -KILL -f '[e]ss_base_jobid $jobid '" </dev/null
    done
    sleep 2
    kill -KILL "$1" 2>/dev/null
    return 1
} >&2

# IPv4 addresses at the other end of a process's connections.
peers_of() {
    awk 'FILENAME != "/proc/net/tcp" { mine[$1]; next }
        $4 == "01" && $10 in mine { print $3 }' <(find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' | tr -dc '0-9\n') /proc/net/tcp |
        while IFS=: read -r hex _; do printf '%d.%d.%d.%d ' "0x${hex:6:2}" "0x${hex:4:2}" "0x${hex:2:2}" "0x${hex:0:2}"; done
}
is_connected() { # INDEX PEERS
    local address addresses
    read -ra addresses < <(sed -n 's/^addresses //p' "$scratch/$1")
    for address in "${addresses[@]}"; do
        [[ $2 == *" $address "* ]] && return 0
    done
    return 1
}
