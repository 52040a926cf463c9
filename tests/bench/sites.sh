#!/bin/bash
# sites.sh PROGRAM [INSIDE [ACROSS]]: two sites of two hosts each on the testbed (as root), with
# links of INSIDE (400mbit) within a site and ACROSS (20mbit) between sites: tokens per second of a
# job that is synchronous over the slow link, and of one that treats its ends as sites. All learn
# from the same batch per step, with a pipeline over the two hosts of a site; the measured steps
# contain whole exchanges.
# The other lines are compared with the first. Seconds vary on shared cores, hence ratios; bytes do
# not.
# shellcheck source-path=SCRIPTDIR
. "${BASH_SOURCE%/*}/../hosts/common.sh"
inside=${2:-400mbit} across=${3:-20mbit}
hosts_up 4

# slow HOST OTHER...: the host sends to the others at the rate of the link between sites, everything
# else at that of its own link
slow() {
    local host=$1 other
    shift
    on "$host" tc qdisc replace dev eth0 root handle 1: htb default 10 r2q 100
    on "$host" tc class add dev eth0 parent 1: classid 1:10 htb rate "$inside"
    on "$host" tc class add dev eth0 parent 1: classid 1:20 htb rate "$across"
    for other; do on "$host" tc filter add dev eth0 parent 1: protocol ip u32 match ip dst "10.77.0.$other/32" flowid 1:20; done
}
{ slow 1 3 4 && slow 2 3 4 && slow 3 1 2 && slow 4 1 2; } >shape.log 2>&1 || {
    echo "this kernel has no htb or no u32 classifier: $(grep -v ^Warning shape.log | head -n 1)"
    exit 77
}

cat >bench.yaml <<'YAML'
seed: 3
watchdog_s: 120
schedule: 1f1b
mesh: {pp: 2}
model: {layers: 8, hidden: 128, heads: 4, max_context: 64}
data: {task: arithmetic, difficulty: 2, micro_batch_tokens: 512}
checkpoint: {every: 0}
phases: [{kind: sft, name: start, lr: 1e-3}]
YAML
recipe=bench.yaml limit=600

# bytes from site 1 to site 2, all hosts
crossed() { echo $((traffic[1,3] + traffic[1,4] + traffic[2,3] + traffic[2,4])); }
# pace FOLDER FIRST LAST: tokens per second over those steps
pace() {
    paste <(values "$1/metrics.jsonl" tokens) <(values "$1/metrics.jsonl" time/step) |
        awk -v a="$2" -v b="$3" 'NR == a { from = $1 } NR > a && NR <= b { t += $2; to = $1 } END { print (to - from) / t }'
}

base=''
# measure NAME STEPS FIRST LAST ARGUMENTS...
measure() {
    local name=$1 steps=$2 first=$3 last=$4 folder tokens=0 kb
    shift 4
    rm -rf run
    traffic_of train_hosts 4 run --set "phases.start.steps=$steps" "$@"
    [ "$code" -eq 0 ] || { echo "$name: exit $code"; tail -n 5 err; exit 1; }
    if [ -d run/site-1 ]; then set -- run/site-1 run/site-2; else set -- run; fi
    for folder; do tokens=$(awk -v a="$tokens" -v b="$(pace "$folder" "$first" "$last")" 'BEGIN { print a + b }'); done
    kb=$(($(crossed) / steps / 1000))
    base=${base:-$tokens}
    awk -v n="$name" -v t="$tokens" -v b="$base" -v k="$kb" -v l="$(values "$folder/metrics.jsonl" sites/exposed_seconds | grep -v - | head -n 2 | paste -sd' ')" \
        'BEGIN { printf "%-46s %9.0f %7.2f x %10d   %s\n", n, t, t / b, k, l }'
}
sites=(--set mesh.sites=2 --set mesh.dp=1 --set phases.start.batch=24 --set sites.every=20)
together=(--set mesh.dp=2 --set phases.start.batch=48)

echo "hosts of a site $inside apart, sites $across; $(nproc) cores for all"
printf '%-46s %9s %9s %10s   %s\n' '' tokens/s '' 'kB a step' 'waited for exchanges, s'
measure "synchronous, fp32" 14 2 13 "${together[@]}"
measure "synchronous, bf16" 14 2 13 "${together[@]}" --set reduction.wire=bf16
measure "synchronous, int8" 14 2 13 "${together[@]}" --set reduction.wire=int8
measure "sites, every 20, at once, fp32" 45 3 43 "${sites[@]}" --set sites.delay=0
measure "sites, every 20, 5 updates later, fp32" 46 5 45 "${sites[@]}" --set sites.delay=5
measure "sites, every 20, 5 updates later, bf16" 46 5 45 "${sites[@]}" --set sites.delay=5 --set sites.wire=bf16
measure "sites, every 20, 5 updates later, int8" 46 5 45 "${sites[@]}" --set sites.delay=5 --set sites.wire=int8
