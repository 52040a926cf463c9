#!/bin/bash
# long.sh DUET TOKENIZER [LAYERS [RECOMPUTE [TOKENS...]]]: does memory grow in proportion to the
# length of a sequence?
#
# A model of SmolLM2-135M's sizes with LAYERS (2) of its 30 layers and the tokenizer.json given
# learns one text of 4,096, 8,192, 16,384 and 32,768 tokens (or TOKENS, each twice the former), a
# step each, with mesh.recompute as given (none). Printed: what the run says it takes (model,
# gradients, activations) and the largest resident set (GNU time), both also as what a token more
# costs; seconds of the step; the norm of its gradient, which RECOMPUTE does not change.
set -eu
duet=$(realpath "$1") tokenizer=$(realpath "$2") layers=${3:-2} recompute=${4:-none}
shift $(($# < 4 ? $# : 4))
[ $# -gt 0 ] || set -- 4096 8192 16384 32768
dir=$(mktemp -d "${TMPDIR:-/tmp}/duet-long.XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir"
before=0 rss_before=0 tokens_before=0
for tokens; do
    awk -v n=$((tokens - 64)) 'BEGIN {
        split("the sea is wide and deep so a ship that goes on it for long needs a good crew and much bread", word, " ")
        printf "{\"text\": \"the"
        for (i = 0; i < n; i++) printf " %s", word[1 + i * i % 13 + i % 8]
        print "\"}" }' >text.jsonl
    cat >recipe.yaml <<YAML
precision: bf16
model: {layers: $layers, hidden: 576, heads: 9, kv_heads: 3, head_dim: 64, ffn: 1536, tied: true, max_context: $tokens, tokenizer: $tokenizer}
mesh: {directions: 1, micro_batches: 1, recompute: $recompute}
data: {task: file, file: text.jsonl, heldout_file: text.jsonl, micro_batch_tokens: $tokens, template: '{user}{/}{assistant}<|im_end|>'}
checkpoint: {every: 1000}
phases: [{kind: sft, steps: 1, batch: 1}]
YAML
    TIME='%M' command time -o rss "$duet" train recipe.yaml --set "out=run" >log 2>&1 || { cat log; exit 1; }
    said=$(sed -nE 's/.*activations ([0-9.]+) MiB.*/\1/p' log) seconds=$(sed -nE 's|.*"time/step":([0-9.]+).*|\1|p' run/metrics.jsonl)
    norm=$(sed -nE 's|.*"grad_norm":([0-9.e+-]+).*|\1|p' run/metrics.jsonl)
    rm -rf run
    awk -v t="$tokens" -v m="$said" -v r="$(tail -n 1 rss)" -v s="${seconds:-0}" -v norm="$norm" -v t0="$tokens_before" -v m0="$before" -v r0="$rss_before" 'BEGIN {
        printf "%6d tokens: %8.1f MiB said, resident %8.1f MiB, step %6.1f s, norm %s", t, m, r / 1024, s, norm
        if (t0) printf "; a token more: %.1f KiB, resident %.1f KiB", (m - m0) * 1024 / (t - t0), (r - r0) / (t - t0)
        print "" }'
    before=$said rss_before=$(tail -n 1 rss) tokens_before=$tokens
done
