# shellcheck shell=bash
# shellcheck disable=SC2154  # host, slots, cell, unfit ... are preflight.sh's and judge.sh's
# messages.sh: messages between hosts, measured by `duet bench network`, and the table. Sourced by
# preflight.sh.

# Between the hosts that can run the program. Inside a Slurm job run.sh uses all its hosts.
measure_messages() {
    local i fit=() command=("$here/run.sh" --timeout 45) code
    local what=''
    for i in "${!host[@]}"; do
        [ -n "${unfit[$i]:-}" ] || fit+=("${host[i]}")
    done
    if [ -z "$messages" ] || [ ${#host[@]} -lt 2 ]; then return
    elif [ ${#fit[@]} -lt 2 ]; then what="fewer than two hosts can run the program"
    elif [ "$by_slurm" ] && [ ${#fit[@]} -lt ${#host[@]} ]; then what="not all hosts of the job can run the program"
    fi
    [ -z "$what" ] || { note messages "not measured: $what"; return; }
    if [ "$by_slurm" ]; then
        command+=(-n "$ranks")
    else
        printf '%s slots=1\n' "${fit[@]}" >"$scratch/hostfile"
        command+=(-n ${#fit[@]} --hostfile "$scratch/hostfile")
    fi
    [ -z "$interface" ] || command+=(--interface "$interface")
    command+=("$program" bench network --text ${cluster:+--cluster "$cluster"})
    "${command[@]}" >"$scratch/network" 2>"$scratch/network.err" </dev/null
    code=$?
    if [ $code -ne 0 ]; then
        fault all messages "messages between ${fit[*]} fail (exit $code): $(grep -v '^[[:space:]]*$' "$scratch/network.err" | head -n 3 | paste -sd' ')" \
            "see the full output: $(printf '%q ' "${command[@]}" | sed "s|$scratch/hostfile|${hostfile:-HOSTFILE}|")"
        return
    fi
    read_messages
}

# "host NAME sends takes us interface" and "slow: NAME: what; what to do"
read_messages() {
    local word name sends takes us device i
    while read -r word name sends takes us device; do
        if [ "$word" = host ]; then
            for i in "${!host[@]}"; do
                [ "${got[$i.hostname]:-}" = "$name" ] || continue
                cell[$i.sends]=${sends%!} cell[$i.takes]=${takes%!} cell[$i.us]=$us
                [ "$device" = - ] || cell[$i.interface]=$device
            done
        fi
    done <"$scratch/network"
    while IFS=';' read -r word device; do
        word=${word#slow: }
        name=${word%%: *}
        for i in "${!host[@]}"; do [ "${got[$i.hostname]:-}" != "$name" ] || name=${host[i]}; done
        fault "$name" messages "${word#*: }" "${device# }"
    done < <(grep '^slow: ' "$scratch/network")
    cell[all.reduce]=$(sed -n 's/^all-reduce of .*: \([0-9.e+-]*\) GB.*/\1/p' "$scratch/network")
}

print_table() {
    local i column text row format='%-14s %5s  %-12s  %9s %11s %10s %10s %8s %6s %6s  %-10s %11s %11s %8s\n'
    echo "$(ranks_of "$ranks") on ${#host[@]} host$([ ${#host[@]} -eq 1 ] || echo s): $(gib "$rank_bytes") GiB of memory a rank, \
$(gib "$disk_bytes") GiB in $folder are needed ($of_what)"
    # shellcheck disable=SC2059
    printf "$format" host slots program libraries clock 'disk GiB' 'mem. GiB' cores GPUs names interface 'sends GB/s' 'takes GB/s' us
    for i in "${!host[@]}"; do
        row=("${host[i]}" "${slots[i]}")
        [ -z "${bad[${host[i]}.host]:-}" ] || row[0]+=!
        for column in program libraries clock disk memory cores gpus names interface sends takes us; do
            text=${cell[$i.$column]:--}
            [ $column != sends ] || [ -z "${bad[${host[i]}.messages]:-}" ] || text+=!
            [ -z "${bad[${host[i]}.$column]:-}" ] || text+=!
            row+=("$text")
        done
        # shellcheck disable=SC2059
        printf "$format" "${row[@]}"
    done
    [ -z "${cell[all.reduce]:-}" ] || echo "all-reduce: ${cell[all.reduce]} GB/s out of each host"
}
