#!/bin/bash
# answers.sh DUET [ANSWERS] [TOKENS]: is a step of many long answers within the memory that was
# predicted?
#
# A tiny model on 4 ranks, whose end of an answer is never sampled, writes ANSWERS (8192) answers of
# TOKENS (4096) tokens, 16 to a question, and learns from all of them, after the same with 16 of 16.
# Printed: what `duet plan` predicts for a rank, the largest resident set of a rank of both runs
# (VmHWM: it includes program, libraries and MPI, which the first shows), minutes. Exit 1 when the
# second took more beside the first than was predicted. 1024 of 4096: 18 minutes on two cores with
# thirty times their work waiting.
set -eu
duet=$(realpath "$1") answers=${2:-8192} tokens=${3:-4096}
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/duet-answers.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# recipe QUESTIONS TOKENS
recipe() {
    local context=$(($2 + 128))
    cat >recipe.yaml <<YAML
precision: bf16
watchdog_s: 0
mesh: {dp: 4, pp: 1, decode_slots: 64}
model: {layers: 1, hidden: 32, heads: 1, ffn: 32, max_context: $context, vocabulary: 128, end_tokens: "127"}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: $context, template: '{user}{/}{assistant}'}
checkpoint: {every: 0}
phases:
  - {kind: grpo, steps: 1, prompts: $1, samples: 16, max_new: $2, mini_batches: $(($1 < 8 ? $1 : 8)), lr: 1e-5, kl: 0.001, save_samples: 4}
YAML
}
ranks() { # processes of the job in this folder
    local p
    for p in $(pgrep -f "^$duet train recipe.yaml"); do
        [ "$(readlink "/proc/$p/cwd")" != "$dir" ] || echo "$p"
    done
}
# largest: runs the recipe; sets most, kB of the rank that took most, and length, tokens an answer
largest() {
    local job pid now
    rm -rf run
    most=0
    "$root/launch/run.sh" -n 4 "$duet" train recipe.yaml --set out=run >log 2>&1 &
    job=$!
    while kill -0 "$job" 2>/dev/null; do
        for pid in $(ranks); do
            now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null || true)
            [ "${now:-0}" -le "$most" ] || most=$now
        done
        sleep 0.05
    done
    wait "$job" || { cat log; exit 1; }
    length=$(sed -n 's/.*"response_length\/mean": *\([0-9.]*\).*/\1/p' run/metrics.jsonl)
}
recipe 1 16
largest
least=$most
recipe $((answers / 16)) "$tokens"
"$duet" plan recipe.yaml --ranks 4 >plan 2>&1 || { cat plan; exit 1; }
said=$(sed -n 's/^largest rank .* \([0-9.]*\)$/\1/p' plan)
start=$SECONDS
largest
[ "$said" ] && [ "$least" -gt 0 ] && [ "$most" -gt 0 ] || { echo "nothing was predicted, or no rank was seen"; cat plan; exit 1; }
awk -v n="$answers" -v l="$length" -v s="$said" -v b="$least" -v m="$most" -v t=$((SECONDS - start)) 'BEGIN {
    printf "%d answers of %d tokens: %.1f MiB a rank predicted; resident %.1f MiB, of which %.1f MiB are had without; %.1f minutes\n",
        n, l, s, m / 1024, b / 1024, t / 60
    exit (m - b) / 1024 > s }'
