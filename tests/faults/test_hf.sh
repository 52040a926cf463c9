#!/bin/bash
# test_hf.sh DUET: Hugging Face folders (tests/golden/hf, made by transformers) score as
# transformers says, on any mesh; what is imported is exported byte for byte; what is wrong with a
# folder is named: file, tensor, reason, all of it at once.
. "${BASH_SOURCE%/*}/common.sh"
golden=$root/tests/golden/hf

# near FILE FILE: log-probabilities of both, token by token, within 1e-5 of their size
near() {
    paste <(numbers "$1") <(numbers "$2") | awk '
        NF == 0 || NF % 2 { wrong = 1 }
        { n = NF / 2; for (i = 1; i <= n; i++) { d = $i - $(n + i); s = $i < 0 ? -$i : $i
              if (d < 0) d = -d; if (!(d <= 1e-5 * (s > 1 ? s : 1))) wrong = 1 } }
        END { exit wrong || !NR }' || { echo "log-probabilities of $1 and $2 differ"; return 1; }
}
numbers() { sed 's/.*"logp": *\[\([^]]*\)\].*/\1/; s/,//g' "$1"; }
# score NAME MODEL RANKS ARGUMENTS...
score() {
    local name=$1 model=$2 n=$3
    shift 3
    call "$root/launch/run.sh" -n "$n" --timeout 60 "$duet" score "$model" "$golden/${name%% *}/logp.jsonl" --set precision=fp32 "$@"
    check "$name: exit 0" equal "$code" 0
    check "$name: transformers' numbers" near out "$golden/${name%% *}/logp.jsonl"
}
sed 's/"logp": \[-[0-9.]*/"logp": [-99.5/' "$golden/llama/logp.jsonl" >other.jsonl
for model in llama mistral qwen2 qwen3 qwen3moe yarn; do
    score "$model" "$golden/$model" 1
    score "$model on pp 2 x tp 2" "$golden/$model" 4 --set mesh.pp=2 --set mesh.tp=2
done
call "$duet" score "$golden/llama" "$golden/llama/logp.jsonl" --set precision=fp32
check "the comparison can fail" fails near out other.jsonl
cp -r "$golden/yarn" other
sed -i 's/"factor": 4.0/"factor": 2.0/' other/config.json
call "$duet" score other "$golden/yarn/logp.jsonl" --set precision=fp32
check "another factor of yarn: exit 0" equal "$code" 0
check "another factor of yarn: other numbers" fails near out "$golden/yarn/logp.jsonl"
score "llama on dp 2" "$golden/llama" 2
score "qwen3moe on ep 2" "$golden/qwen3moe" 2 --set mesh.ep=2
score "qwen3moe on ep 2 x tp 2" "$golden/qwen3moe" 4 --set mesh.ep=2 --set mesh.tp=2

# --- round trip ---
same() { for f in "$1"/*; do case $f in */logp.jsonl | */README) ;; *) cmp "$f" "$2/${f##*/}" || return 1 ;; esac; done; }
for model in mistral qwen2 qwen3 qwen3moe yarn; do
    call "$root/launch/run.sh" -n 2 --timeout 60 "$duet" import "$golden/$model" "in.$model" --set mesh.tp=2
    check "import $model: exit 0" equal "$code" 0
    call "$duet" export "in.$model" "out.$model"
    check "export $model: exit 0" equal "$code" 0
    check "export $model: every file byte for byte" same "$golden/$model" "out.$model"
done
call "$duet" import "$golden/llama" in.llama
call "$duet" export in.llama out.llama --shard-size 5KB
check "export in several files: exit 0" equal "$code" 0
check "several files" test -s out.llama/model-00002-of-0000*.safetensors
check "several files: config" cmp "$golden/llama/config.json" out.llama/config.json
score "llama again" out.llama 1
call "$duet" export in.llama one.llama
call "$duet" import one.llama in2.llama
call "$duet" export in2.llama two.llama --shard-size 5KB
check "sharded, joined, sharded: the same files" diff -r out.llama two.llama
call "$duet" export in.llama wide.llama --dtype fp32
check "in another type: exit 0" equal "$code" 0
check "in another type: config says it" has wide.llama/config.json '"dtype": "float32"'
score "llama in fp32" wide.llama 1
call "$duet" export in.llama out.llama
refusal "a folder that is there" "is there already, and not empty"
check "nothing half-written" fails test -e out.llama.partial
call "$duet" export in.llama new --shard-size 5 --dtype int8
check "options: exit 2" equal "$code" 2
check "options: both" grep -c "shard-size.*no size\|dtype.*none of" err
score "llama as a checkpoint" in.llama 2 --set mesh.pp=2
cp -r "$golden/llama" with_template
echo '{% macro m() %}{% endmacro %}{{ messages }}' >with_template/chat_template.jinja
score "llama with a template that is no business of score" with_template 1

# --- training from a folder ---
cat >hf.yaml <<YAML
model: {from: $golden/qwen3, max_context: 64}
mesh: {pp: 2}
phases: [{kind: eval, prompts: 4, samples: 2, max_new: 16}]
YAML
call "$root/launch/run.sh" -n 2 --timeout 60 "$duet" train hf.yaml
check "train: exit 0" equal "$code" 0
call "$duet" export runs/hf exported
check "after training: exit 0" equal "$code" 0
check "after training: config and tokenizer" test "$(cat exported/config.json exported/tokenizer.json)" = \
    "$(cat "$golden/qwen3/config.json" "$golden/qwen3/tokenizer.json")"
call "$duet" plan "$golden/qwen3"
check "plan of a folder: exit 0" equal "$code" 0

# --- mistakes ---
call "$duet" settings hf.yaml --set model.hidden=32 --set model.qk_norm=false --set model.tokenizer=x.json --set model.max_context=999
check "contradictions: exit 2" equal "$code" 2
for text in "model.hidden is 32" "hidden_size 16" "model.qk_norm is false" "model.tokenizer is x.json" "max_position_embeddings 64"; do
    check "contradictions: says $text" has err "$text"
done
# broken NAME WORDS...: the folder `bad` is refused, each of the words said
broken() {
    local name=$1
    shift
    call "$duet" score bad "$golden/qwen3/logp.jsonl"
    refusal "$name" "$@"
    rm -rf bad
    cp -r "$golden/qwen3" bad
}
cp -r "$golden/qwen3" bad
rm bad/model.safetensors && echo x >bad/pytorch_model.bin
broken "a pickle" "its weights are a pickle, pytorch_model.bin" "save_pretrained"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n' >bad/model.safetensors
broken "a pointer" "is a Git LFS pointer" "git lfs pull"
rm bad/model.safetensors
broken "no weights" "has neither model.safetensors"
truncate -s -2 bad/model.safetensors
broken "a file cut off" "bad/model.safetensors" "the file ends before its last tensor"
echo >>bad/model.safetensors
broken "bytes behind the end" "bytes behind the last tensor"
sed -i 's/"hidden_size": 16/"hidden_size": 24/; s/"num_hidden_layers": 2/"num_hidden_layers": 3/' bad/config.json
broken "other sizes, all of them" "its shape is [16], the model needs [24]" 'tensor "model.layers.2.self_attn.q_proj.weight": it is missing' \
    'tensor "model.layers.0.mlp.up_proj.weight"' 'tensor "model.norm.weight"'
sed -i 's/"num_hidden_layers": 2/"num_hidden_layers": 1/' bad/config.json
broken "tensors too many" 'tensor "model.layers.1.mlp.up_proj.weight": the model of config.json has none of this name'
sed -i 's/Qwen3ForCausalLM/MambaForCausalLM/' bad/config.json
broken "another architecture" 'architectures: is "MambaForCausalLM"; this program has LlamaForCausalLM'
sed -i 's/"hidden_act": "silu"/"hidden_act": "gelu", "logit_softcap": 30, "quantization_config": {"quant_method": "fp8"}/' bad/config.json
broken "members that change the model" 'hidden_act: is "gelu"' "logit_softcap: unknown member of Qwen3ForCausalLM" "quantised weights are not read"
sed -i 's/"rope_type": "default"/"rope_type": "longrope"/' bad/config.json
broken "another rotary embedding" 'its kind is "longrope"; this program computes default, llama3 and yarn'
rm bad/tokenizer.json
broken "no tokenizer" "has no tokenizer.json" "save_pretrained"
sed -i 's/"vocab_size": 104/"vocab_size": 20/' bad/config.json
broken "a vocabulary smaller than the tokenizer" 'tensor "model.embed_tokens.weight": its shape is [104, 16]'
rm -rf bad && cp -r "$golden/llama" bad
sed -i 's/00002-of/00003-of/' bad/model.safetensors.index.json
broken "an index that lies" "which the index names"
rm -rf bad && cp -r "$golden/llama" bad
sed -i '/mlp.up_proj/d' bad/model.safetensors.index.json
broken "an index that lacks one" 'tensor "model.layers.0.mlp.up_proj.weight": it is not in the index'
rm -rf bad && cp -r "$golden/llama" bad && rm bad/model-00002-of-00003.safetensors
broken "a file that is missing" "bad/model-00002-of-00003.safetensors" "cannot be opened"
rm -rf bad && cp -r "$golden/llama" bad
sed -i 's/model-00002-of/..\/model-00002-of/' bad/model.safetensors.index.json
broken "an index that leads out" "its file is no plain name in this folder"
call "$duet" import bad in.qwen3
refusal "import to what is there" "is there already"
call "$duet" import hf.yaml new
refusal "import of what is no folder" "is no Hugging Face folder"
finish
