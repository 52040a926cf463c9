#!/bin/bash
# test_imported.sh DUET: a model that was imported brings its own chat template, tokenizer and end
# tokens along: from the folder, and, once there is a checkpoint, without it.
. "${BASH_SOURCE%/*}/common.sh"

cp -r "$root/tests/golden/hf/llama" m
cat >m/tokenizer_config.json <<'JSON'
{"eos_token": "<end>",
 "chat_template": "{% for m in messages %}{% if m['role'] == 'assistant' %}A: {{ m['content'] }}<end>{% else %}{{ m['role'] }}: {{ m['content'] }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}A: {% endif %}"}
JSON
asked='user: 1+1\u000aA: <think>'
cat >r.yaml <<YAML
model: {from: $dir/m}
data: {task: file, file: p.jsonl, heldout_file: p.jsonl}
mesh: {decode_slots: 16}
checkpoint: {every: 1, keep: 9}
phases:
  - {kind: sft, steps: 2, batch: 2, lr: 1e-3}
  - {kind: grpo, steps: 4, prompts: 1, samples: 4, max_new: 8, lr: 1e-3, reward_format: 0.5, save_samples: 9, save_tokens: true}
YAML
for i in {1..8}; do echo '{"prompt": "1+1", "answer": "2", "demonstration": "1+1</think><answer>2</answer>"}'; done >p.jsonl
# spoken RUN TEXT: its first question, as text
spoken() {
    sed -nE 's/.*"prompt_ids":(\[[^]]*\]).*/{"ids": \1}/p' "$1/samples.jsonl" | head -1 >ids.jsonl
    has <("$duet" tokenize "$1" --decode ids.jsonl) "\"$2\""
}
# says MODEL NAME ARGUMENTS...: what it answers, kept as said.NAME
says() {
    local model=$1 name=$2
    shift 2
    call "$duet" sample "$model" "1+1" --max-new 12 --seed 3 "$@"
    check "sample $name: exit 0" equal "$code" 0
    cp out "said.$name"
}

# --- from the folder ---
recipe=r.yaml
train 1 whole
check "train: exit 0" equal "$code" 0
check "train: through the template" spoken whole "$asked"
check "train: the recipe says so" has whole/recipe.yaml 'template: "model"'
train 1 bare --set data.template= --set phases.sft.steps=0
check "an empty template: bare" spoken bare "1+1<think>"
train 1 own --set 'data.template=Q{user}{/}A{assistant}<end>' --set phases.sft.steps=0
check "a template of one's own" spoken own "Q1+1A<think>"
says m folder
check "a folder is asked as its makers do" equal "$(head -n 1 said.folder)" "1+1" # and no <think> behind it
says m thinking --set data.think=true
check "and with a thought, if that is wanted" has said.thinking "1+1<think>"
says whole trained
check "a run that was trained with one is asked with one" has said.trained "1+1<think>"
says m bare --set data.template=
check "the template makes a difference" fails cmp said.folder said.bare
call "$duet" import m in
check "import: exit 0" equal "$code" 0

# --- without it ---
mv m gone
for model in in whole in/checkpoints/step-00000000; do
    echo '{"messages": [{"role": "user", "content": "1+1"}], "add_generation_prompt": true}' >chat.jsonl
    call "$duet" tokenize --chat $model chat.jsonl
    check "tokenize --chat $model: its template" has out '"user: 1+1\u000aA: "'
done
says in import
check "what was imported answers as the folder" cmp said.folder said.import
says whole whole
call "$duet" eval whole --prompts 2 --samples 1
check "eval: exit 0" equal "$code" 0
cp -r whole back
back_to 4 back
train 1 back --resume auto
check "resume: exit 0" equal "$code" 0
check "resume: nothing of it has changed" hasnt err "was saved with other settings"
check "P5: resume without the folder: same as unbroken" alike whole back
check "resume: the same recipe" cmp <(sed '/^out:/d' whole/recipe.yaml) <(sed '/^out:/d' back/recipe.yaml)
for from in in whole in/checkpoints in/checkpoints/latest; do
    train 1 next --set "model.from=$from" --set phases.sft.steps=0
    check "from $from: exit 0" equal "$code" 0
    check "from $from: through the template" spoken next "$asked"
    rm -rf next
done
train 1 next --set model.from=bare --set phases.sft.steps=0
check "from a run that was bare: bare" spoken next "1+1<think>"
train 1 fresh --set model.from=in --set model.hidden=32
check "another size: exit 2" equal "$code" 2
check "another size: which" has err model.hidden
train 1 fresh
check "no folder, no run: exit 2" equal "$code" 2

# --- a template that cannot be evaluated stops who would speak through it ---
cp -r gone bad
sed -i 's/{% for m/{% macro x %}{% for m/' bad/tokenizer_config.json
call "$duet" score bad "$root/tests/golden/hf/llama/logp.jsonl"
check "score without a usable template: exit 0" equal "$code" 0
call "$duet" import bad in.bad
check "import without a usable template: exit 0" equal "$code" 0
for model in bad in.bad; do
    call "$duet" sample $model "1+1"
    check "sample $model: exit 2" equal "$code" 2
    check "sample $model: which file" has err tokenizer_config.json
    check "sample $model: the way out" has err "data.template with {user} and {assistant}"
    says $model way.out --set 'data.template=Q{user}{/}A{assistant}<end>'
done
finish
