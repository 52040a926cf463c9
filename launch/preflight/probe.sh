# shellcheck shell=bash disable=SC2154
# probe.sh: what one host reports about itself. launch/preflight.sh sends this text to a bash there,
# followed by lines: its settings, "t" whenever it wants the time, and "go". The answer is lines
# WORD VALUES...; "end" is the last. Nothing is left on the host. (The shell reads this script from
# the same stream that main reads later: input that is not for `read` must come after main, and
# nothing here may read stdin.)

say() { echo "$*"; }
first_of() { # DIR: the nearest folder above it that is there
    local d=$1
    while [ ! -d "$d" ]; do d=$(dirname "$d"); done
    echo "$d"
}
free_in() { df -PB1 "$1" 2>/dev/null | awk 'NR == 2 { print $4 }'; }

probe_program() {
    [ -e "$program" ] || { say program missing; return; }
    [ -x "$program" ] || { say program "may not be run by $(id -un)"; return; }
    # A checksum and the size, not a cryptographic hash: this is no defence against attackers, and
    # 70 MB take 10 ms instead of 600.
    say program "$(cksum <"$program" | tr ' ' -)"
    local text size name path paths=()
    while read -r text; do
        case $text in
        *"version "*"not found"*) say missing "$(sed -n "s/.*version [\`']\(.*\)' not found.*/version \1/p" <<<"$text")" ;;
        *"error while loading"*) say missing "${text##*libraries: }" ;;
        *"not found"*) say missing "${text%% *}" ;;
        *" => /"*) path=${text#* => } paths+=("${path%% (*}") ;;
        esac
    done < <(LC_ALL=C ldd "$program" 2>&1)
    [ ${#paths[@]} -gt 0 ] || return
    while read -r text size path; do
        name=${path##*/}
        say library "$name" "$text-$size" "$path"
    done < <(cksum "${paths[@]}")
}
probe_mpi() {
    say orted "$(command -v orted || { [ -x "$mpi/orted" ] && echo "$mpi/orted"; } || echo missing)"
    local mpirun
    mpirun=$(command -v mpirun || echo "$mpi/mpirun")
    say mpi "$("$mpirun" --version 2>/dev/null | head -n 1)"
}
probe_disk() {
    local at file error
    at=$(first_of "$folder")
    say disk "$(free_in "$at")" "$at"
    say temporary "$(free_in "${TMPDIR:-/tmp}")" "${TMPDIR:-/tmp}"
    say shared "$(free_in /dev/shm)"
    file=$at/.preflight-$token-$(hostname)
    error=$(dd if=/dev/zero of="$file" bs=1024 count=1024 conv=fsync 2>&1) && error=ok
    rm -f "$file"
    say write "$(tail -n 1 <<<"$error")"
    if [ "$(cat "$mark" 2>/dev/null)" = "$token" ]; then say sees yes; else say sees no; fi
}
probe_memory() { # what is available, or what control groups (of a batch system) leave, when that is less
    local free limit used at
    free=$(awk '/^MemAvailable/ { printf "%.0f\n", 1024 * $2 }' /proc/meminfo)
    at=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
    limit=$(cat "$at/memory.max" 2>/dev/null) used=$(cat "$at/memory.current" 2>/dev/null)
    if [ -z "$limit" ]; then
        at=/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
        limit=$(cat "$at/memory.limit_in_bytes" 2>/dev/null) used=$(cat "$at/memory.usage_in_bytes" 2>/dev/null)
    fi
    if [[ $limit =~ ^[0-9]{1,18}$ && $used =~ ^[0-9]+$ ]] && [ $((limit - used)) -lt "$free" ]; then free=$((limit - used)); fi
    say memory "$free"
}
probe_cores() {
    say cores "$(env -u OMP_NUM_THREADS nproc)" "$(nproc --all)" "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)"
}
probe_gpus() {
    command -v nvidia-smi >/dev/null || { say gpus 0; return; }
    local list
    list=$(timeout 10 nvidia-smi --query-gpu=name --format=csv,noheader 2>&1) || { say gpus broken "$(tail -n 1 <<<"$list")"; return; }
    say gpus "$(sed '/^$/d' <<<"$list" | sort | uniq -c | sed 's/^ *//' | paste -sd+)"
}
probe_names() {
    local name address
    for name in $names; do
        address=$(getent ahostsv4 "$name" | awk '{ print $1; exit }')
        say address "$name" "${address:--}"
    done
}
# Interface, speed and size of packets on the way to the first two others: what a cable or a switch
# port was set to.
probe_route() {
    local name device n=0
    command -v ip >/dev/null || return
    for name in $names; do
        [ "$name" = "$me" ] && continue
        device=$(ip -4 -o route get "$(getent ahostsv4 "$name" | awk '{ print $1; exit }')" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')
        [ "$device" ] || continue
        say route "$device" "$(cat "/sys/class/net/$device/speed" 2>/dev/null || echo -)" \
            "$(ip -o link show dev "$device" | sed -n 's/.* mtu \([0-9]*\).*/\1/p')"
        n=$((n + 1))
        [ $n -lt 2 ] || return
    done
}

main() {
    local line
    for line in me program mpi folder mark token names; do read -r "${line?}"; done
    while read -r line; do
        case $line in
        t) date +%s%N ;;
        go) break ;;
        esac
    done
    say hostname "$(hostname)"
    for line in names route cores memory gpus disk mpi program; do "probe_$line"; done
    say end
    exit 0
}
