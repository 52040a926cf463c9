#!/bin/bash
# test_network.sh DUET: messages between the ranks of this host: the documented figures; all
# mistakes are reported.
# shellcheck disable=SC1091,SC2154
. "${BASH_SOURCE%/*}/common.sh"
command -v python3 >/dev/null || { echo "python3 is missing: it reads the JSON"; exit 77; }

# holds CONDITION...: each is true of the object o on the one line of out
holds() {
    check "$1 ..." python3 -c '
import json, sys
(line,) = open("out").read().splitlines()
o = json.loads(line)
m, r = o["messages"], o["all_reduce"]
wrong = [c for c in sys.argv[1:] if not eval(c)]
sys.exit("not so: %s\n%s" % (wrong, line) if wrong else 0)' "$@"
}
# network RANKS ARGUMENTS...
network() {
    local n=$1
    shift
    call "$root/launch/run.sh" -n "$n" --timeout 120 "$duet" bench network "$@"
}

network 3 # an odd number: in each round one rests
check "exit 0" equal "$code" 0
holds 'o["bench"] == "network" and o["between"] == "ranks" and o["n"] == 3' \
    '[e["name"] for e in m["ends"]] == ["rank-0", "rank-1", "rank-2"]' \
    'sorted((k["from"], k["to"]) for k in m["links"]) == [("rank-%d" % i, "rank-%d" % j) for i in range(3) for j in range(3) if i != j]' \
    'all(k["gb_per_second"] > 0 and k["one_way_us"] > 0 for k in m["links"])' \
    'abs(m["median_gb_per_second"] / __import__("statistics").median(k["gb_per_second"] for k in m["links"]) - 1) < 1e-4' \
    'abs(r["gb_per_second"] / (2 * 2 / 3 * r["bytes"] / r["seconds"]["min"] / 1e9) - 1) < 1e-3' \
    'all(e["interface"] == "-" for e in m["ends"])' # shared memory takes none

# A rate that no link has: both ranks are slower than the cluster file.
printf '%s\n' "devices: 2" "compute: {fp32: 1}" "inside: {gbs: 900000}" >cluster.yaml
network 2 --text --steps 1 --cluster cluster.yaml
check "exit 0" equal "$code" 0
check "a pair" grep -qE '^rank-0 - rank-1 ' out
check "a line a rank" times 2 out "host rank-"
check "both are too slow for the cluster file" times 2 out "where the cluster file expects 9e+05"

network 2 --steps 0
check "a mistake of an option: exit 2" equal "$code" 2
check "steps" has err "--steps: 0"
network 2 --cluster nowhere.yaml
check "a mistake of a file: exit 2" equal "$code" 2
check "file" has err "nowhere.yaml"
call "$duet" bench network
check "one rank: exit 2" equal "$code" 2
check "one rank" has err "bench network needs at least two ranks"
finish
