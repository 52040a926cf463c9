#!/bin/bash
# compare_runs.sh [--curves] RUN_A RUN_B: are these the same run, bit for bit? Compares
# metrics.jsonl without its clock readings, samples.jsonl, and the shards of the last checkpoint
# byte by byte. --curves: no shards, and no bytes and checksums of what sites exchange, since other
# buckets and placements lay out both otherwise. Names the first difference; exit 1 when there is
# one, 2 when something to compare is missing.
set -u
curves=
[ "${1:-}" = --curves ] && curves=1 && shift
[ $# -eq 2 ] || { echo "usage: compare_runs.sh [--curves] RUN_A RUN_B" >&2; exit 2; }
a=$1 b=$2

# As metrics_is_clock (trainer/observe/metrics.h): values that depend on a wall clock.
without_clocks() {
    sed -E 's/"(time\/[^"]*|rollout\/[^"]*|pipeline\/[^"]*|tokens_per_second|mfu|sites\/[^"]*_seconds'"${curves:+|sites\/checksum|sites\/bytes}"')": *[^,}]*(, *)?//g' "$1"
}
differ() { echo "compare_runs: $a and $b differ: $*"; exit 1; }
need() { [ -s "$1" ] || { echo "compare_runs: $1 is missing or empty" >&2; exit 2; }; }

need "$a/metrics.jsonl"
need "$b/metrics.jsonl"
line=$(cmp <(without_clocks "$a/metrics.jsonl") <(without_clocks "$b/metrics.jsonl") 2>&1 | sed -n 's/.*EOF on.*/end/p;t;s/.*line \([0-9]*\)$/\1/p')
if [ "$line" = end ]; then
    differ "metrics.jsonl has $(wc -l <"$a/metrics.jsonl") and $(wc -l <"$b/metrics.jsonl") lines"
elif [ -n "$line" ]; then
    for run in "$a" "$b"; do without_clocks "$run/metrics.jsonl" | sed -n "${line}p"; done
    differ "line $line of metrics.jsonl, above"
fi
if [ -e "$a/samples.jsonl" ] || [ -e "$b/samples.jsonl" ]; then
    cmp "$a/samples.jsonl" "$b/samples.jsonl" || differ samples.jsonl
fi

if [ $curves ]; then
    echo "compare_runs: same metrics ($(wc -l <"$a/metrics.jsonl") lines)"
    exit
fi
need "$a/checkpoints/latest"
need "$b/checkpoints/latest"
step=$(cat "$a/checkpoints/latest")
[ "$step" = "$(cat "$b/checkpoints/latest")" ] || differ "last checkpoint $step and $(cat "$b/checkpoints/latest")"
shards=$(cd "$a/checkpoints/$step" && ls shard-*.h5) || exit 2
[ "$shards" = "$(cd "$b/checkpoints/$step" && ls shard-*.h5)" ] || differ "shards of $step"
for shard in $shards; do
    cmp "$a/checkpoints/$step/$shard" "$b/checkpoints/$step/$shard" || differ "$step/$shard"
done
echo "compare_runs: same metrics ($(wc -l <"$a/metrics.jsonl") lines), same tensors in $step ($(wc -w <<<"$shards") shards)"
