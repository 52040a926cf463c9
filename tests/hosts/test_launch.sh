#!/bin/bash
# test_launch.sh DUET: launch/run.sh across hosts: the bits of one host, signals and exit codes from
# all of them, a lost host named; and hosts that cannot run the job are reported before anything
# starts, each with what to do.
. "${BASH_SOURCE%/*}/common.sh"
hosts_up 4
printf 'h1 slots=2\nh2 slots=2\n' >pair
# on_hosts RANKS HOSTFILE ARGUMENTS...: run.sh on h1, in the foreground
on_hosts() {
    local n=$1 file=$2
    shift 2
    call "$tb" on 1 "$root/launch/run.sh" -n "$n" --hostfile "$file" --timeout 100 "$@"
}
refused() { # NAME WORDS...
    mistake "$@"
    check "$1: nothing ran" equal "$(cat out)" ""
}

# --- mistakes, seen before training starts ---
printf 'h1 slots=1\nh7 slots=1\n10.77.0.9 slots=1\n' >wrong
on_hosts 3 wrong echo ran
refused "hosts that are not there" "wrong:2: host h7 is unknown" "wrong:3: host 10.77.0.9 does not answer"
on_hosts 4 pair --interface eth7 echo ran
refused "interface" "no interface eth7" "--interface 10.77.0.0/24"
on 1 ip link set eth0 name net0 2>/dev/null || on 1 sh -c 'ip link set eth0 down; ip link set eth0 name net0; ip link set net0 up'
on_hosts 4 pair --interface net0 echo ran
refused "interface of one host" "pair:2: host h2 has no interface net0" "--interface 10.77.0.0/24"
mkdir private
on 2 mount -t tmpfs none "$PWD/private"
mkdir private/here
cp pair recipe.yaml private/here
(cd private/here && on_hosts 4 pair echo ran; cp out err ..; echo "$code" >../code)
mv private/out private/err . && code=$(cat private/code)
refused "a folder of one host" "pair:2: host h2 has no folder $PWD/private/here"
printf '#!/bin/sh\necho ran\n' >private/program && chmod +x private/program
on_hosts 4 pair private/program train private/here/recipe.yaml
refused "a program and a recipe of one host" "host h2 has no program private/program" "host h2 has no private/here/recipe.yaml"
on 2 sh -c 'mkdir private/here; echo "seed: 9" >private/here/recipe.yaml'
on_hosts 4 pair echo private/here/recipe.yaml
refused "another recipe on one host" "host h2 has a different private/here/recipe.yaml than this host"
on 2 umount "$PWD/private"

# --- runs ---
train 4 single
on_hosts 4 pair --map experts:2x2x1 "$duet" train recipe.yaml --set out=spread
check "two hosts, mapped: exit 0" equal "$code" 0
check "the bits of one host" alike single spread
on_hosts 4 pair "$duet" train bad.yaml
check "a mistake in a recipe: exit 2" equal "$code" 2
check "a mistake in a recipe: reported once" times 1 err "bad.yaml: cannot read"

# begin FOLDER: starts a run in the background and waits for its steps; sets since
begin() {
    rm -rf "$1"
    "$tb" on 1 "$root/launch/run.sh" -n 4 --hostfile $net/hostfile "$duet" train recipe.yaml --set "out=$1" --resume auto >out 2>err </dev/null &
    job=$!
    check "$1: under way" until_true lines 23 "$1"
    since=$SECONDS
}
begin stopped
kill -TERM "$job"
ended
check "stopped: exit 85" equal "$code" 85
on_hosts 4 $net/hostfile "$duet" train recipe.yaml --set out=stopped --resume auto
check "stopped, resumed: exit 0" equal "$code" 0
check "stopped, resumed: the same bits" alike single stopped
printf 'h2 slots=2\nh3 slots=2\n' >elsewhere
"$tb" on 1 "$root/launch/run.sh" -n 4 --hostfile elsewhere --timeout 60 "$duet" train recipe.yaml --set out=away >out 2>err </dev/null &
job=$!
check "no rank on this host: under way" until_true lines 3 away
kill -TERM "$job"
ended
check "no rank on this host: exit 85" equal "$code" 85
begin killed
kill -KILL "$(ranks_on 3)"
ended
check "killed: exit 128 + 9" equal "$code" 137
check "killed: reported" has err "rank 2 on h3: ended by signal 9 (Killed)"
check "killed: no process is left" nobody_left 5
# The next rank notices its broken connection before mpirun knows who died.
begin late
kill -PIPE "$(ranks_on 4)"
sleep 0.3
kill -KILL "$(ranks_on 3)"
ended
check "killed, noticed late: exit 128 + 9" equal "$code" 137
check "killed, noticed late: reported" has err "rank 2 on h3: ended by signal 9 (Killed)"
check "killed, noticed late: no process is left" nobody_left 5
begin lost
"$tb" cut 3
ended
check "host lost: within 15 s" test $((SECONDS - since)) -le 15
check "host lost: exit 1" equal "$code" 1
check "host lost: named" has err "host h3: the connection to it is lost"
check "host lost: no process is left" nobody_left 15
"$tb" mend 3

# --- names: blanks and more in every path; hosts that differ in their domain only, and hosts that
# do not differ ---
mkdir "two words é" && cd "two words é" || exit 1
sed -e '/kind: grpo/,$d' -e 's/steps: 60/steps: 4/' ../recipe.yaml >"my recipe.yaml"
printf '\xef\xbb\xbfh1\tslots=02\r\nh2 slots = 2 # two\r\n' >"my hosts (1)"
on_hosts 4 "my hosts (1)" "$duet" train "my recipe.yaml" --set "out=my runs"
check "blanks in names: exit 0" equal "$code" 0
check "blanks in names: trained there" lines 4 "my runs"
cd .. || exit 1

on 1 hostname gpu1.east.example
on 2 hostname gpu1.west.example
printf '10.77.0.%s gpu1.%s.example\n' 1 east 2 west >>"$net/hosts"
printf '%s\n' "Host *" " User root" " IdentityFile $net/id" " StrictHostKeyChecking no" " UserKnownHostsFile /dev/null" " BatchMode yes" " LogLevel ERROR" >ssh_config
printf 'gpu1.east.example slots=2\ngpu1.west.example slots=2\n' >full
export DUET_SSH="ssh -F $PWD/ssh_config"
on_hosts 4 full "$duet" train "two words é/my recipe.yaml" --set out=full-names
check "full names: exit 0" equal "$code" 0
on_hosts 4 full --map experts:2x2x1 sh -c 'echo "$OMPI_COMM_WORLD_RANK $(hostname)"'
check "full names, mapped: each where the map says" equal "$(sort out | cut -d. -f1-2 | paste -sd' ')" "0 gpu1.east 1 gpu1.west 2 gpu1.east 3 gpu1.west"
on 1 hostname gpu1
on 2 hostname gpu1
on_hosts 4 full echo ran
refused "one name for two hosts" "full:2: host gpu1.west.example has the hostname gpu1, as gpu1.east.example has"
on 1 hostname h1
on 2 hostname h2
unset DUET_SSH

# --- messages that do not pass: orted cannot report back ---
if on 2 iptables -A OUTPUT -p tcp ! --sport 22 -j DROP 2>/dev/null; then
    on_hosts 4 pair --start-timeout 8 echo ran
    check "firewall: exit 1" equal "$code" 1
    check "firewall: host named" has err "pair:2: host h2: ssh works, but mpirun's daemon there (orted) did not report back"
    check "firewall: nothing ran" equal "$(cat out)" ""
    check "firewall: no process is left" nobody_left 5
fi
finish
