#!/bin/bash
# test_preflight.sh DUET: launch/preflight.sh passes four good hosts, and finds every planted fault,
# on its host, with what to do.
# A fault of one host is mounted in that host's mount namespace. A host cannot have its own clock,
# so there the command that reads it (date) runs ahead.
# shellcheck disable=SC1091,SC2016,SC2086,SC2154
. "${BASH_SOURCE%/*}/common.sh"
hosts_up 4

# All links have the same rate, far below what the machine can do: other processes do not slow them
# down.
for i in $(seq "$hosts"); do "$tb" shape "$i" 200mbit; done
mkdir run
cat >cluster.yaml <<'YAML'
nodes: 4
compute: {fp32: 0.1}
between: {gbs: 0.02}
YAML

# preflight ARGUMENTS...: on h1; output in out, err; sets code
preflight() {
    local start=$SECONDS
    call on 1 "$root/launch/preflight.sh" --hostfile "$hostfile" --disk 1 --run-folder "$dir/run" "$@" "$duet"
    check "in less than a minute" test $((SECONDS - start)) -lt 60
}
# found HOST WHAT DO: patterns of a fault's two lines
found() { check "$1: $2" awk -v what="^  $1: .*$2" -v todo="^    do:  .*$3" '$0 ~ what { on = NR } on && NR == on + 1 && $0 ~ todo { ok = 1 } END { exit !ok }' out; }
faults() { # N "HOSTS"
    check "faults on $2: exit 1" equal "$code" 1
    check "faults on $2" grep -qE "^preflight: do not start: $1 faults? on $2, " out
    check "faults on $2: their cells are marked, no others" equal "$(sed '1d; /^wrong:/,$d; s/!$/! /' out | awk '/!/ { print $1 }' | sed 's/!$//' | paste -sd' ')" "${2//,/}"
}

preflight --cluster cluster.yaml --recipe recipe.yaml
check "good hosts: exit 0" equal "$code" 0
check "good hosts" has out "preflight: 4 hosts ready"
check "good hosts: nothing is marked" hasnt out '!'
check "needs are the recipe's" grep -qE "4 ranks on 4 hosts: 0.[0-9] GiB of memory a rank, 1.0 GiB in $dir/run .*duet plan recipe.yaml" out
check "messages take eth0" equal "$(awk '/^h[1-4] / { print $(NF - 3) }' out | sort -u)" eth0
# 200 mbit is 0.025 GB/s, of which headers take some, to which the shaper's burst adds some; and the
# machine may be busy
check "messages reach what the links give" awk '/^h[1-4] / { for (k = 2; k; k--) n += $(NF - k) > 0.01 && $(NF - k) < 0.03 } END { exit n != 8 }' out

# Another program, a missing library, a clock that is ahead, a driver that is broken.
cp "$duet" other && echo >>other
on 2 mount --bind "$dir/other" "$duet"
mkdir hide && on 3 mount -t tmpfs tmpfs "$dir/hide" && on 3 mkdir "$dir/hide/upper" "$dir/hide/work"
folder=$(dirname "$(realpath "$(ldd "$duet" | awk '/libyaml/ { print $3 }')")")
on 3 mount -t overlay overlay -o "lowerdir=$folder,upperdir=$dir/hide/upper,workdir=$dir/hide/work" "$folder"
on 3 sh -c "rm '$folder'/libyaml*.so.*"
cp "$(realpath "$(command -v date)")" right-date
cat >./date <<SH
#!/bin/sh
[ "\$1" != +%s%N ] || exec echo \$((\$($dir/right-date +%s%N) + 90000000000))
exec $dir/right-date "\$@"
SH
chmod +x date
on 4 mount --bind "$dir/date" "$(realpath "$(command -v date)")"
on 4 mount -t tmpfs tmpfs /usr/local/bin
printf '%s\n' '#!/bin/sh' 'echo no driver; exit 9' >smi && chmod +x smi && on 4 cp smi /usr/local/bin/nvidia-smi
preflight --no-messages
faults 4 "h2, h3, h4"
found h2 "has a different $duet than h1" "rsync -a h1:$duet h2:$duet"
found h3 "lacks the library libyaml" "install there .*launch/setup.sh"
found h4 "its clock is (89|90).* ahead" "restart chrony"
found h4 "nvidia-smi fails: no driver" "driver"
on 2 umount -l "$duet"
on 3 umount -l "$folder"
on 4 umount -l "$(realpath "$(command -v date)")"
on 4 umount -l /usr/local/bin

# A full disk, wrong names, smaller packets, fewer cores than ranks, a host that nobody knows.
on 2 mount -t tmpfs -o size=8m tmpfs "$dir/run"
sed 's/^10.77.0.4 h4/10.77.0.3 h4/' $net/hosts >names
on 3 mount --bind "$dir/names" /etc/hosts
on 4 ip link set eth0 mtu 1400
taskset -pc 0 "$(cat $net/sshd4.pid)" >/dev/null
{ sed "s/^h4 .*/h4 slots=2/" "$hostfile"; echo "h9 slots=1"; } >five
preflight --no-messages --hostfile five
faults 6 "h2, h3, h4, h9"
found h2 "0.0 GiB free in $dir/run, needed: 1.0" "choose another --run-folder"
found h2 "is not the one on h1" "mount the same file system"
found h3 "resolves h4 to 10.77.0.3, others to 10.77.0.4" "correct its /etc/hosts: 10.77.0.4 h4"
found h4 "the MTU of eth0 is 1400 bytes, the others' 1500" "ip link set eth0 mtu 1500"
found h4 "but jobs are bound to 1 of them \\(0\\) for 2 ranks" "cpus-per-task"
found h9 "is unknown" "add a line to /etc/hosts"
on 2 umount -l "$dir/run"
on 3 umount -l /etc/hosts
on 4 ip link set eth0 mtu 1500

# A link of a tenth.
"$tb" shape 3 20mbit
preflight
faults 1 h3
found h3 "sends 0.00.* and receives 0.00.* where the others reach 0.0[12]" "ethtool eth0"

# Mistakes on the command line: 2, before any host is asked.
call "$root/launch/preflight.sh" --hostfile nowhere --recipe nowhere.yaml ./nothing
check "mistakes: exit 2" equal "$code" 2
check "all of them" equal "$(grep -c '^launch/preflight.sh:' err)" 3
call "$root/launch/preflight.sh" --memory much "$duet"
check "usage: exit 2" equal "$code" 2
check "no process is left" nobody_left 5
finish
