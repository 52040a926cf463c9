#!/bin/bash
# planner.sh PROGRAM [ROUNDS [STEPS]]: real training steps compared with the predictions of duet
# plan, on one and two ranks. Each of ROUNDS (3) rounds predicts from freshly timed passes and then
# trains STEPS (8); the fastest prediction is compared with the fastest step, and the median and the
# slowest step show how much of the machine other processes took. Batches differ in length by a
# tenth or more, so a step's time is scaled to a batch with the number of rows that the plan
# expects. A shared machine changes its speed between a plan and its run; so the last column tests
# the simulator alone: the pipeline of each round's last step against what the simulator computes
# from the mean times of that step's own passes (--set trace), median of the rounds.
set -u
program=$1 rounds=${2:-3} steps=${3:-8}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cat >"$out/recipe.yaml" <<'END'
model: {layers: 8, hidden: 256, heads: 4, max_context: 320}
data: {task: countdown, give_up: 0.25, micro_batch_tokens: 1024}
checkpoint: {every: 0}
phases: [{kind: sft, batch: 64}]
END

# steps_of ROWS: milliseconds of every step in the metrics, scaled to ROWS rows; the prompts, which
# a step has besides the tokens that it learns from, are the same in all.
steps_of() {
    sed -n 's|.*"tokens":\([0-9]*\).*"time/learn":\([0-9.e+-]*\).*|\1 \2|p' "$out/run/metrics.jsonl" |
        awk -v rows="$1" '{ n[NR] = $1 - last; last = $1; t[NR] = $2 }
            END { for (i = 1; i <= NR; i++) print 1000 * t[i] * rows / (n[i] + rows - last / NR) }'
}

printf '%-24s %12s %12s %12s %12s %12s %12s\n' 'ranks, mesh, schedule' 'predicted, ms' 'fastest, ms' 'median, ms' 'slowest, ms' 'fastest is' 'own passes'
while read -r ranks pp schedule; do
    sets=(--set "mesh.pp=$pp" --set "schedule=$schedule" --set "phases.sft.steps=$steps" --set "trace=$((steps - 1))")
    : >"$out/planned" >"$out/times" >"$out/own"
    for ((i = 0; i < rounds; i++)); do
        "$program" plan "$out/recipe.yaml" --ranks "$ranks" "${sets[@]}" >"$out/plan"
        sed -n 's/^step \([0-9.e+]*\) ms .*/\1/p' "$out/plan" >>"$out/planned"
        rm -rf "$out/run"
        launch/run.sh -n "$ranks" "$program" train "$out/recipe.yaml" "${sets[@]}" --set "out=$out/run" </dev/null >"$out/log" 2>&1 ||
            { cat "$out/log"; exit 1; }
        sed -n 's/.* measured \([0-9.]*\) ms, .* messages free: \([0-9.]*\) ms.*/\1 \2/p' "$out/log" | awk '{ print 100 * ($1 / $2 - 1) }' >>"$out/own"
        steps_of "$(sed -n 's/^step of .*, \([0-9]*\) rows; .*/\1/p' "$out/plan")" >>"$out/times"
    done
    sort -go "$out/times" "$out/times"
    awk -v own="$(sort -g "$out/own" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }')" -v p="$(sort -g "$out/planned" | head -1)" -v what="$ranks, $((ranks / pp)) x $pp, $schedule" '{ t[NR] = $1 } END {
        printf "%-24s %12.4g %12.4g %12.4g %12.4g %+10.1f %% %+10.1f %%\n", what, p, t[1], t[int((NR + 1) / 2)], t[NR], 100 * (t[1] / p - 1), own }' "$out/times"
done <<'END'
1 1 serial
2 1 serial
2 2 1f1b
2 2 zb1p
2 2 dualpipe
2 2 dualpipev
END
