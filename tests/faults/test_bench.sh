#!/bin/bash
# test_bench.sh DUET: the benchmarks on a tiny model: one line of JSON with the documented keys and
# figures that are consistent with each other and with the model's shape; mistakes exit 2, all
# reported.
set -u
[ -x "$1" ] || { echo "no program at $1"; exit 1; }
command -v python3 >/dev/null || { echo "python3 is missing: it reads the JSON"; exit 77; }
duet=$(realpath "$1")
root=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0

fail() {
    echo "FAIL $1"
    head -n 20 out err
    failed=1
}

# expect CODE WORDS...: runs a command, expects the exit code
expect() {
    local want=$1 code
    shift
    "$@" >out 2>err </dev/null
    code=$?
    [ "$code" -eq "$want" ] || fail "$*: exit $code, not $want"
}

# holds CONDITION...: each is true of the object o on the one line of out
holds() {
    python3 -c '
import json, sys
(line,) = open("out").read().splitlines()
o = json.loads(line)
def spread(x): return 0 < x["min"] <= x["median"] <= x["max"]
def near(a, b): return abs(a / b - 1) < 1e-4
def median(key): return o[key]["median"]
def rows(): return {r["op"]: r for r in o["profile"]["rows"]}
wrong = [c for c in sys.argv[1:] if not eval(c)]
sys.exit("not so: %s\n%s" % (wrong, line) if wrong else 0)' "$@" 2>>err || fail "$1 ..."
}

has() { grep -qF -- "$1" err || fail "no \"$1\""; }

tiny=(--layers 2 --hidden 32 --ffn 64 --heads 4 --kv-heads 2 --steps 1)
# Projections of 4 + 2 * 2 heads of 8, the output, three FFN matrices a layer; the head.
matrix='o["model"]["from"] is None and o["model"]["matrix_parameters"] == 2 * (64*32 + 32*32 + 3*64*32) + o["model"]["vocabulary"] * 32'

expect 0 "$duet" bench train "${tiny[@]}" --sequence 24 --tokens 96
holds "$matrix" 'o["bench"] == "train"' 'o["precision"] == "bf16"' 'o["machine"]["ranks"] == 1' \
    'o["tokens_per_step"] == 96' 'o["tokens_per_sequence"] == 24' \
    'o["flop_per_token"] == 6 * o["model"]["matrix_parameters"]' \
    'o["attention_flop_per_token"] == 12 * 2 * 32 * (24 + 1) / 2' \
    'all(spread(o[k]) for k in ["seconds_per_step", "processor_share", "reduce_and_update_seconds"])' \
    'all(spread(o[k]) for k in ["tokens_per_second", "gflop_per_second", "library_gflop_per_second"])' \
    'all(spread(o[k]) for k in ["fraction_of_library", "fraction_of_library_by_processor"])' \
    'all(spread(o[k]) for k in ["gflop_per_processor_second", "library_gflop_per_processor_second"])' \
    'near(median("gflop_per_processor_second") * median("processor_share"), median("gflop_per_second"))' \
    'near(median("tokens_per_second") * median("seconds_per_step"), 96)' \
    'near(median("tokens_per_second") * o["flop_per_token"], 1e9 * median("gflop_per_second"))' \
    'near(median("fraction_of_library"), median("gflop_per_second") / median("library_gflop_per_second"))' \
    'o["library_type"] in ("fp32", "bf16") and o["library_fp32_gflop_per_second_per_rank"] > 0' \
    'abs(o["loss"] - __import__("math").log(o["model"]["vocabulary"])) < 0.1' # untrained: a guess

# How busy the machine was is said, by the same limits as in trainer/bench/busy.h.
holds 'o["machine"]["cores"] >= 1 and o["machine"]["load_average"] >= 0' \
    'o["machine"]["busy"] == (median("processor_share") < 0.9 or o["machine"]["load_average"] > o["machine"]["cores"] + 1 or o["machine"]["steal_share"] > 0.02)' \
    '"profile" not in o'

# Times by operation. Products are counted as by hand: 2 operations a row and parameter in each of
# the three directions. What is outside the table is little, by processor time.
middle=(--layers 2 --hidden 192 --ffn 512 --heads 4 --kv-heads 2 --steps 2)
expect 0 "$duet" bench train "${middle[@]}" --sequence 64 --tokens 512 --profile
holds 'o["profile"]["steps"] == 2 and o["profile"]["memory_gb_per_second"] > 0' \
    'all(near(rows()["linear_" + k]["gflop"] * 1e9, 2 * o["model"]["matrix_parameters"] * 512) for k in ["forward", "backward_input", "backward_weight"])' \
    'near(rows()["attention_forward"]["gflop"] * 1e9, o["attention_flop_per_token"] * 512 / 3)' \
    'near(sum(r["processor_seconds"] for r in rows().values()) + o["profile"]["outside_processor_seconds"], o["profile"]["processor_seconds"])' \
    '0 <= o["profile"]["outside_processor_seconds"] < 0.1 * o["profile"]["processor_seconds"]' \
    'near(rows()["adamw_step"]["gb"] * 1e9, o["model"]["parameters"] * 30)' \
    'all(near(r["share_of_limit"], r["limit_seconds"] / r["processor_seconds"]) for r in rows().values())'
expect 0 "$duet" bench decode "${middle[@]}" --slots 8 --samples 4 --prompt 5 --answer 7 --profile --text
grep -q '^linear_forward  *[0-9].* %' out && grep -q '^outside .*messages, waiting' out || fail "no table"

# A run, too: the same bits with and without, and a table at the end.
printf 'model: {layers: 2, hidden: 32, heads: 2, max_context: 64}\ndata: {task: arithmetic}\ncheckpoint: {every: 0}\nphases:\n  - {kind: sft, steps: 2, batch: 4}\n  - {kind: grpo, steps: 1, prompts: 2, samples: 2, max_new: 16}\n' >recipe.yaml
expect 0 "$duet" train recipe.yaml --set out=plain
expect 0 "$duet" train recipe.yaml --set out=timed --profile
grep -q '^one step: .* means of 3' out && grep -q '^linear_forward  *[0-9]' out && grep -q '^attention_cached ' out || fail "no table"
expect 0 "$root/tests/support/compare_runs.sh" plain timed

expect 0 "$root/launch/run.sh" -n 2 --timeout 60 "$duet" bench train "${tiny[@]}" --sequence 24 \
    --tokens 96 --precision fp32 --set mesh.pp=2
holds 'o["machine"]["ranks"] == 2' 'o["machine"]["pp"] == 2' 'o["precision"] == "fp32"' \
    'o["tokens_per_step"] == 96' 'o["library_bf16_gflop_per_second_per_rank"] is None'

# Activations computed again: of eight layers a good deal less is kept.
for recompute in none full; do
    expect 0 "$duet" bench train "${tiny[@]}" --layers 8 --sequence 24 --tokens 96 --set "mesh.recompute=$recompute"
    holds "o['recompute'] == '$recompute'" 'o["activation_bytes"] > 0'
    cp out "$recompute"
done
python3 -c 'import json; bytes = [json.load(open(f))["activation_bytes"] for f in ("none", "full")]; assert 2 * bytes[1] < bytes[0], bytes' \
    2>err || fail "activations of none and full"

expect 0 "$duet" bench decode "${tiny[@]}" --slots 8 --samples 4 --prompt 5 --answer 7
holds "$matrix" 'o["bench"] == "decode"' 'o["slots"] == 8' 'o["answer_tokens"] == 7' \
    'all(spread(o[k]) for k in ["seconds_per_rollout", "processor_share", "tokens_per_second"])' \
    'all(spread(o[k]) for k in ["products_seconds", "products_fraction", "products_fraction_by_processor"])' \
    'near(median("tokens_per_second") * median("seconds_per_rollout"), 8 * 7)' \
    'near(median("products_fraction"), median("products_seconds") / median("seconds_per_rollout"))'

# A model of one's own: a folder, a GGUF file, a run; sizes and weights are its own.
golden=$root/tests/golden
short=(--sequence 24 --tokens 96 --slots 8 --samples 4 --prompt 5 --answer 7 --steps 1)
# heads of 6; projections of 4 + 2 * 2 heads, the output, three FFN matrices a layer; the head
qwen3='o["model"]["matrix_parameters"] == 2 * (48*16 + 16*24 + 3*24*16) + 104 * 16'
expect 0 "$duet" bench decode "$golden/hf/qwen3" "${short[@]}"
holds "$qwen3" 'o["bench"] == "decode"' 'o["model"]["from"].endswith("hf/qwen3")' \
    'near(median("tokens_per_second") * median("seconds_per_rollout"), 8 * 7)' \
    'o["slots"] == 8' 'spread(o["products_fraction"])'
expect 0 "$duet" import "$golden/hf/qwen3" run
for model in "$golden/hf/qwen3" run; do
    expect 0 "$duet" bench train "$model" "${short[@]}" --precision fp32
    holds "$qwen3" 'o["precision"] == "fp32"' 'o["tokens_per_step"] == 96' \
        'spread(o["fraction_of_library"])'
    python3 -c 'import json; print(json.load(open("out"))["loss"])' >"loss.${model##*/}"
done
# the loss of the file's weights: a guess would be log 104 = 4.64
cmp -s loss.qwen3 loss.run && grep -q ^5.370 loss.run || fail "the folder and its import differ"
expect 0 "$root/launch/run.sh" -n 2 --timeout 60 "$duet" bench train run "${short[@]}" \
    --set mesh.pp=2
holds "$qwen3" 'o["machine"]["pp"] == 2' 'o["precision"] == "bf16"'
expect 0 "$duet" bench decode "$golden/tiny_llama.gguf" "${short[@]}" --precision fp32
holds 'o["model"]["from"].endswith("tiny_llama.gguf")' 'o["precision"] == "fp32"'

# The shape of a model alone: a config.json without weights. They are drawn, so the loss is a guess.
mkdir shape
cp "$golden/hf/qwen3/config.json" shape
expect 0 "$duet" bench train shape "${short[@]}" --precision fp32
holds "$qwen3" 'o["model"]["from"] == "shape"' 'o["model"]["vocabulary"] == 104' \
    'o["model"]["kv_heads"] == 2' 'abs(o["loss"] - __import__("math").log(104)) < 0.1'
expect 0 "$duet" bench decode shape "${short[@]}"
holds "$qwen3" 'o["precision"] == "bf16"' 'spread(o["products_fraction"])'
expect 2 "$duet" bench train shape --hidden 64
has "--hidden is of a synthetic model: the sizes of shape are its own"
sed 's/"qwen3"/"qwen9"/; s/Qwen3For/Qwen9For/' "$golden/hf/qwen3/config.json" >shape/config.json
expect 2 "$duet" bench train shape "${short[@]}"
has Qwen9For
cp "$golden/hf/qwen3/config.json" shape
touch shape/model.safetensors # weights that cannot be read are no shape
expect 2 "$duet" bench train shape "${short[@]}"
has model.safetensors

# What exactness costs: each operation beside its free version.
expect 0 "$duet" bench exactness --hidden 64 --ffn 96 --heads 4 --mib 1 --steps 2
holds 'o["bench"] == "exactness" and o["machine"]["ranks"] == 1' \
    '[(r["what"], r["rows"]) for r in o["results"]] == [("forward", n) for n in (1, 8, 64, 256, 1024)] + [("input gradient", 1024), ("weight gradient", 1024), ("norm", 0)]' \
    'all(spread(r[k]) for r in o["results"] for k in ["exact_seconds", "free_seconds"])' \
    'all(r["cost"]["min"] > -1 for r in o["results"])' \
    'o["results"][4]["exact_seconds"]["min"] > 4 * o["results"][2]["exact_seconds"]["min"]'
expect 0 "$root/launch/run.sh" -n 2 --timeout 60 "$duet" bench exactness --hidden 64 --ffn 96 \
    --heads 4 --mib 1 --steps 1 --text
grep -q '^reduction .* %' out && grep -q '^weight gradient  *1024 .* %' out || fail "no table"
expect 2 "$duet" bench exactness --hidden 64 --heads 5
has "--heads: 5 do not divide the hidden size of 64"

expect 2 "$duet" bench train run --layers 2 --kv-heads 0
has "--layers is of a synthetic model: the sizes of run are its own"; has "--kv-heads is of"
expect 2 "$duet" bench reduce run
has "reduce needs no model: leave out run"
expect 2 "$duet" bench decode run --set model.max_context=32
has "--answer 128 leaves no room for the prompt in the model's context of 32 tokens"
expect 2 "$duet" bench train run --sequence 40 --set model.max_context=32
has "model.max_context 32 is too short for 41 tokens"
expect 2 "$duet" bench decode nowhere
has nowhere

# The paced pipeline: rows take the given time or longer, and nothing ends before it can. Two ranks
# per stage exchange.
pipeline=(--stages 2 --schedules 1f1b,dualpipe,dualpipev --pass-ms 2 --chunk-layers 2 --steps 1)
expect 0 "$root/launch/run.sh" -n 4 --timeout 60 "$duet" bench pipeline "${pipeline[@]}"
holds 'o["bench"] == "pipeline"' 'o["ranks"] == 4' 'len(o["results"]) == 8' \
    'o["overlap"]["bytes"] == 64 << 20 and spread(o["overlap"]["seconds_alone"])' \
    '[r["schedule"] for r in o["results"]] == 2 * ["1f1b"] + 3 * ["dualpipe"] + 3 * ["dualpipev"]' \
    '[r["pair_in_turn"] for r in o["results"]] == 2 * [False] + 2 * [True, False, True]' \
    '[r["unpaired_interleaved"] for r in o["results"]] == [False, True] + 2 * [False, False, True]' \
    'all(r["ranks_per_stage"] == 2 and r["micro_batches"] == 6 for r in o["results"])' \
    'all(spread(r["seconds_per_step"]) for r in o["results"])' \
    'all(r["seconds_per_step"]["min"] > 0.95 * r["seconds_per_step_simulated"] for r in o["results"][:3])' \
    'all(v["min"] > 0 and r["first_chunk_row_seconds_given"].get(k, k == "interleaved") > 0 for r in o["results"] for k, v in r["row_seconds"].items())' \
    'near(o["results"][0]["first_chunk_row_seconds_given"]["F"], 4e-3)' \
    'near(o["results"][0]["worst_idle_seconds_simulated"], o["results"][0]["worst_idle_seconds_formula"])' \
    'o["results"][0]["speed_of_1f1b"]["median"] == 1'
expect 0 "$root/launch/run.sh" -n 2 --timeout 60 "$duet" bench pipeline "${pipeline[@]}" --text
grep -q "^dualpipev, all .*|.*|" out && grep -q "^dualpipev, off .*|.*|" out || fail "no table"

expect 0 "$root/launch/run.sh" -n 2 --timeout 60 "$duet" bench pipeline --stages 2 --schedules 1f1b,auto \
    --pass-ms 2 --chunk-layers 2 --steps 1 --shares 2,1,1,3
holds '[r["schedule"] for r in o["results"]][:3] == ["1f1b", "1f1b", "auto"]' \
    'near(o["results"][0]["first_chunk_row_seconds_given"]["F"], 6e-3)' \
    'o["results"][2]["seconds_per_step_simulated"] <= o["results"][0]["seconds_per_step_simulated"]' \
    'all(r["worst_idle_seconds_formula"] is None for r in o["results"])'

expect 2 "$duet" bench pipeline --stages 2,x --schedules 1f1b,zigzag --shares 1,,2
has "1,,2 is not a list"; has "2,x is not a list"; has "zigzag"
expect 2 "$duet" bench pipeline --members 0 --pass-ms 0
has "--members: 0"; has "--pass-ms: 0"
expect 2 "$duet" bench pipeline --stages 4
has "4 stages need that many ranks, but there is 1: launch/run.sh -n 8"

# Reductions on two simulated nodes: path nodes gives the same bits, and sends the predicted number
# of bytes.
expect 0 "$root/launch/run.sh" -n 4 --timeout 60 "$duet" bench reduce --mib 2 --node-ranks 2 --steps 2
holds 'o["bench"] == "reduce"' 'o["ranks"] == 4 and o["nodes"] == 2' 'len(o["results"]) == 8' \
    'all(w["bytes"] == w["bytes_predicted"] for w in o["results"])' \
    '[w["busiest_link_bytes_predicted"] for w in o["results"]][:2] == [2 << 20, 2 << 20]' \
    'o["results"][1]["way"] == "nodes" and o["results"][1]["same_bits"]' \
    'all(spread(w["seconds"]) and spread(w["gain"]) for w in o["results"])'
expect 2 "$root/launch/run.sh" -n 4 --timeout 60 "$duet" bench reduce --ways flat,node --node-ranks 3
has "--ways: unknown way node; did you mean nodes?"; has "--node-ranks: 3 does not divide 4"
expect 2 "$duet" bench reduce --mib 0
has "--mib: 0"

expect 2 "$duet" bench decod --steps 0 --samples 5
has "unknown benchmark decod"; has "did you mean decode?"; has "--steps: 0"; has "--samples: 5"
expect 2 "$duet" bench train --layers 0 --precision fp31
has "layers: 0 is not in the range"; has "fp31"
expect 2 "$duet" bench train --sequence 64 --set model.max_context=32
has "model.max_context 32 is too short for 65 tokens"
expect 2 "$root/launch/run.sh" -n 2 --timeout 60 "$duet" bench decode
has "decode measures one rank, not 2"

exit $failed
