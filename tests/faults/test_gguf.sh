#!/bin/bash
# test_gguf.sh DUET: `duet export --format gguf` of what cannot be: mistaken options, a name that is
# taken, a disk that is full, a job that is killed, a model that llama.cpp does not have. Under the
# name that was given there is a whole file or none, and the message says what to do.
. "${BASH_SOURCE%/*}/common.sh"
# refused NAME WORDS...: exit 2, each of the words said, no file
refused() {
    refusal "$@"
    check "$1: no file" fails ls new.gguf new.gguf.partial
}
# A model that GGUF can say, but for what SETTINGS change: made RUN MODEL-SETTINGS
made() {
    cat >"$1.yaml" <<YAML
precision: fp32
model: {layers: 2, hidden: 64, heads: 2, max_context: 128, tokenizer: $root/tests/golden/bpe_qwen.json${2:+, $2}}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 128, template: '{user}{/}{assistant}<|im_end|>'}
phases: [{kind: sft, steps: 1, batch: 4}]
YAML
    call "$duet" train "$1.yaml" --set "out=$1"
    check "the model $1: exit 0" equal "$code" 0
}
made run
echo 'a text that has been held out, 1+2=3' >text
call "$duet" export run new.gguf --format gguf --type q8_0 --text text
mv new.gguf whole.gguf # a file says its name
check "a file: exit 0" equal "$code" 0
check "a file: what it costs" grep -qE '^perplexity of text \([0-9]+ tokens in windows of 128\): [0-9.]+ before, [0-9.]+ in q8_0' out
check "a file: it is one" equal "$(head -c 4 whole.gguf)" GGUF

# --- options ---
call "$duet" export run new.gguf --format gguf --type q9_9 --text none
refused "options" '--type: "q9_9" is none of bf16, f16, f32, q8_0, q4_0, q4_1' "--text: none cannot be read: No such file" "see: duet export --help"
call "$duet" export run new.gguf --format gguff
refused "a format" '--format: "gguff" is none of hf, gguf'
call "$duet" export run new --text text
refused "--text of a folder" "--text goes with --format gguf"

# --- the name ---
call "$duet" export run whole.gguf --format gguf
refused "a file that is there" "whole.gguf: is there already: give another name (nothing is overwritten)"
call "$duet" export run run --format gguf
refused "a folder that is there" "run: is there already"
call "$duet" export run none/new.gguf --format gguf
refused "no folder to put it in" "there is no folder none: make it first"
call "$duet" export none new.gguf --format gguf
refused "no run" "none: no such folder"

# --- the disk, and a job that ends in the middle ---
ln -s /dev/full new.gguf.partial
call "$duet" export run new.gguf --format gguf
check "a full disk: exit 1" equal "$code" 1
check "a full disk: what, and what to do" grep -qE 'new.gguf: writing new.gguf: No space left on device; it needs 0\.[0-9] MB on a disk that can be written to' err
check "a full disk: nothing left" fails ls new.gguf new.gguf.partial
(ulimit -f 8 && exec "$duet" export run new.gguf --format gguf) >out 2>err
code=$?
check "a limit on files: exit 1" equal "$code" 1
check "a limit on files: said" has err "new.gguf: writing new.gguf: File too large; it needs"
check "a limit on files: nothing left" fails ls new.gguf new.gguf.partial
mkfifo new.gguf.partial # writing waits for us to read
"$duet" export run new.gguf --format gguf >out 2>err &
job=$!
head -c 4096 <new.gguf.partial >part
kill -KILL $job
wait $job 2>/dev/null
job=''
check "killed in the middle: it was writing" equal "$(head -c 4 part)" GGUF
check "killed in the middle: no file of that name" test ! -e new.gguf
rm new.gguf.partial
head -c 100 whole.gguf >new.gguf.partial # what such a job leaves
call "$duet" export run new.gguf --format gguf --type q8_0
check "again after that: exit 0" equal "$code" 0
check "again after that: the whole file" cmp new.gguf whole.gguf
check "again after that: nothing else" test ! -e new.gguf.partial
rm new.gguf

# --- what llama.cpp does not have ---
elsewhere="llama.cpp does not have this model: export it as a Hugging Face folder (--format hf)"
made dense "qk_norm: true, experts: 4, first_dense: 1, route_norm: false"
call "$duet" export dense new.gguf --format gguf
refused "experts in some layers" "experts in every layer" "norm_topk_prob (model.route_norm): llama.cpp always normalises" "new.gguf: $elsewhere"
made biased "qk_norm: true, qkv_bias: true, o_bias: true"
call "$duet" export biased new.gguf --format gguf
refused "biases that its qwen3 lacks" "attention_bias (model.qkv_bias, o_bias): llama.cpp's qwen3 has no biases" "$elsewhere"
call "$duet" export biased biased.hf
check "the same as a folder: exit 0" equal "$code" 0
made yarn "rope_scaling: yarn, rope_original: 64, rope_factor: 2, rope_beta_fast: 16"
call "$duet" export yarn new.gguf --format gguf
refused "another yarn" "beta_fast (model.rope_beta_fast): llama.cpp's yarn has beta_fast 32" "$elsewhere"
made mixture "qk_norm: true, mlp_bias: true"
call "$duet" export mixture new.gguf --format gguf
refused "a mixture that no architecture has" "no architecture of Hugging Face has this model's mixture of biases, qk_norm, heads and experts"

# --- biases of attention, some of which are there: the others are written as zeros ---
echo '{"prompt_ids": [5, 70], "answer_ids": [8, 13, 40, 9]}' >ids.jsonl
for biases in "qkv_bias: true" "o_bias: true" "qkv_bias: true, mlp_bias: true"; do
    name=some-${biases//[:, ]/-}
    made "$name" "$biases"
    call "$duet" score "$name" ids.jsonl
    mv out expected
    call "$duet" export "$name" "$name.hf"
    check "$biases: as a folder: exit 0" equal "$code" 0
    check "$biases: no tokenizer is forced on it" has "$name.hf/config.json" '"LlamaForCausalLM"'
    call "$duet" score "$name.hf" ids.jsonl --set precision=fp32
    check "$biases: the folder scores the same" cmp out expected
    call "$duet" export "$name" "$name.gguf" --format gguf --type f32
    check "$biases: as a file: exit 0" equal "$code" 0
    call "$duet" score "$name.gguf" ids.jsonl --set precision=fp32
    check "$biases: the file scores the same" cmp out expected
done
sed "s/, tokenizer: [^}]*}/}/; s/, template: .*}/}/" run.yaml >letters.yaml
call "$duet" train letters.yaml --set out=letters
call "$duet" export letters new.gguf --format gguf
refused "the built-in tokenizer" "llama.cpp has no tokenizer of this kind (WordLevel)" "$elsewhere"
finish
