#!/bin/bash
# test_eval.sh DUET: evaluations count each held-out problem once, and not more than there are.
. "${BASH_SOURCE%/*}/common.sh"

# records A B: problems a+b with a from 1 to 8, b from A to B, as JSON Lines
records() {
    local a b
    for b in $(seq "$1" "$2"); do
        for a in 1 2 3 4 5 6 7 8; do
            echo "{\"prompt\": \"$a+$b\", \"answer\": \"$((a + b))\", \"demonstration\": \"$a+$b=$((a + b))\"}"
        done
    done
}
records 1 6 >p.jsonl
records 7 8 >h.jsonl
cat >s.yaml <<'YAML'
precision: fp32
model: {layers: 2, hidden: 32, heads: 2, max_context: 64}
mesh: {decode_slots: 16}
data: {task: file, file: p.jsonl, heldout_file: h.jsonl, micro_batch_tokens: 128}
phases:
  - {kind: sft, steps: 4, batch: 8, lr: 3e-3, max_new: 24, eval_every: 4, eval_prompts: 40}
  - {kind: eval, prompts: 20, samples: 2, max_new: 24}
YAML
recipe=s.yaml

# value FILE NAME: of the number, text or null with that name in a line of JSON; "absent" when there
# is none
value() {
    local found
    found=$(sed -nE "s|.*\"$2\": ?(\"[^\"]*\"\|[^,}]*).*|\1|p" "$1")
    echo "${found:-absent}"
}

# --- each problem once, and how many there were ---
train 1 run
check "train: exit 0" equal "$code" 0
check "log: as many as there are" has err "all 16 problems available, 20 requested; answers per problem: 2"
sed -n 4p run/metrics.jsonl >line
check "eval_every: problems" equal "$(value line eval/p.jsonl/problems)" 16
check "eval_every: asked for" equal "$(value line eval/p.jsonl/problems_asked)" 40
tail -1 run/metrics.jsonl >line
check "phase: problems" equal "$(value line eval/p.jsonl/problems)" 16
check "phase: asked for" equal "$(value line eval/p.jsonl/problems_asked)" 20
check "milestone: problems and asked for" grep -qE '"asked": ?20,.*"prompts": ?16' "run/checkpoints/$(cat run/checkpoints/latest)/manifest.json"

# --- another file completely, or the training file's held-out tenth; and the output says which ---
records 9 12 >own.jsonl
call "$duet" eval run --samples 1 --max-new 4 --set data.file=own.jsonl
check "own file: exit 0" equal "$code" 0
check "own file: all of it" equal "$(value out prompts) $(value out asked)" "32 32"
check "own file: reported" equal "$(value out source)" '"all 32 problems of own.jsonl"'
check "one sample: pass@1 once, no majority" equal "$(grep -o '"[a-z]*@[0-9]*"' out)" '"pass@1"'
call "$duet" eval run --prompts 5 --samples 1 --max-new 4 --set data.file=own.jsonl
check "own file, some: five of it" equal "$(value out prompts) $(value out source)" '5 "all 32 problems of own.jsonl"'
call "$duet" eval run --samples 1 --max-new 4
check "the recipe's held-out file" equal "$(value out prompts) $(value out source)" '16 "all 16 problems of h.jsonl"'
call "$duet" eval run --samples 1 --max-new 4 --set data.heldout_file=
check "the training file: a tenth, said" grep -qE '"source": "the held-out tenth of p.jsonl: ([0-9]+) of its 48 problems"' out
ln p.jsonl linked.jsonl
call "$duet" eval run --samples 1 --max-new 4 --set data.file=linked.jsonl
check "the training file by another name: its held-out file" has out "all 16 problems of h.jsonl"
records 1 1 | head -1 >'a"b.jsonl'
call "$duet" eval run --samples 1 --max-new 4 --set 'data.file=a"b.jsonl'
check "a name with a quotation mark is escaped" has out 'of a\"b.jsonl"'

head -3 h.jsonl >three.jsonl
call "$duet" eval run --prompts 4 --samples 1 --set data.heldout_file=three.jsonl
check "three problems: exit 0" equal "$code" 0
check "three problems: three" equal "$(value out prompts)" 3
check "three problems: four asked for" equal "$(value out asked)" 4
call "$duet" sample run --problems 4 --set data.heldout_file=three.jsonl
check "sample: each of three once" equal "$(sed 's/<think>.*//' out | sort)" "$(printf '%s\n' 1+7 2+7 3+7)"

# --- why an answer is wrong: in samples.jsonl, and shown by sample ---
cat >r.yaml <<'YAML'
precision: fp32
model: {layers: 2, hidden: 32, heads: 2, max_context: 64, from: run}
mesh: {decode_slots: 16}
data: {task: file, file: p.jsonl, heldout_file: h.jsonl, micro_batch_tokens: 128}
phases:
  - {kind: grpo, steps: 1, prompts: 4, samples: 4, max_new: 24, save_samples: 999, save_tokens: true}
YAML
recipe=r.yaml
train 1 learned
check "grpo: exit 0" equal "$code" 0
head -1 learned/samples.jsonl >line
check "samples: what was written" has line '"completion":"'
check "samples: no member called answer" hasnt line '"answer":'
check "samples: each says what was expected" equal "$(grep -cE '"expected":"[0-9]+"' learned/samples.jsonl)" 16
check "samples: each says why" equal "$(grep -cE '"why":"(right|truncated|no </think>|no <answer>|no </answer>|wrong value|not a number)"' learned/samples.jsonl)" 16
check "samples: no answer was read of an untrained model's" has learned/samples.jsonl '"parsed":null,"why":"truncated"'
call "$duet" pack r.yaml learned/samples.jsonl --batch 8
check "pack reads them" has out "2 batches of 8 sequences"
call "$duet" score learned learned/samples.jsonl
check "score reads them" equal "$code $(wc -l <out)" "0 16"
call "$duet" sample learned --problems 6
check "sample says why" equal "$(grep -cE '   \[wrong: (truncated|no </think>|no <answer>|no </answer>|wrong value|not a number)(, read .*)?, expected [0-9]+\]$' out)" 6

finish
