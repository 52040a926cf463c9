#!/bin/bash
# test_bytes.sh DUET: the traffic between hosts that duet plan predicts for a step is within 5 % of
# what is counted on the links, pair by pair. Bytes per step are the difference of two runs of
# different length, which cancels start, end and checkpoints. The number of micro-batches is fixed
# (mesh.micro_batches), so that all steps send the same. The counters see IP packets: payload and
# headers.
. "${BASH_SOURCE%/*}/common.sh"
hosts_up 4

cat >bytes.yaml <<'YAML'
seed: 7
watchdog_s: 60
precision: bf16
mesh: {dp: 2, pp: 2, micro_batches: 4}
model: {layers: 4, hidden: 96, heads: 4, max_context: 128}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 512}
checkpoint: {every: 0}
phases:
  - {kind: sft, name: start, steps: 10, batch: 16, lr: 1e-3}
YAML
recipe=bytes.yaml

# planned ARGUMENTS...: sets plan[from,to], bytes of a step between hosts by the plan
declare -A plan
planned() {
    local from to row sent=()
    call "$duet" plan "$recipe" --hostfile "$hostfile" "$@"
    check "plan $*: exit 0" equal "$code" 0
    plan=()
    while read -r row; do
        read -r -a sent <<<"$row"
        from=${sent[0]#h}
        for to in $(seq $((${#sent[@]} - 3))); do
            [ "$to" = "$from" ] || plan[$from,$to]=$(awk -v mb="${sent[2 + to]}" 'BEGIN { printf "%.0f", 1e6 * mb }')
        done
    done < <(sed -n '/^a host, MB a step/,/^$/s/^  \(h[0-9] .*\)/\1/p' out)
}

# What was sampled in the steps that were counted, tokens an answer
mean_answer() {
    sed -n 's/.*"response_length\/mean": *\([0-9.]*\).*/\1/p' step-traffic-long/metrics.jsonl | tail -n 20 |
        awk '{ n += $1 } END { printf "%.0f\n", n / NR }'
}

# is_predicted PAIR: within the percent allowed; what sends less than 20 kB a step is noise
is_predicted() { [ "${plan[$1]}" -lt 20000 ] || near "${apart:-5}" "${traffic[$1]}" "${plan[$1]}"; }
all_predicted() {
    local pair
    for pair in "${!plan[@]}"; do is_predicted "$pair" || return; done
} >/dev/null
# compare NAME ARGUMENTS...: pair by pair, and in total. In a rollout a pipeline that asks more
# often gets more questions: pairs may differ by `apart` percent. On a busy machine acknowledgements
# come so late that TCP resends what had arrived: counted up to three times.
compare() {
    local name=$1 pair counted=0 predicted=0 try # SHOW=1 prints all of them
    shift
    for try in 1 2 3; do
        step_traffic 4 5 25 "$@"
        planned ${apart:+--answer "$(mean_answer)"} "$@"
        all_predicted && break
        echo "$name, time $try: not as predicted"
    done
    for pair in "${!plan[@]}"; do
        counted=$((counted + traffic[$pair])) predicted=$((predicted + plan[$pair]))
        check "$name, h${pair/,/ to h}" is_predicted "$pair"
        [ -z "${SHOW:-}" ] || echo "$name h${pair/,/ to h}: counted ${traffic[$pair]}, planned ${plan[$pair]}"
    done
    check "$name, together" near 5 "$counted" "$predicted"
    [ -z "${SHOW:-}" ] || echo "$name: counted $counted, planned $predicted"
}

# A GRPO step with its rollout, after supervised steps (in both runs) that teach it to answer.
# Groups whose answers are all equal have no gradient: four micro-batches have room for all groups,
# and there are four without them too.
apart=15 recipe=grpo.yaml
sed 's/kind: sft, name: start, steps: 10/name: start, kind: sft, steps: 60/; s/lr: 1e-3/lr: 1e-2/' bytes.yaml >grpo.yaml
echo '  - {kind: grpo, name: learn, steps: 10, prompts: 64, samples: 8, max_new: 48, lr: 1e-5, reward_format: 0.5}' >>grpo.yaml
compare "a rollout and a step of GRPO" --set schedule=dualpipe --set data.micro_batch_tokens=1024
apart='' recipe=bytes.yaml

# Replicas of two hosts, two each: the running sum crosses once, a number is 8 bits and its part of
# a scale.
two_hosts() {
    printf '%s slots=2\n' h1 h2 >two
    hostfile=two
}

compare "dualpipe, replicas on four hosts" --set schedule=dualpipe
compare "two tensor shares of two pipelines" --set schedule=1f1b --set mesh.pp=1 --set mesh.tp=2
compare "two sites of two hosts" --set schedule=1f1b --set mesh.sites=2 --set mesh.dp=1 --set sites.every=20 --set sites.delay=2
two_hosts
compare "replicas over two nodes, int8" --set schedule=serial --set mesh.dp=4 --set mesh.pp=1 --set reduction.path=nodes --set reduction.wire=int8
finish
