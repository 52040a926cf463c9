# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # host, slots, folder ... are preflight.sh's; cells and unfit are read there
# judge.sh: compares the hosts' answers (probe.sh) with what a job needs and with each other.
# Sourced by preflight.sh.
declare -A got=() cell=() unfit=() # got, cell: index.word; unfit: hosts that cannot run the program

gib() { awk -v b="$1" 'BEGIN { printf b < 10 * 2^30 ? "%.1f" : "%.0f", b / 2^30 }'; }
bytes_of() { awk -v g="$1" 'BEGIN { printf "%.0f", g * 2^30 }'; }
ranks_of() { echo "$1 rank$([ "$1" -eq 1 ] || echo s)"; }
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'; }

# Which value most hosts have, of lines on stdin; of equals the first: most like the host that asks.
most_common() { awk 'NF { if (!($0 in n)) order[++k] = $0; n[$0]++ } END { for (i = 1; i <= k; i++) if (n[order[i]] > n[best]) best = order[i]; print best }'; }
values_of() { # WORD: of all hosts that said it
    local i
    for i in "${!host[@]}"; do [ -z "${got[$i.$1]:-}" ] || echo "${got[$i.$1]}"; done
}
who_has() { # WORD VALUE: the first host that said so
    local i
    for i in "${!host[@]}"; do [ "${got[$i.$1]:-}" != "$2" ] || { echo "${host[i]}"; return; }; done
}

# --- what a job needs ---

# Memory: the plan's largest rank plus an eighth for libraries and messages. Disk: a rank's weights
# and optimizer state, four times (checkpoints kept and the one being written), plus 1 GiB for logs.
rank_bytes=$(bytes_of "${rank_gib:-1}") disk_bytes=$(bytes_of "${disk_gib:-2}")
of_what='the default; see --memory, --disk'
if [ "$recipe" ]; then
    read -r of_memory of_state < <(awk '/^memory per rank/ { on = 1; next } !on || !/^(rank|smallest rank|largest rank)/ { on = on && NF; next }
        { if ($NF > most) most = $NF; state = $(NF - 6) + $(NF - 4); if (state > kept) kept = state }
        END { printf "%.0f %.0f\n", most * 2^20 * 9 / 8, kept * 2^20 }' "$scratch/plan")
    of_what="duet plan $recipe"
    [ "$rank_gib" ] || rank_bytes=$of_memory
    [ "$disk_gib" ] || disk_bytes=$((4 * ranks * of_state + 2 ** 30))
fi

# --- each host alone ---

problem() { fault "$now" host "$@"; } # what hosts.sh finds (unreachable)

read_answer() { # INDEX
    local i=$1 word rest
    while read -r word rest; do
        case $word in
        missing) got[$i.missing]+="$rest"$'\n' ;;
        library) got[$i.library.${rest%% *}]=${rest#* }; libraries+=("${rest%% *}"); got[$i.libraries]=$((${got[$i.libraries]:-0} + 1)) ;;
        address) got[$i.address.${rest%% *}]=${rest#* } ;;
        route) got[$i.route]=${got[$i.route]:-$rest} ;;
        *) got[$i.$word]=$rest ;;
        esac
    done <"$scratch/$i"
}
libraries=()

judge_alone() { # INDEX
    local i=$1 said
    now=${host[i]}
    read_answer "$i"
    if [ -z "${got[$i.hostname]:-}" ]; then
        said=$(grep -v '^[[:space:]]*$' "$scratch/$i.err" | tail -n 1)
        unreachable "$now" "${line[i]}" "$said"
        unfit[$i]=1
        return
    fi
    if [ "${got[$i.end]-none}" = none ]; then
        fault "$now" host "answered, then sent nothing for 25 s" "see what hangs there, often a file system: ssh $now df $folder"
        unfit[$i]=1
    fi
    judge_program "$i"
    judge_room "$i"
    judge_cores "$i"
}

judge_program() { # INDEX
    local i=$1 said name
    said=${got[$i.program]:-}
    cell[$i.program]=${said:--}
    [[ $said != *-* ]] || cell[$i.program]=$(printf %08x "${said%-*}")
    case $said in
    missing | may*)
        [ "$said" = missing ] && said="has no $program" || said="$program $said"
        fault "$now" program "$said" "put it where all hosts see it, or copy it: rsync -a $program $now:$program"
        cell[$i.program]=none unfit[$i]=1
        ;;
    esac
    cell[$i.libraries]=${got[$i.libraries]:-0}
    while read -r name; do
        [ "$name" ] || continue
        fault "$now" libraries "lacks the library $name" "install there what \`make setup\` installs (launch/setup.sh), as on the other hosts"
        cell[$i.libraries]=missing unfit[$i]=1
    done <<<"${got[$i.missing]:-}"
    [ "${got[$i.orted]:-}" != missing ] || {
        fault "$now" libraries "lacks Open MPI's orted in $(dirname "$(command -v mpirun)") and in its PATH" "install it there: apt-get install openmpi-bin"
        cell[$i.libraries]=missing unfit[$i]=1
    }
}

judge_room() { # INDEX
    local i=$1 free at need
    read -r free at <<<"${got[$i.disk]:-}"
    cell[$i.disk]=$(gib "${free:-0}")
    if [ "$free" ] && [ "$free" -lt "$disk_bytes" ]; then
        fault "$now" disk "$(gib "$free") GiB free in $at, needed: $(gib "$disk_bytes") ($of_what)" \
            "free space there, or choose another --run-folder; checkpoint.keep sets the number of checkpoints kept"
    elif [ "${got[$i.write]:-ok}" != ok ]; then
        fault "$now" disk "cannot write in $at: ${got[$i.write]##*: }" "check its permissions, quota and mount (ssh $now mount), or choose another --run-folder"
    fi
    if [ "$mark" ] && [ "${got[$i.sees]:-}" = no ]; then
        fault "$now" disk "$near there is not the one on $(hostname): its ranks would write to another file system" \
            "mount the same file system on all hosts, or choose a --run-folder that all hosts share"
    fi
    read -r free at <<<"${got[$i.temporary]:-}"
    if [ "$free" ] && [ "$free" -lt $((64 << 20)) ]; then
        fault "$now" disk "$((free >> 20)) MiB free in $at, where Open MPI keeps its session files" "free space there, or set TMPDIR on that host"
    fi
    if [ "${slots[i]}" -gt 1 ] && [ "${got[$i.shared]:-}" ] && [ "${got[$i.shared]}" -lt $((32 << 20)) ]; then
        fault "$now" disk "$((got[$i.shared] >> 20)) MiB free in /dev/shm, through which its ranks communicate" "enlarge it: mount -o remount,size=1g /dev/shm"
    fi
    need=$((slots[i] * rank_bytes)) free=${got[$i.memory]:-}
    cell[$i.memory]=$(gib "${free:-0}")
    if [ "$free" ] && [ "$free" -lt $need ]; then
        fault "$now" memory "$(gib "$free") GiB of memory free, needed for its $(ranks_of "${slots[i]}"): $(gib $need) ($of_what)" \
            "stop other programs there, ask the batch system for more memory, or give the host fewer slots"
    fi
}

judge_cores() { # INDEX
    local i=$1 may all list
    read -r may all list <<<"${got[$i.cores]:-0 0}"
    cell[$i.cores]="$may of $all"
    [ "$may" -ge "${slots[i]}" ] || {
        if [ "$all" -ge "${slots[i]}" ]; then
            fault "$now" cores "has $all cores, but jobs are bound to $may of them ($list) for $(ranks_of "${slots[i]}")" \
                "ask the batch system for more (--cpus-per-task, --ntasks-per-node), or loosen the binding: taskset, cpuset"
        else
            note "$now" "$(ranks_of "${slots[i]}") share $may core$([ "$may" -eq 1 ] || echo s) and take turns"
        fi
    }
    cell[$i.gpus]=${got[$i.gpus]:--}
    case ${got[$i.gpus]:-} in
    0) cell[$i.gpus]=- ;;
    broken*) cell[$i.gpus]=broken
        fault "$now" gpus "nvidia-smi fails: ${got[$i.gpus]#broken }" "check the driver there: ssh $now nvidia-smi; dmesg | grep -i nvrm" ;;
    esac
}

# --- all together ---

judge_together() {
    judge_same program program "" "has a different $program than" "copy it: rsync -a"
    judge_libraries
    judge_same mpi libraries "" "has a different Open MPI than" "install the same version there"
    judge_clocks
    judge_same gpus gpus note "has different GPUs than" ""
    judge_names
    judge_routes
}

# judge_same WORD COLUMN note|'' WHAT DO: who differs from most hosts
judge_same() {
    local i most other
    most=$(values_of "$1" | grep -v -e '^missing' -e '^may ' -e '^broken' | most_common)
    [ "$most" ] || return 0
    other=$(who_has "$1" "$most")
    for i in "${!host[@]}"; do
        case ${got[$i.$1]:-} in '' | "$most" | missing | may* | broken*) continue ;; esac
        now=${host[i]}
        if [ "$3" = note ]; then
            note "$now" "$4 $other: ${got[$i.$1]} in place of $most"
        else
            fault "$now" "$2" "$4 $other: ${got[$i.$1]} in place of $most" \
                "$5$([ "$1" != program ] || echo " $other:$program $now:$program")$([ "$1" = program ] || echo " as on $other")"
            [ "$1" != program ] || cell[$i.program]=other
            unfit[$i]=1
        fi
    done
}

judge_libraries() {
    local i name most other differ
    mapfile -t libraries < <([ ${#libraries[@]} -eq 0 ] || printf '%s\n' "${libraries[@]}" | sort -u)
    for name in "${libraries[@]}"; do
        most=$(for i in "${!host[@]}"; do echo "${got[$i.library.$name]:-}"; done | cut -d' ' -f1 | most_common)
        for i in "${!host[@]}"; do
            differ=${got[$i.library.$name]:-}
            [[ $differ && ${differ%% *} != "$most" ]] || continue
            other=$(for other in "${!host[@]}"; do [[ ${got[$other.library.$name]:-} != "$most "* ]] || { echo "${host[other]}"; break; }; done)
            fault "${host[i]}" libraries "has a different $name (${differ#* }) than $other" "install the same version there: dpkg -S ${differ#* }"
            cell[$i.libraries]=other unfit[$i]=1
        done
    done
}

# Compared with the median of all hosts, since this host's clock may be the wrong one; the
# uncertainty of the round trip counts in the host's favour.
judge_clocks() {
    local i offset half middle
    middle=$(values_of clock | cut -d' ' -f1 | sort -n | awk '{ x[NR] = $1 } END { if (NR) print x[int((NR + 1) / 2)] }')
    for i in "${!host[@]}"; do
        read -r offset half <<<"${got[$i.clock]:-}"
        cell[$i.clock]=-
        [ "$half" ] || continue
        offset=$((offset - middle))
        cell[$i.clock]=$(awk -v o=$offset 'BEGIN { printf "%+.3f s", o / 1e6 }')
        if less "$clock_limit" "$(awk -v o=${offset#-} -v h="$half" 'BEGIN { print (o - h) / 1e6 }')"; then
            fault "${host[i]}" clock "its clock is $(awk -v o=${offset#-} -v h="$half" 'BEGIN { printf "%.3f s (give or take %.3f)", o / 1e6, h / 1e6 }') \
$([ $offset -gt 0 ] && echo ahead || echo behind)" "start its time service and let it step the clock: systemctl restart chrony; chronyc makestep"
        fi
    done
}

judge_names() {
    local i k name most seen
    for i in "${!host[@]}"; do cell[$i.names]=$([ "${got[$i.hostname]:-}" ] && echo ok || echo -); done
    for k in "${!host[@]}"; do
        name=${host[k]}
        most=$(for i in "${!host[@]}"; do [ "$i" = "$k" ] || echo "${got[$i.address.$name]:-}"; done | grep -vx -e - | most_common)
        [ "$most" ] || continue # nobody knows it: it was not reached, and that was said
        for i in "${!host[@]}"; do
            seen=${got[$i.address.$name]:-}
            [[ $i != "$k" && $seen && $seen != "$most" ]] || continue
            if [ "$seen" = - ]; then
                fault "${host[i]}" names "cannot resolve the name $name" "add to its /etc/hosts: $most $name"
            else
                fault "${host[i]}" names "resolves $name to $seen, others to $most" "correct its /etc/hosts: $most $name"
            fi
            cell[$i.names]=wrong
        done
    done
    for i in "${!host[@]}"; do
        for ((k = 0; k < i; k++)); do
            [[ ${got[$i.hostname]:-} && ${got[$i.hostname]} = "${got[$k.hostname]:-}" ]] || continue
            fault "${host[i]}" names "has the hostname ${got[$i.hostname]}, as ${host[k]} has: ranks of both would look for each other in shared memory" \
                "if it is one host listed twice, write it once in the hostfile with all its slots; otherwise: hostnamectl set-hostname ${host[i]}"
            unfit[$i]=1
        done
    done
}

judge_routes() { # speed in Mbit/s; - where the kernel does not say
    local i device speed mtu most_speed most_mtu
    most_speed=$(values_of route | cut -d' ' -f2 | grep -vx -e - -e -1 | most_common)
    most_mtu=$(values_of route | cut -d' ' -f3 | most_common)
    for i in "${!host[@]}"; do
        read -r device speed mtu <<<"${got[$i.route]:-}"
        cell[$i.interface]=${device:--}
        [ "$device" ] || continue
        [ "$mtu" = "$most_mtu" ] || fault "${host[i]}" interface "the MTU of $device is $mtu bytes, the others' $most_mtu: large messages hang" \
            "use the same MTU everywhere: ip link set $device mtu $most_mtu"
        [[ ! $speed =~ ^[0-9]+$ ]] || [ "$speed" -ge "${most_speed:-0}" ] ||
            fault "${host[i]}" interface "$device runs at $speed Mbit/s, the others' at $most_speed" "check the cable and the switch port: ethtool $device"
    done
}
