#!/bin/bash
# test_data.sh DUET: what can be wrong with problems, demonstrations and tokenizers, and what a
# model needs of them: reported with file and line before the first step.
. "${BASH_SOURCE%/*}/common.sh"

# problems FILE FROM TO: sums of a in FROM .. TO and b in 1 .. 8
problems() {
    local a b
    for ((a = $2; a <= $3; a++)); do
        for ((b = 1; b <= 8; b++)); do
            printf '{"prompt": "%d+%d", "answer": "%d", "demonstration": "%d+%d=%d"}\n' $a $b $((a + b)) $a $b $((a + b))
        done
    done >"$1"
}
problems p.jsonl 1 6
problems h.jsonl 7 8
cat >s.yaml <<'YAML'
precision: fp32
model: {layers: 2, hidden: 32, heads: 2, max_context: 64}
mesh: {decode_slots: 16}
data: {task: file, file: p.jsonl, heldout_file: h.jsonl, micro_batch_tokens: 128}
checkpoint: {every: 2, keep: 2}
phases:
  - {kind: sft, steps: 4, batch: 8, lr: 3e-3}
YAML
{ cat s.yaml; echo '  - {kind: grpo, steps: 2, prompts: 4, samples: 4, max_new: 24, save_samples: 999, save_tokens: true}'; } >r.yaml
recipe=r.yaml
train 1 whole
check "a good file: exit 0" equal "$code" 0 || check "a good file: nothing to say of it" hasnt err warning

# --- a model without its data: only what asks for problems needs them ---
mkdir moved
mv p.jsonl h.jsonl moved
sed '/"prompt_ids"/!d' whole/samples.jsonl | head -2 >ids.jsonl
call "$duet" sample whole "1+1"
check "sample with a prompt: exit 0" equal "$code" 0
check "sample with a prompt: answers" has out "1+1<think>"
call "$duet" score whole ids.jsonl
check "score: exit 0" equal "$code" 0
check "score: a line each" times 2 out '"logp": ['
call "$duet" inspect whole
check "inspect: exit 0" equal "$code" 0
for what in "sample whole" "eval whole --prompts 4 --samples 1"; do
    # shellcheck disable=SC2086
    call "$duet" $what
    check "$what without data: exit 2" equal "$code" 2
    check "$what without data: says where it looked" has err \
        "h.jsonl: cannot read: No such file or directory (tried $dir/h.jsonl: data.heldout_file is relative to the working directory)"
    check "$what without data: says what to do" has err "; set the file with --set data.heldout_file=FILE"
    check "$what without data: does not ask for the other file" hasnt err p.jsonl
    # shellcheck disable=SC2086
    call "$duet" $what --set data.heldout_file=moved/h.jsonl
    check "$what with data: exit 0" equal "$code" 0
done
cp r.yaml moved
recipe=moved/r.yaml
train 2 fresh
check "data beside the recipe: exit 2" equal "$code" 2
check "data beside the recipe: reported once" times 1 err "p.jsonl: cannot read: No such file or directory (tried $dir/p.jsonl: data.file is relative to the working directory)"
check "data beside the recipe: found" has err "; there is one next to the recipe: --set data.file=moved/p.jsonl"
mv moved/[ph].jsonl .
recipe=r.yaml

# --- a model without its tokenizer file: the checkpoint has it ---
cp whole/checkpoints/step-*2/tokenizer.json mine.json
train 1 own --set model.tokenizer=mine.json --set phases.grpo.steps=1
check "a tokenizer file: exit 0" equal "$code" 0
rm mine.json
call "$duet" sample own "1+1"
check "sample without the tokenizer file: exit 0" equal "$code" 0
train 1 fresh --set model.tokenizer=mine.json
check "train without the tokenizer file: exit 2" equal "$code" 2
check "train without the tokenizer file: says where it looked" has err "model.tokenizer is relative to the working directory"

# --- what does not fit, is missing, or cannot be written: reported before step 0 ---

# edit FILE SED: p.jsonl changed
edit() { sed "$2" p.jsonl >"$1"; }
ones=1111111111111111111111111111111111111111111111111111111111111111111111
edit long.jsonl "7s/1+7/$ones/"
edit long-demonstration.jsonl "4s/1+4=5/$ones/"
edit no-demonstration.jsonl 's/, "demonstration.*/}/'
edit all-long.jsonl "s/demonstration\": \"/&$ones/"
edit one-demonstration.jsonl '6!s/, "demonstration.*/}/'
edit times.jsonl '4s/1+4"/1×4"/;5s/1+5=6/1×5÷1/'
edit euro.jsonl '4s/"5"/"5€"/'

# refused NAME FILE TEXT...: train on two ranks ends with 2, each text reported once, and no run
# folder
refused() {
    local name=$1 file=$2 text
    shift 2
    train 2 fresh --set "data.file=$file"
    check "P8: $name: exit 2" equal "$code" 2
    for text; do check "P8: $name: reported once" times 1 err "$text"; done
    check "$name: no run folder" test ! -e fresh
}
refused "a prompt too long" long.jsonl "long.jsonl:7: training prompts without room for an answer in model.max_context 64: 1 of 48 (line 7), the longest needs" \
    "leave them out with --set data.leave_out="
refused "a demonstration too long" long-demonstration.jsonl "long-demonstration.jsonl:4: demonstrations that do not fit model.max_context 64: 1 of 48 (line 4)"
refused "no demonstrations" no-demonstration.jsonl "no-demonstration.jsonl: no usable demonstration for sft: of 48 records 48 have none"
refused "all demonstrations too long" all-long.jsonl "all-long.jsonl: no usable demonstration for sft: of 48 records 0 have none and 48 do not fit model.max_context 64"
refused "an answer that cannot be written" euro.jsonl "euro.jsonl:4: training answers with characters that are not in the tokenizer: 1 of 48 (line 4), \"€\" (U+20AC) once: no completion could ever be right"
train 1 fresh --set data.heldout_file=long.jsonl
check "a held-out prompt too long: exit 2" equal "$code" 2
check "a held-out prompt too long: reported" has err "long.jsonl:7: held-out prompts without room for an answer"
call "$duet" eval whole --samples 1 --set data.heldout_file=long.jsonl
check "eval of a prompt too long: exit 2" equal "$code" 2
call "$duet" eval whole --samples 1 --prompts 99 --set data.heldout_file=long.jsonl --set data.leave_out=0.1
check "eval without a prompt too long: exit 0" equal "$code" 0
check "eval without a prompt too long: counts the others" has out '"prompts": 47'

# left out: the run continues, is the same on two ranks, and resumes to the bits of the unbroken run
for n in 1 2; do
    train $n left$n --set data.file=long.jsonl --set data.leave_out=0.03
    check "left out on $n: exit 0" equal "$code" 0
    check "left out on $n: one warning" times 1 err "; left out (data.leave_out is 0.03)"
done
check "left out: the same prompts on two ranks" equal "$(grep -o '"prompt":"[^"]*"' left1/samples.jsonl | sort | uniq -c)" "$(grep -o '"prompt":"[^"]*"' left2/samples.jsonl | sort | uniq -c)"
check "left out: others were asked" test "$(wc -l <left1/samples.jsonl)" -ge 32
check "left out: never asked" hasnt left1/samples.jsonl $ones
cp -r left1 back
back_to 4 back
train 1 back --set data.file=long.jsonl --set data.leave_out=0.03 --resume auto
check "left out, resumed: exit 0" equal "$code" 0
check "left out, resumed: same as unbroken" alike left1 back

train 1 times --set data.file=times.jsonl
check "characters in prompts: exit 0" equal "$code" 0
check "characters in prompts: which, where" times 1 err "times.jsonl:4: training prompts or demonstrations with characters that are not in the tokenizer: 2 of 48 (lines 4, 5), \"×\" (U+00D7) 2 times, \"÷\" (U+00F7) once; the model reads each as <unk>"
call "$duet" sample whole "3×4"
check "sample of such a prompt: exit 0" equal "$code" 0
check "sample of such a prompt: which" times 1 err "prompt 1 has characters that are not in the model's tokenizer: \"×\" (U+00D7) once; the model reads each as <unk>"

# --- answers that no completion can hold, and prompts of more than some hundred bytes ---
edit long-answer.jsonl "4s/\"5\"/\"$ones\"/; 4s/, \"demonstration.*/}/; 9s/\"2+1\"/\"$ones$ones$ones$ones$ones$ones$ones$ones\"/"
train 1 wide --set data.file=long-answer.jsonl --set model.max_context=640 --set data.micro_batch_tokens=640
check "long texts: exit 0" equal "$code" 0
check "a long prompt: fits" hasnt err "prompts without room"
check "a long answer: reported" times 1 err "long-answer.jsonl:4: training answers longer than max_new 24 or model.max_context 640 allows: 1 of 48 (line 4); no completion can be right for these"

# --- steps without anything to learn from ---
recipe=s.yaml
train 1 one --set data.file=one-demonstration.jsonl --set phases.sft.steps=12
check "one demonstration: exit 0" equal "$code" 0
check "one demonstration: the others are counted" has err "one-demonstration.jsonl:1: records without a demonstration: 47 of 48 (lines 1, 2, 3, 4, 5, 7, 8, 9 and 39 more); sft passes over them"
check "an empty batch: reported" has err "nothing to learn from, no update: of 8 demonstrations 8 are missing and 0 do not fit model.max_context 64"
check "an empty batch: counted for what they are" has one/metrics.jsonl '"data/no_demonstration":8'
check "an empty batch: not as too long" hasnt one/metrics.jsonl data/too_long
check "an empty batch: no loss, no update" equal "$(grep '"data/empty":1' one/metrics.jsonl | grep '"loss":null' | grep -c '"updates":0')" 10
check "an empty batch: never a loss of 0" hasnt one/metrics.jsonl '"loss":0,'
check "a batch with one: its loss" equal "$(grep -v data/empty one/metrics.jsonl | grep -c '"loss":[0-9]')" 2
train 1 two --set data.file=long-demonstration.jsonl --set data.leave_out=0.1 --set phases.sft.steps=6
check "one too long: counted once an epoch" equal "$(grep -c '"data/too_long":1' two/metrics.jsonl)" 1

# --- names and tokens of any length: no input is reported as our bug ---
recipe=s.yaml
long_name=$(printf 'n%.0s' {1..200}).jsonl
cp p.jsonl "$long_name"
cp p.jsonl 'quo"te\.jsonl'
for file in "$long_name" 'quo"te\.jsonl'; do
    rm -rf name
    train 1 name --set "data.file=$file" --set phases.sft.eval_every=2 --set phases.sft.max_new=8 --set phases.sft.eval_prompts=4
    check "a file called $file: exit 0" equal "$code" 0
done
check "the odd name: in the metrics" has name/metrics.jsonl '"eval/quo_te_.jsonl/pass@1"'
call "$duet" eval name --prompts 4 --samples 1
check "the odd name: JSON" has out '"task": "quo\"te\\.jsonl"'

# tokens of 600 bytes, of characters of two: what is sampled is written whole
word=$(printf 'ä%.0s' {1..300})
sed "s/\"~\"/\"~$word\"/; s/\"}\"/\"}$word\"/; s/\"|\"/\"|$word\"/" whole/checkpoints/step-*6/tokenizer.json >words.json
recipe=r.yaml
train 1 words --set model.tokenizer=words.json
check "tokens of 600 bytes: exit 0" equal "$code" 0
check "tokens of 600 bytes: sampled whole" has words/samples.jsonl "~$word"
call "$duet" sample words "1+1" --samples 4
check "tokens of 600 bytes: sample" equal "$code" 0
{ sed '/"~/,$d' words.json; printf '"'; head -c 2000000 /dev/zero | tr '\0' x; printf '"'; sed -n '/"~/s/.*":/:/p' words.json; sed '1,/"~/d' words.json; } >big.json
train 2 fresh --set model.tokenizer=big.json --set model.max_context=1024 --set data.micro_batch_tokens=1024
check "tokens of megabytes: exit 2" equal "$code" 2
check "tokens of megabytes: says what to do" times 1 err "use one with shorter tokens, or lower model.max_context"

# --- conversations: learned from, not graded ---
for i in {1..60}; do
    printf '{"messages": [{"role": "user", "content": "say %d"}, {"role": "assistant", "content": "%d"}, {"role": "user", "content": "<eos>"}, {"role": "assistant", "content": "no"}]}\n' $i $i
done >chat.jsonl
cat >chat.yaml <<'YAML'
precision: fp32
model: {layers: 2, hidden: 32, heads: 2, max_context: 64}
data: {task: file, file: chat.jsonl, micro_batch_tokens: 128}
phases:
  - {kind: sft, steps: 40, batch: 16, lr: 3e-3}
YAML
recipe=chat.yaml
train 2 chat
check "conversations: exit 0" equal "$code" 0
check "conversations: the assistant's tokens" has err "length 6" || check "conversations: the assistant's tokens" has err "length 5"
call "$duet" plan chat.yaml
check "conversations: planned" equal "$code" 0
train 1 own --set 'data.template=Q:{user}\n{/}A:{assistant}<eos>' --set data.system=r1 --set model.max_context=768 --set data.micro_batch_tokens=768 --set phases.sft.steps=2 --set out=templated
check "a template and a system prompt: exit 0" equal "$code" 0
train 1 fresh --set 'data.template=Q:{usr}{/}A:{assistant}<eos>' --set out=fresh
check "a mistaken template: exit 2" equal "$code" 2
check "a mistaken template: said" has err "data.template: "
train 1 fresh --set phases.sft.eval_every=2 --set phases.sft.max_new=8
check "conversations cannot be graded: exit 2" equal "$code" 2
check "conversations cannot be graded: said" has err "held-out problems without an answer"
check "conversations cannot be graded: what to do" has err "use the file for sft only"

# --- bad lines, refused or left out; weights ---
recipe=s.yaml
{ cat p.jsonl; echo '{"prompt": "1"'; echo '{"question": "9+9", "answer": "#### 18"}'; } >bad.jsonl
train 1 fresh --set data.file=bad.jsonl
check "a bad line: exit 2" equal "$code" 2
check "a bad line: named" has err "bad.jsonl:49: not JSON"
train 1 skipped --set data.file=bad.jsonl --set data.bad_lines=skip
check "a bad line left out: exit 0" equal "$code" 0
check "a bad line left out: counted" has err "1 of 50 lines are bad and left out (data.bad_lines is skip)"
train 2 mixed --set data.file=p.jsonl=3,h.jsonl=1
check "two files with weights: exit 0" equal "$code" 0

# --- a model's template, beside its tokenizer ---
mkdir model
cp whole/checkpoints/step-*2/tokenizer.json model
printf '{"eos_token": "<eos>", "chat_template": "{%% for m in messages %%}{{ m.role }}: {{ m.content }}{%% if m.role == '"'assistant'"' %%}<eos>{%% endif %%}{%% endfor %%}{%% if add_generation_prompt %%}assistant: {%% endif %%}"}' >model/tokenizer_config.json
printf '{"eos_token_id": [1, 0]}' >model/generation_config.json
recipe=s.yaml
train 1 modelled --set data.template=model --set model.tokenizer=model/tokenizer.json
check "a model's template: exit 0" equal "$code" 0
echo '{% macro m() %}{% endmacro %}' >model/chat_template.jinja
train 1 fresh --set data.template=model --set model.tokenizer=model/tokenizer.json
check "a template with a macro: exit 2" equal "$code" 2
check "a template with a macro: where, why" has err "model/chat_template.jinja: this chat template cannot be read: line 1: {% macro %} is not known here"
echo '{{ messages[0].content }}' >mine.jinja
train 1 fresh --set data.template=mine.jinja
check "a template that loses turns: exit 2" equal "$code" 2
check "a template that loses turns: why" has err "mine.jinja: this chat template cannot be used: it does not show what was said"
finish
