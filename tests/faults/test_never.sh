#!/bin/bash
# test_never.sh DUET: tokens that are never sampled (model.never_tokens): a model that is imported
# says which; sampler and trainer know only the others, on any mesh.
. "${BASH_SOURCE%/*}/common.sh"

golden=$root/tests/golden/hf/llama
cp -r "$golden" m
# <fill> is a token, 101, that only pads; of 102 and 103 there are rows only
sed -i 's/"<unk>": 0,/&\n   "<fill>": 101,/' m/tokenizer.json
sed -i '0,/"added_tokens": \[/s//&\n  {"id": 101, "content": "<fill>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},/' m/tokenizer.json
echo '{"eos_token": "<end>", "pad_token": "<fill>"}' >m/tokenizer_config.json
for i in {1..8}; do echo '{"prompt": "1+1", "answer": "2", "demonstration": "1+1<fill></think><answer>2</answer>"}'; done >p.jsonl
cat >r.yaml <<YAML
model: {from: m}
data: {task: file, file: p.jsonl, heldout_file: p.jsonl, micro_batch_tokens: 128}
mesh: {decode_slots: 32}
checkpoint: {every: 1, keep: 9}
phases:
  - {kind: grpo, steps: 3, prompts: 4, samples: 8, max_new: 24, lr: 1e-3, temperature: 1.5, reward_format: 0.5, kl: 0.01, save_samples: 99, save_tokens: true}
  - {kind: sft, steps: 2, batch: 4, lr: 1e-3}
YAML
recipe=r.yaml
# never FOLDER: what its model says
never() { "$duet" settings "$1" --get model.never_tokens; }
# ids NAME FILE: all ids of that member, one a line
ids() { grep -o "\"$1\":\[[^]]*\]" "$2" | grep -o '[0-9][0-9]*'; }
# numbers FILE: log-probabilities, one answer per line, with the nine digits that distinguish floats
numbers() {
    sed 's/.*"logp": *\[\([^]]*\)\].*/\1/' "$1" | awk -F ', *' '{ for (i = 1; i <= NF; i++) printf "%.9g ", $i; print "" }'
}
# less FILE FILE: every number of the first is less
less() { paste -d ' ' <(numbers "$1") <(numbers "$2") | awk '{ n = NF / 2; for (i = 1; i <= n; i++) if (!($i < $(n + i))) exit 1 }'; }
# same_answers FOLDER FOLDER: of the first step
same_answers() { cmp <(grep '"step":0,' "$1/samples.jsonl" | ids answer_ids -) <(grep '"step":0,' "$2/samples.jsonl" | ids answer_ids -); }
# nothing_of FILE IDS...: none of these was sampled
nothing_of() {
    local file=$1 id
    shift
    [ "$(ids answer_ids "$file" | wc -l)" -gt 500 ] || { echo "few tokens in $file"; return 1; }
    for id; do ids answer_ids "$file" | grep -x "$id" && return 1; done
    return 0
}

# --- which ---
check "rows without a token, and padding" equal "$(never m)" "101-103"
check "without padding" equal "$(never "$golden")" "101-103"
check "without any" equal "$("$duet" settings m --set model.never_tokens= --get model.never_tokens)" ""
cp -r m other
echo '{"eos_token": "<end>", "pad_token": {"content": "<answer>"}}' >other/tokenizer_config.json
check "another padding" equal "$(never other)" "3,102-103"
for other in '"pad_token": "<end>"' '"pad_token": "<answer>", "bos_token": "<answer>"' '"pad_token": "<answer>", "chat_template": "{{ x }}<answer>"' '"pad_token": "<none>"'; do
    echo "{\"eos_token\": \"</think>\", $other}" >other/tokenizer_config.json
    check "padding that is something else: $other" equal "$(never other)" "102-103"
done

# --- sampler and trainer, on any mesh ---
masked=5,39-64,101-103
for mesh in 1x1 dp2 pp2 tp2; do
    n=2 sets=(--set "mesh.${mesh%2}=2")
    [ $mesh = 1x1 ] && n=1 sets=()
    [ $mesh = pp2 ] && sets+=(--set schedule=dualpipe)
    train $n $mesh "${sets[@]}" --set model.never_tokens=$masked
    check "$mesh: exit 0" equal "$code" 0
    check "P2: $mesh: ratio 1" equal "$(deviations $mesh/metrics.jsonl)" "- 0"
    check "$mesh: none of them" nothing_of $mesh/samples.jsonl 5 {39..64} 101 102 103
    check "$mesh: every loss, entropy and KL is a number" hasnt $mesh/metrics.jsonl null
    grep '"step":1,' $mesh/samples.jsonl >sampled
    call "$root/launch/run.sh" -n $n --timeout 60 "$duet" score --sampled $mesh/checkpoints/step-00000001 sampled "${sets[@]}" --set schedule=auto
    check "$mesh: score --sampled: exit 0" equal "$code" 0
    check "P2: $mesh: score --sampled gives what was recorded" cmp <(numbers sampled) <(numbers out)
    call "$root/launch/run.sh" -n $n --timeout 60 "$duet" score $mesh/checkpoints/step-00000001 sampled "${sets[@]}" --set schedule=auto
    check "$mesh: score: exit 0" equal "$code" 0
    check "$mesh: score: among all tokens they are less likely" less out sampled
    check "$mesh: the same answers everywhere" same_answers 1x1 $mesh
done
train 1 open --set model.never_tokens= --set phases.sft.steps=0
check "without a mask: exit 0" equal "$code" 0
check "without a mask they are sampled" fails nothing_of open/samples.jsonl 5 {39..64}

# --- kept ---
cp -r 1x1 back
back_to 1 back
mv m gone
train 1 back --resume auto
check "resume without the folder: exit 0" equal "$code" 0
check "P5: resume: same as unbroken" alike 1x1 back
mv gone m

# --- greedy: not even the most likely one ---
call "$duet" sample m 1+1 --temperature 0 --max-new 1
answered() { sed -n '2s/ \.\.\.$//p' out; }
first=$(answered)
id=$(printf '{"text": "%s"}\n' "$first" | "$duet" tokenize m | grep -o '[0-9]*')
call "$duet" sample m 1+1 --temperature 0 --max-new 1 --set "model.never_tokens=$id"
check "the most likely token, $first ($id), is not sampled" fails equal "$(answered)" "$first"
call "$duet" sample m 1+1 --temperature 0 --max-new 1
check "without the mask it is" equal "$(answered)" "$first"

# --- demonstrations with a token that has no probability ---
has_loss() { ! grep '"phase":"sft"' "$1" | grep -v '"loss":[0-9]'; }
check "sft: a token that is never sampled stands there as text" has_loss 1x1/metrics.jsonl

# --- mistakes ---
for list in x 104 1-104 9-7 1,,2 1- -1; do
    train 1 fresh --set model.never_tokens=$list
    check "never_tokens=$list: exit 2" equal "$code" 2
    check "never_tokens=$list: says it" has err "model.never_tokens $list is not a list of token ids below 104"
done
train 1 fresh --set model.never_tokens=0-50,51-103
check "all of them: exit 2" equal "$code" 2
check "all of them" has err "leaves no token to sample"
train 1 fresh --set model.never_tokens=1
check "an end token: exit 2" equal "$code" 2
check "an end token" has err "token 1 ends an answer, but model.never_tokens has it"
train 1 fresh --set model.never_tokens=34,101-103
check "a demonstration with such a token: exit 2" equal "$code" 2
check "a demonstration with such a token" has err "p.jsonl:1: demonstrations with tokens that are never sampled: 8 of 8 (lines 1, 2, 3, 4, 5, 6, 7, 8), the first has token 34"
cp -r m gaps
sed -E 's/":([0-9]+)([,}])/":\100\2/g; s/":000/":0/' "$root/tests/golden/bpe_gpt2.json" >gaps/tokenizer.json # every hundredth id
sed -i 's/"vocab_size": 104/"vocab_size": 43000/' gaps/config.json
call "$duet" settings gaps
check "many gaps: exit 2" equal "$code" 2
check "many gaps" has err "its ids have too many gaps to be listed: give model.never_tokens"
call "$duet" score --sampled m sampled --set model.never_tokens=7-90
check "score of such a token: exit 2" equal "$code" 2
check "score of such a token" has err "is never sampled (model.never_tokens): --sampled gives it no probability"
finish
