#!/bin/bash
# large_data.sh DUET [GB [RANKS]]: what a data file of 10 GB costs on this host, with 4 ranks
#
# Makes a file of JSON Lines, 315 bytes each, measures how fast the disk gives it (dd, past the page
# cache), and trains a tiny model on it. Printed: seconds of a start with two steps and of a resume
# with one, from mpirun to its end, the file not in the page cache; memory of all ranks together
# (RssAnon: private, without the page cache, and the index that they share) at its peak, less that
# of the same job with 2000 lines.
# The folder is deleted at the end.
set -eu
duet=$(realpath "$1") gb=${2:-10} ranks=${3:-4}
root=$(cd "${BASH_SOURCE%/*}/../.." && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/duet-large.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
lines=$((gb * 1000000000 / 315))
awk -v n="$lines" 'BEGIN {
    split("the sum of what we take and add to a part is more than all that was there before it", word, " ")
    for (k = 0; k < 997; k++) for (i = 0; i < 60; i++) text[k] = text[k] " " word[1 + (i * i + 7 * k + i * k) % 19]
    for (i = 0; i < n; i++) {
        a = i % 1000; b = int(i / 1000)
        printf "{\"prompt\":\"%d: %d + %d?%s\",\"answer\":\"%d\",\"demonstration\":\"%d + %d is %d\"}\n", i, a, b, substr(text[i % 997], 1, 225), a + b, a, b, a + b
    } }' >large.jsonl
head -n 2000 large.jsonl >small.jsonl
cat >recipe.yaml <<'YAML'
precision: fp32
model: {layers: 2, hidden: 32, heads: 2, max_context: 1024}
mesh: {pp: 1}
data: {task: file, file: large.jsonl, micro_batch_tokens: 2048}
checkpoint: {every: 1, keep: 2}
phases: [{kind: sft, name: learn, steps: 2, batch: 8}]
YAML

# memory FOLDER: KiB of private memory of all ranks of the job that writes to it, and of the memory
# without a name that they share, each rank's part of it
memory() {
    local pid kib all=0
    for pid in $(pgrep -f "^$duet train .*out=$1( |\$)"); do
        kib=$(sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null) && all=$((all + ${kib:-0}))
        kib=$(awk '/memfd:duet/ { ours = 1 } ours && /^Pss:/ { n += $2; ours = 0 } END { print n + 0 }' "/proc/$pid/smaps" 2>/dev/null) &&
            all=$((all + ${kib:-0}))
    done
    echo $all
}
# measured FOLDER STEPS FILE: sets seconds and peak (KiB)
measured() {
    local begin=$EPOCHREALTIME now job
    peak=0
    "$root/launch/run.sh" -n "$ranks" "$duet" train recipe.yaml --resume auto --set "phases.learn.steps=$2" \
        --set "data.file=$3" --set "out=$1" >>"$1.log" 2>&1 &
    job=$!
    while kill -0 $job 2>/dev/null; do
        now=$(memory "$1")
        peak=$((now > peak ? now : peak))
        sleep 0.1
    done
    wait $job || { tail "$1.log"; exit 1; }
    seconds=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
}
say() { printf '%-44s %s\n' "$1" "$2"; }

bytes=$(stat -c %s large.jsonl)
say "lines, bytes" "$lines, $bytes"
sync large.jsonl
forget() { dd if=large.jsonl iflag=nocache count=0 status=none; } # out of the page cache
forget
say "the disk gives, GB/s" "$(dd if=large.jsonl of=/dev/null bs=4M iflag=direct 2>&1 | awk 'END { s = $(NF - 3); print $1 / s / 1e9 }')"
measured small 2 small.jsonl
say "2000 lines: seconds, MiB of all ranks" "$seconds, $((peak / 1024))"
without=$peak
measured large 2 large.jsonl
say "the file: seconds, MiB of all ranks" "$seconds, $((peak / 1024))"
say "the file: MiB for data" "$(((peak - without) / 1024))"
forget
measured large 3 large.jsonl
say "a resume: seconds" "$seconds"
