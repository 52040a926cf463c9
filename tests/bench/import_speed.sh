#!/bin/bash
# import_speed.sh DUET [ROUNDS] [RANKS]: how fast model.from is read, beside the disk's own rate, by
# one rank or by RANKS pipeline stages at a time, each of which reads its own layers.
#
# Makes a folder of a Llama with 0.6 billion weights in bf16, 1.2 GB of random bits, in $TMPDIR. A
# round: the file is put out of the page cache (fincore says whether it is) and copied to /dev/null
# by dd in blocks of 8 MiB; put out again, and read by `duet train`, whose log says the rate, from
# the first tensor to masters in fp32. The host of a virtual machine may have a cache of its own,
# which both meet: so the ratio within a round counts, and the median of rounds.
set -eu
duet=$(realpath "$1") rounds=${2:-5} ranks=${3:-1}
root=$(cd "${BASH_SOURCE%/*}/../.." && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/duet-import.XXXXXX")
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/model"
cp "$root/tests/golden/bpe_qwen.json" "$dir/model/tokenizer.json"
python3 - "$dir/model" <<'PYTHON'
import json, os, sys
C, F, L, V, H, D = 2048, 8192, 8, 32768, 16, 128
shapes = {"model.embed_tokens.weight": (V, C), "model.norm.weight": (C,)}
for i in range(L):
    at = f"model.layers.{i}."
    shapes |= {at + f"self_attn.{x}_proj.weight": (C, C) for x in "qkvo"}
    shapes |= {at + f"mlp.{x}_proj.weight": (F, C) for x in ("gate", "up")}
    shapes |= {at + "mlp.down_proj.weight": (C, F)}
    shapes |= {at + f"{x}_layernorm.weight": (C,) for x in ("input", "post_attention")}
head, end = {}, 0
for name in sorted(shapes):
    begin, end = end, end + 2 * shapes[name][0] * (shapes[name] + (1,))[1]
    head[name] = dict(dtype="BF16", shape=shapes[name], data_offsets=(begin, end))
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
bits = bytes(b & 0xbf if i % 2 else b for i, b in enumerate(os.urandom(1 << 20)))  # no infinities
with open(sys.argv[1] + "/model.safetensors", "wb") as f:
    f.write(len(text).to_bytes(8, "little") + text)
    while end > 0:
        end -= f.write(bits[:end])
json.dump(dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=V, hidden_size=C, intermediate_size=F,
               num_hidden_layers=L, num_attention_heads=H, num_key_value_heads=H, head_dim=D, rms_norm_eps=1e-5, rope_theta=1e4,
               max_position_embeddings=2048, tie_word_embeddings=True, hidden_act="silu", eos_token_id=0),
          open(sys.argv[1] + "/config.json", "w"))
PYTHON
file=$dir/model/model.safetensors
sync "$file"
cat >"$dir/recipe.yaml" <<YAML
model: {from: $dir/model, max_context: 64}
schedule: 1f1b
mesh: {directions: 1, dp: 1, pp: $ranks}
data: {task: arithmetic, difficulty: 1, template: '{user}{/}{assistant}<|im_end|>', micro_batch_tokens: 64}
checkpoint: {every: 1000}
phases: [{kind: sft, steps: 0, batch: 1}]
YAML
# evict: out of the page cache
evict() {
    dd of="$file" oflag=nocache conv=notrunc,fdatasync count=0 status=none
    kept=$(fincore --bytes --noheadings --output RES "$file")
    [ "$kept" -lt 10000000 ] || echo "  (still in the page cache: $kept bytes)"
}
bytes=$(stat -c %s "$file")
for _ in $(seq "$rounds"); do
    evict
    start=$EPOCHREALTIME
    dd if="$file" of=/dev/null bs=8M status=none
    end=$EPOCHREALTIME
    evict
    "$root/launch/run.sh" -n "$ranks" "$duet" train "$dir/recipe.yaml" --set "out=$dir/run" >"$dir/out" 2>&1 &
    job=$!
    until grep -q "weights from" "$dir/out"; do kill -0 $job || { cat "$dir/out"; exit 1; }; sleep 0.1; done
    kill -TERM $job # twice: it would write gigabytes of a checkpoint
    sleep 2.5
    kill -TERM $job 2>/dev/null || true
    wait $job 2>/dev/null || true
    rm -rf "$dir/run"
    took=$(sed -nE 's/.*weights from .* GB in ([0-9.]+) s .*/\1/p' "$dir/out")
    awk -v n="$bytes" -v disk="$(awk "BEGIN { print $end - $start }")" -v duet="$took" 'BEGIN {
        printf "disk %.2f GB/s, duet %.2f GB/s: %.2f\n", 1e-9 * n / disk, 1e-9 * n / duet, disk / duet }' | tee -a "$dir/rounds"
done
sed 's/.*: //' "$dir/rounds" | sort -n | awk '{ r[NR] = $1 } END { printf "median %.2f of the disk\n", r[int((NR + 1) / 2)] }'
