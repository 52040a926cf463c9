#!/bin/bash
# testbed.sh: several hosts on one machine, to try and test what only a cluster shows. Each host is
# a network namespace with its own address, hostname, sshd and /dev/shm on one switch; the file
# system is common to all, as a cluster's shared one is. Needs root. Only inside the hosts does
# anything differ from before: no file of /etc is touched.
#
#   launch/testbed/testbed.sh up [N] [--slurm] [--keep] [--wait SECONDS]    hosts h1 to hN (4)
#   launch/testbed/testbed.sh shell [N] [--slurm]     the same, a prompt on h1, and down when it ends
#   launch/testbed/testbed.sh on I COMMAND...         runs it on host I: on 1 mpirun --hostfile /run/duet-testbed/hostfile ...
#   launch/testbed/testbed.sh shape I RATE|off        both directions of host I's link, as tc writes rates: 200mbit
#   launch/testbed/testbed.sh delay I US|off          what comes in at host I waits this many microseconds
#   launch/testbed/testbed.sh cut I | mend I          the link of host I goes down, comes up again
#   launch/testbed/testbed.sh bytes [I...]            a line each: host, bytes received, bytes sent
#   launch/testbed/testbed.sh traffic                 a line for each pair of hosts: from, to, bytes of IP
#   launch/testbed/testbed.sh pids [I...]             processes on hosts other than the testbed's own
#   launch/testbed/testbed.sh status | down
#
# One testbed at a time, or one for each name in DUET_TESTBED. It belongs to the process that called
# `up` and goes when that one does, however it ends; with --keep it stays until `down`. Exit code:
# 75 somebody else has it (--wait waits), 77 something is missing here.
set -u
self=$(realpath "$0")
root=${self%/launch/testbed/*}
state=/run/duet-testbed${DUET_TESTBED:+-$DUET_TESTBED}
prefix=${DUET_TESTBED:+$DUET_TESTBED-}duet- # of the names of network namespaces
switch=${prefix}sw
mpi_conf=/etc/openmpi/openmpi-mca-params.conf
net=10.77.0 # exists in no namespace but ours
PATH=$PATH:/usr/sbin:/sbin

say() { echo "testbed: $*" >&2; }
usage() { sed -n 's/^#   /  /p' "$self" >&2; exit 2; }
lacks() { say "$1"; exit 77; }
hosts() { seq "$(cat "$state/hosts_up" 2>/dev/null || echo 0)"; }
pid_in() { cat "$state/$1.pid" 2>/dev/null; }
need_up() { [ -e "$state/ready" ] || { say "there is none; first: launch/testbed/testbed.sh up"; exit 1; }; }
need_host() {
    need_up
    [[ $1 =~ ^[1-9]$ && $1 -le $(cat "$state/hosts_up") ]] || { say "host $1: there are 1 to $(cat "$state/hosts_up")"; exit 2; }
}

# --- what must be there: command, what of, or the kernel's word ---

check_machine() {
    local tool missing=()
    [ "$(id -u)" -eq 0 ] || lacks "needs root, for network namespaces: sudo launch/testbed/testbed.sh $command"
    for tool in ip tc nsenter ssh sshd ssh-keygen ${slurm:+slurmctld slurmd srun munged runuser}; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [ ${#missing[@]} -eq 0 ] || lacks "not installed: ${missing[*]}; run: launch/setup.sh --hosts"
}
# kernel WHAT COMMAND...: the command must succeed; it is how we learn what this kernel (or
# container) allows
kernel() {
    local what=$1 said
    shift
    said=$("$@" 2>&1) || { down; lacks "this kernel or container gives no $what ($*: $said)"; }
}

# --- whose it is ---

# A process by number and start time: numbers come again.
birth() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
parent() { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f2; }
owner() {
    local pid=$PPID
    while [[ $(cat "/proc/$pid/comm") =~ ^(sudo|su|env|timeout)$ ]]; do pid=$(parent "$pid"); done
    echo "$pid"
}
is_taken() { # by somebody other than OWNER?
    local pid born
    read -r pid born 2>/dev/null <"$state/owner" || return 1
    [ "$pid" = keep ] || { [ "$pid" != "$1" ] && [ "$(birth "$pid")" = "$born" ]; }
}
# One at a time comes and goes; whoever holds this starts nothing that outlives it.
lock() { exec {held}>/run/duet-testbed.lock && flock "$held"; }
unlock() { exec {held}>&-; }
claim() { # OWNER: ours from now on, unless it is somebody's who lives
    lock
    if is_taken "$1"; then
        unlock
        return 1
    fi
    clear_away
    mkdir -p "$state" && chmod 755 "$state"
    echo "$1 $([ "$1" = keep ] || birth "$1")" >"$state/owner"
    unlock
}

# --- up ---

up() { # OWNER
    local until=$((SECONDS + wait)) i
    check_machine
    until claim "$1"; do
        [ $SECONDS -lt "$until" ] || {
            say "in use: $(describe_owner); wait (--wait SECONDS), or end theirs: launch/testbed/testbed.sh down"
            exit 75
        }
        sleep 1
    done
    trap 'down; exit 130' INT TERM HUP
    [ "$1" = keep ] || start_guard "$1"
    write_files
    kernel "network namespaces" ip netns add "$switch"
    kernel "bridge" ip -n "$switch" link add br0 type bridge
    ip -n "$switch" link set br0 up
    for i in $(seq "$n"); do make_host "$i"; done
    echo "$n" >"$state/hosts_up"
    for i in $(seq "$n"); do await_host "$i"; done
    count_traffic
    [ -z "$slurm" ] || . "$root/launch/testbed/slurm.sh"
    [ -z "$slurm" ] || slurm_up
    # (Our owner may have ended meanwhile, and the guard with what was there.)
    [ -e "$state/owner" ] || { down; exit 1; }
    : >"$state/ready"
    trap - INT TERM HUP
}

# The testbed must not outlive its owner, even one that is killed.
start_guard() {
    setsid "$self" guard "$1" </dev/null >/dev/null 2>&1 &
    echo $! >"$state/guard.pid"
}
guard() {
    tail --pid="$1" -s 0.5 -f /dev/null
    lock
    if [ "$(cut -d' ' -f1 "$state/owner" 2>/dev/null)" = "$1" ]; then
        rm -f "$state/guard.pid" # that is us
        take_down
    fi
    unlock
}

write_files() {
    local i
    ssh-keygen -q -t ed25519 -N '' -C testbed -f "$state/id"
    cp "$state/id.pub" "$state/authorized_keys"
    echo "127.0.0.1 localhost" >"$state/hosts"
    touch "$state/known_hosts" "$state/hostfile" "$state/resolv.conf"
    mkdir -p /run/sshd # the package makes it at boot, where something boots
    for i in $(seq "$n"); do
        echo "$net.$i h$i" >>"$state/hosts"
        echo "h$i slots=1" >>"$state/hostfile"
        ssh-keygen -q -t ed25519 -N '' -C "h$i" -f "$state/host_key$i"
        echo "h$i,$net.$i $(cut -d' ' -f1,2 "$state/host_key$i.pub")" >>"$state/known_hosts"
        printf '%s\n' "ListenAddress $net.$i" "HostKey $state/host_key$i" "PidFile $state/sshd$i.pid" \
            "AuthorizedKeysFile $state/authorized_keys" "PermitRootLogin prohibit-password" "PasswordAuthentication no" \
            "KbdInteractiveAuthentication no" "UsePAM no" "StrictModes no" >"$state/sshd$i.conf"
    done
    # In place of the hosts' /etc/ssh/ssh_config, so that a plain `ssh h2` works, mpirun's too.
    printf '%s\n' "Host h* $net.*" " User root" " IdentityFile $state/id" " IdentitiesOnly yes" \
        " UserKnownHostsFile $state/known_hosts" " StrictHostKeyChecking yes" " BatchMode yes" " ConnectTimeout 5" \
        " LogLevel ERROR" >"$state/ssh_config"
}

# The holder keeps the mount and UTS namespace of a host. What it binds is seen on that host only.
make_host() {
    local ns=${prefix}h$1 port=p$1
    ip netns add "$ns"
    kernel "pairs of virtual links (veth)" ip -n "$ns" link add eth0 type veth peer name "$port" netns "$switch"
    ip -n "$switch" link set "$port" master br0 up
    ip -n "$ns" addr add "$net.$1/24" dev eth0
    ip -n "$ns" link set lo up
    ip -n "$ns" link set eth0 up
    # Open MPI's session folders: of this host alone, and gone with it.
    mkdir -p "$state/session$1"
    { cat $mpi_conf; printf '\n%s\n' "orte_tmpdir_base = $state/session$1"; } >"$state/mpi$1.conf" 2>/dev/null
    # shellcheck disable=SC2016  # for the shell inside
    setsid ip netns exec "$ns" unshare --uts --mount sh -c 'hostname "h$1" && mount --bind "$2/hosts" /etc/hosts &&
        mount --bind "$2/resolv.conf" /etc/resolv.conf && mount --bind "$2/ssh_config" /etc/ssh/ssh_config &&
        mount -t tmpfs -o size=1g tmpfs /dev/shm && { [ ! -e "$3" ] || mount --bind "$2/mpi$1.conf" "$3"; } &&
        : >"$2/holding$1" && exec sleep infinity' holder "$1" "$state" $mpi_conf </dev/null >"$state/holder$1.log" 2>&1 &
    echo $! >"$state/holder$1.pid"
}
await_host() {
    local i
    for i in $(seq 200); do
        [ -e "$state/holding$1" ] && break
        sleep 0.02
    done
    [ -e "$state/holding$1" ] || { say "host $1 did not come up: $(tail -n 1 "$state/holder$1.log")"; down; exit 1; }
    inside "$1" "$(command -v sshd)" -f "$state/sshd$1.conf" -E "$state/sshd$1.log" ||
        { say "no sshd on host $1: $(tail -n 1 "$state/sshd$1.log")"; down; exit 1; }
}
entering() { enter=(env "HOSTNAME=h$1" nsenter -t "$(pid_in "holder$1")" -n -u -m "--wdns=$PWD" --); }
inside() { # I COMMAND...
    local enter
    entering "$1"
    shift
    "${enter[@]}" "$@"
}

# --- down ---

down() {
    lock
    take_down
    unlock
}
take_down() {
    [ ! -e "$state/slurm" ] || { . "$root/launch/testbed/slurm.sh" && slurm_down; }
    local pid
    pid=$(pid_in guard) && kill -- "-$pid" 2>/dev/null
    clear_away
}
# Whatever has our names, also what a testbed that was killed half-way left behind.
clear_away() {
    local ns
    for ns in /run/netns/"$prefix"{sw,h[1-8]}; do
        [ -e "$ns" ] || continue
        ns=${ns##*/}
        # shellcheck disable=SC2046
        while [ "$(ip netns pids "$ns" 2>/dev/null)" ]; do
            kill -KILL $(ip netns pids "$ns") 2>/dev/null
            sleep 0.02
        done
        ip netns del "$ns" 2>/dev/null || rm -f "/run/netns/$ns"
    done
    rm -rf "$state"
}

# --- links ---

shape() { # I RATE
    local side burst=64kb
    [[ $2 =~ gbit$ ]] && burst=256kb
    for side in "${prefix}h$1 eth0" "$switch p$1"; do
        # shellcheck disable=SC2086  # two words
        set -- "$1" "$2" $side
        if [ "$2" = off ]; then
            tc -n "$3" qdisc del dev "$4" root 2>/dev/null
        elif ! tc -n "$3" qdisc replace dev "$4" root tbf rate "$2" burst $burst latency 50ms 2>"$state/tc.log"; then
            grep -q 'Specified qdisc' "$state/tc.log" && lacks "this kernel has no tbf (CONFIG_NET_SCH_TBF): links cannot be shaped"
            say "rate $2: $(tail -n 1 "$state/tc.log")"
            exit 2
        fi
    done
    return 0
}
delay() { # I US
    local program=$root/build/testbed/delay pid i
    inside "$1" iptables -F INPUT 2>/dev/null
    pid=$(pid_in "delay$1") && kill "$pid" && rm -f "$state/delay$1.pid"
    [ "$2" != off ] || return 0
    [[ $2 =~ ^[0-9]+$ ]] || { say "delay $2: microseconds, or off"; exit 2; }
    command -v iptables >/dev/null || lacks "not installed: iptables; run: launch/setup.sh --hosts"
    mkdir -p "${program%/*}"
    [ "$program" -nt "$root/launch/testbed/delay.c" ] ||
        gcc -O2 -o "$program" "$root/launch/testbed/delay.c" -lnetfilter_queue -lnfnetlink 2>"$program.log" ||
        lacks "launch/testbed/delay.c does not compile (libnetfilter-queue-dev? launch/setup.sh --hosts): $(grep -m 1 error "$program.log")"
    # Ahead of the ranks, which spin; else it would deliver late.
    entering "$1"
    "${enter[@]}" chrt -f 20 "$program" "$2" </dev/null >/dev/null 2>"$state/delay$1.log" &
    echo $! >"$state/delay$1.pid"
    for i in $(seq 50); do
        grep -qs '^delaying' "$state/delay$1.log" && break
        kill -0 $! 2>/dev/null || lacks "no delay here: $(cat "$state/delay$1.log")"
        sleep 0.02
    done
    # Incoming: delayed on the way out packets would still count against the sender's socket, and
    # halve its rate.
    inside "$1" iptables -A INPUT -i eth0 -j NFQUEUE --queue-num 0 --queue-bypass 2>"$state/tc.log" ||
        lacks "this kernel has no NFQUEUE: $(tail -n 1 "$state/tc.log")"
}
# Until all others are really reached again, and from there the host: the kernel notices a carrier
# with a second's delay, and who was asked for while there was none is answered "No route to host"
# even after it.
mend() { # I
    local i until=$((SECONDS + 10))
    ip -n "$switch" link set "p$1" up
    for i in $(hosts); do
        [ "$i" = "$1" ] && continue
        until reaches "$1" "$i" && reaches "$i" "$1"; do
            [ $SECONDS -lt $until ] || { say "host $1 and host $i do not reach each other 10 s after the link is up"; exit 1; }
            sleep 0.1
        done
    done
}
reaches() { # FROM TO: within a second
    # shellcheck disable=SC2016  # for the shell inside
    inside "$1" timeout 1 bash -c ': <>"/dev/tcp/$1/22"' - "$net.$2" 2>/dev/null
}
bytes() {
    local i
    for i; do
        echo "h$i $(inside "$i" cat /sys/class/net/eth0/statistics/rx_bytes /sys/class/net/eth0/statistics/tx_bytes | paste -sd' ')"
    done
}
# Rules without a target only count.
count_traffic() {
    local from to
    command -v iptables >/dev/null || return 0
    for from in $(hosts); do
        for to in $(hosts); do
            [ "$from" = "$to" ] || echo "-A OUTPUT -o eth0 -d $net.$to"
        done | { echo "*filter"; cat; echo COMMIT; } | inside "$from" iptables-restore 2>/dev/null
    done
}
traffic() {
    local i
    for i; do
        inside "$i" iptables -nvxL OUTPUT |
            awk -v from="h$i" -v net="$net." 'index($NF, net) == 1 { print from, "h" substr($NF, length(net) + 1), $2 }'
    done
}
pids() {
    local i own pid
    own=" $(cat "$state"/*.pid "$state"/slurm/*.pid 2>/dev/null | tr '\n' ' ') "
    for i; do
        for pid in $(ip netns pids "${prefix}h$i"); do
            [[ $own == *" $pid "* || $(command_of "$pid") == *slurmscriptd* ]] || echo "h$i $pid $(command_of "$pid")"
        done
    done
}

command_of() { { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null; }

# --- commands ---

describe_owner() {
    local pid
    read -r pid _ 2>/dev/null <"$state/owner" || { echo nobody; return; }
    if [ "$pid" = keep ]; then echo "kept until down"; else echo "process $pid: $(command_of "$pid")"; fi
}
status() {
    if [ -e "$state/ready" ]; then
        echo "testbed: $(cat "$state/hosts_up") hosts$([ -e "$state/slurm" ] && echo ", with Slurm"), of $(describe_owner)"
    else
        echo "testbed: none"
    fi
}
shell() {
    up $$
    trap 'down' EXIT
    echo "Host h1 of h1 to h$n; ssh h2; mpirun --hostfile $state/hostfile ...; exit takes all of it down."
    inside 1 "${SHELL:-/bin/bash}"
}
options() {
    n=4 slurm='' keep='' wait=0
    while [ $# -gt 0 ]; do
        case $1 in
        [1-8]) n=$1 ;;
        --slurm) slurm=1 ;;
        --keep) keep=keep ;;
        --wait)
            wait=${2:-}
            [[ $wait =~ ^[0-9]+$ ]] || usage
            shift
            ;;
        *) usage ;;
        esac
        shift
    done
}

command=${1:-}
[ $# -gt 0 ] && shift
case $command in
up | shell)
    who=launch/testbed/testbed.sh
    . "$root/launch/run/environment.sh"
    check_environment
    end_if_problems
    ;;
esac
case $command in
up)
    options "$@"
    up "${keep:-$(owner)}"
    ;;
shell) options "$@" && shell ;;
on)
    [ $# -ge 2 ] || usage
    need_host "$1"
    entering "$1"
    shift
    exec "${enter[@]}" "$@"
    ;;
shape | delay) [ $# -eq 2 ] || usage; need_host "$1"; $command "$@" ;;
cut) [ $# -eq 1 ] || usage; need_host "$1"; ip -n "$switch" link set "p$1" down ;;
mend) [ $# -eq 1 ] || usage; need_host "$1"; mend "$1" ;;
bytes | pids | traffic)
    need_up
    for i; do need_host "$i"; done
    # shellcheck disable=SC2046
    [ $# -gt 0 ] || set -- $(hosts)
    $command "$@"
    ;;
status) status ;;
guard) guard "$@" ;;
down) down ;;
*) usage ;;
esac
