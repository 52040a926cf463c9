#!/bin/bash
# test_mesh.sh DUET: promises P2 and P3. From the same weights every mesh samples the same answers with the same
# log-probabilities, and the trainer finds exactly those again: ratio/max_deviation is 0, with rewards that teach.
. "${BASH_SOURCE%/*}/common.sh"
base
for mesh in 1x1 2x1 1x2 2x2 1x4; do
    dp=${mesh%x*} pp=${mesh#*x}
    train $((dp * pp)) "$mesh" --set "mesh.dp=$dp" --set "mesh.pp=$pp"
    check "$mesh: exit 0" equal "$code" 0
    check "$mesh: the ratio is exactly 1 at every step" equal "$(values "$mesh/metrics.jsonl" ratio/max_deviation)" $'0\n0\n0'
    check "$mesh: every step learned something" equal "$(values "$mesh/metrics.jsonl" grad_norm | grep -vx '[0-]' | wc -l)" 3
    grep '"step":0,' "$mesh/samples.jsonl" >"$mesh.first"
    check "$mesh: the first answers" equal "$(wc -l <"$mesh.first")" 16
    check "$mesh: the first answers are those of 1x1, bit for bit" cmp 1x1.first "$mesh.first"
    check "$mesh: answers of the first step differ" test "$(grep -o '"answer_ids":[^]]*' "$mesh.first" | sort -u | wc -l)" -gt 4
done
finish
