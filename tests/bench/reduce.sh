#!/bin/bash
# reduce.sh PROGRAM [RATE [MIB [STEPS]]]: every path and format of a reduction on hosts of the
# testbed (root) whose links have RATE (100mbit), an array of MIB (16), medians of STEPS (5):
# predicted and measured gains side by side. For hosts times ranks per host.
set -u
program=$(realpath "$1") rate=${2:-100mbit} mib=${3:-16} steps=${4:-5}
root=$(realpath "${BASH_SOURCE%/*}/../..")
tb=$root/launch/testbed/testbed.sh
out=$(mktemp -d)
trap '"$tb" down; rm -rf "$out"' EXIT
export DUET_TESTBED=reduce # whatever else has hosts here
for layout in "4 2" "2 4"; do
    read -r hosts ranks <<<"$layout"
    "$tb" up "$hosts" --wait 600 || exit
    for ((i = 1; i <= hosts; i++)); do "$tb" shape "$i" "$rate"; done
    sed "s/slots=1/slots=$ranks/" "/run/duet-testbed-$DUET_TESTBED/hostfile" >"$out/hostfile"
    "$tb" on 1 "$root/launch/run.sh" -n $((hosts * ranks)) --hostfile "$out/hostfile" --timeout 300 \
        "$program" bench reduce --mib "$mib" --steps "$steps" --text </dev/null 2>"$out/err" || { cat "$out/err"; exit 1; }
    echo
    "$tb" down
done
