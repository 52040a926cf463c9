#!/bin/bash
# test_overlap.sh DUET: what overlap gains. On links where a step without overlap loses 30 % or
# more, overlapped pairs with gradient sums during the backward pass are at least 1.25 times as fast
# as 1f1b with flat sums after it, and learn the same.
#
# All hosts share this machine's few cores, so computation is paced: each step of a pass sleeps
# (DUET_PACE_US), as if each rank had its own device. Messages, exchanges, sums and losses are the
# trainer's, and the links are real. Times are those of the best step of each run: other processes
# slow steps down, but never make one faster.
. "${BASH_SOURCE%/*}/common.sh"
rate=${RATE:-115mbit}
export DUET_PACE_US=${PACE:-8000} # run.sh hands it to all hosts

# A step of a host: 12 micro-batches through 2 layers, whose experts are on two hosts: 24 MB of
# exchanges each way, 3 MB between the stages, 1 MB of gradients and weights. Messages are larger
# than the 64 KB that a shaped link lets through at once, and there is little to compute, so that
# other processes disturb little.
cat >wire.yaml <<'YAML'
seed: 7
watchdog_s: 100
mesh: {dp: 2, pp: 2, ep: 2}
model: {layers: 4, hidden: 256, heads: 2, head_dim: 64, experts: 8, experts_active: 4, expert_ffn: 16, max_context: 128}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 256}
reduction: {bucket_mib: 0}
checkpoint: {every: 0}
phases:
  - {kind: sft, name: start, steps: 3, batch: 448, lr: 1e-3}
YAML
recipe=wire.yaml
unoverlapped=(--set schedule=1f1b --set reduction.path=flat --set reduction.overlap=false)
overlapped=(--set schedule=dualpipe)

# best RUN NAME: the smallest value of its steps behind the first, over all rounds, in milliseconds
best() {
    for round in "$1"-*; do values "$round/metrics.jsonl" "$2" | tail -n +2; done | sort -g |
        awk 'NR == 1 { printf "%.0f", 1000 * $1 }'
}
# run NAME ARGUMENTS...
run() {
    local name=$1
    shift
    train_hosts 4 "$name-$round" "$@"
    check "$name, round $round: exit 0" equal "$code" 0 || finish
}
shape_all() { for i in 1 2 3 4; do "$tb" shape $i "$1"; done; }
at_least() { awk -v a="$1" -v b="$2" -v f="$3" 'BEGIN { print a / b; exit !(a >= f * b) }'; }
costs_enough() { at_least $((t_late - t_free)) "$t_late" 0.3; }
fast_enough() { at_least "$t_late" "$t_early" 1.25; }

hosts_up 4
for round in 1 2 3; do # more than one when something else keeps the cores busy
    shape_all off
    run free "${unoverlapped[@]}"
    shape_all "$rate"
    run late "${unoverlapped[@]}"
    run early "${overlapped[@]}"
    t_free=$(best free time/step) t_late=$(best late time/step) t_early=$(best early time/step)
    costs_enough >/dev/null && fast_enough >/dev/null && break
done
check "unoverlapped, the links cost 30 % of a step" costs_enough
check "overlapped is 1.25 times as fast" fast_enough
check "the same losses" equal "$(values early-1/metrics.jsonl loss)" "$(values late-1/metrics.jsonl loss)"
check "the same gradients" equal "$(values early-1/metrics.jsonl grad_norm)" "$(values late-1/metrics.jsonl grad_norm)"
check "there are losses" test "$(values early-1/metrics.jsonl loss | grep -c '[0-9]')" -eq 3
echo "paced, links of $rate, step in ms: 1f1b $t_free without a limit, $t_late with it ($(best late time/reduce_exposed) waited for sums);" \
    "fused pairs and early sums $t_early ($(best early time/reduce_exposed)): $(fast_enough) times as fast (round $round)"
finish
