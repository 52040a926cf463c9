#!/bin/bash
# test_data.sh DUET: what can be wrong with problems, demonstrations and tokenizers, and what a model needs of them: told at the start, by
# file and line, before a step is taken.
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
check "a good file: exit 0" equal "$code" 0 || finish
check "a good file: nothing to say of it" hasnt err warning

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
    check "$what without data: says what to do" has err "; name the file with --set data.heldout_file=FILE"
    check "$what without data: does not ask for the other file" hasnt err p.jsonl
    # shellcheck disable=SC2086
    call "$duet" $what --set data.heldout_file=moved/h.jsonl
    check "$what with data: exit 0" equal "$code" 0
done
cp r.yaml moved
recipe=moved/r.yaml
train 2 fresh
check "data beside the recipe: exit 2" equal "$code" 2
check "data beside the recipe: said once" times 1 err "p.jsonl: cannot read: No such file or directory (tried $dir/p.jsonl: data.file is relative to the working directory)"
check "data beside the recipe: found" has err "; it stands beside the recipe: --set data.file=moved/p.jsonl"
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
finish
