#!/bin/bash
# test_bad_input.sh DUET: users' mistakes, on two or more ranks: every mistake is reported once,
# with its place and together with the others; the job exits 2, without output from MPI, and leaves
# nothing in the run folder.
. "${BASH_SOURCE%/*}/common.sh"

# refused NAME RANKS TEXT... -- ARGUMENTS...: train must end like that, with each text in exactly
# one line
refused() {
    local name=$1 n=$2 texts=() text
    shift 2
    while [ "$1" != -- ]; do texts+=("$1"); shift; done
    shift
    train "$n" fresh "$@"
    check "$name: exit 2" equal "$code" 2
    for text in "${texts[@]}"; do check "$name: reported once" times 1 err "$text"; done
    check "$name: nothing of MPI's" hasnt err MPI_
    check "$name: no run folder" test ! -e fresh
}

# --- the recipe: five at once, and two mistyped --set ---
cat >five.yaml <<'YAML'
seed: -1
model: {layers: 4, hidden: 30, heads: 4}
data:
  tsk: arithmetic
phases:
  - {kind: sft, steps: many}
  - {kind: gpro}
YAML
recipe=five.yaml
refused "five mistakes and two" 2 "five.yaml:1: seed: -1 is not in the range" "five.yaml:4: unknown setting tsk; did you mean task?" \
    "five.yaml:6: steps: \"many\" is not a whole number" "five.yaml:7: kind: " "did you mean grpo?" \
    "--set mesh.ddp=2: unknown setting ddp; did you mean dp?" "--set nonsense" -- --set mesh.ddp=2 --set nonsense
recipe=.
refused "a folder as the recipe" 2 ".: cannot read the recipe: Is a directory" --
head -c 300 /bin/sh >bytes.yaml
recipe=bytes.yaml
refused "a recipe of bytes" 2 "bytes.yaml:1: " --
recipe=none.yaml
refused "no recipe" 2 "none.yaml: cannot read the recipe: No such file" --
recipe=recipe.yaml

# --- meshes that cannot be ---
refused "three ranks for 2x2" 3 "a mesh of dp 2 x pp 2 needs 4 ranks, not 3" --
refused "odd dualpipe" 3 "dualpipe" -- --set mesh.dp=1 --set mesh.pp=3 --set schedule=dualpipe
refused "fewer layers than stages" 2 "layers" -- --set mesh.dp=1 --set mesh.pp=2 --set model.layers=1

# --- files that the recipe names ---
refused "no tokenizer" 2 "none.json: cannot read: No such file" -- --set mesh.pp=1 --set model.tokenizer=none.json
printf '{"model": {"type": "BPE", "vocab": {"a": 0,' >cut.json
refused "a damaged tokenizer" 2 "cut.json:1: " -- --set mesh.pp=1 --set model.tokenizer=cut.json
cat >task.jsonl <<'JSONL'
{"prompt": "1+1", "answer": "2", "demonstration": "2"}
{"prompt": "1+1", "answer":
{"answer": "2"}
JSONL
refused "bad lines" 2 "task.jsonl:2: " "task.jsonl:3: " -- --set mesh.pp=1 --set data.task=file --set data.file=task.jsonl
refused "no data" 2 "none.jsonl" -- --set mesh.pp=1 --set data.task=file --set data.file=none.jsonl
refused "no weights" 2 "model.from: there is no none, seen from the folder that the command is started in" -- --set mesh.pp=1 --set model.from=none

# --- a run folder that holds a run ---
base
before=$(find base -type f -exec cksum {} + | sort)
recipe=base.yaml
train 2 base --set mesh.dp=2
check "a folder in use: exit 2" equal "$code" 2
check "a folder in use: reported once" times 1 err "base already holds a run: add --resume auto"
check "a folder in use: untouched" equal "$(find base -type f -exec cksum {} + | sort)" "$before"
finish
