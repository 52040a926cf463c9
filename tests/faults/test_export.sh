#!/bin/bash
# test_export.sh DUET: a phase of kind export writes the model for other programs, on any mesh,
# whole or not at all, whatever kills the job; what this run did not write is never overwritten.
. "${BASH_SOURCE%/*}/common.sh"

# as_exported RUN DIR: DIR is what `duet export` writes of the run's newest checkpoint
as_exported() {
    rm -rf again
    call "$duet" export "$1" again
    diff -r again "$2"
}
# as_step STEP RUN DIR: the same of the checkpoint of a step
as_step() { as_exported "$2/checkpoints/step-0000000$1" "$3"; }
cat >r.yaml <<'YAML'
seed: 7
precision: fp32
model: {layers: 4, hidden: 32, heads: 2, max_context: 64}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 256}
mesh: {decode_slots: 16}
checkpoint: {every: 1, keep: 2}
phases:
  - {kind: sft, steps: 2, batch: 8, lr: 1e-3}
  - {kind: export, name: start, dir: models/start}
  - {kind: sft, name: more, steps: 2, batch: 8, lr: 1e-3}
  - {kind: export, name: end, shard_size: 20KB, dtype: bf16}
YAML
recipe=r.yaml
train 1 whole
check "train: exit 0" equal "$code" 0
check "what was written: said" has err "exported models/start: "
check "what was written: its size" has err " tensors of step 2, 0.2 MB in 1 file"
check "between phases: the weights of then" as_step 2 whole models/start
check "at the end: in the run folder" test -s whole/exports/end/model-00002-of-0000*.safetensors
check "in metrics.jsonl" has whole/metrics.jsonl '"phase":"start","export/bytes":'
check "nothing else is left" equal "$(echo models/* whole/exports/*)" "models/start whole/exports/end"
call "$duet" export whole bf16 --dtype bf16 --shard-size 20KB
check "the same as duet export" diff -r bf16 whole/exports/end
call "$duet" import whole/exports/end in
check "it can be imported" equal "$code" 0
cp -r models start

# --- any mesh ---
for mesh in "pp=2" "tp=2" "sites=2"; do
    rm -rf models
    train 2 "$mesh" --set "mesh.$mesh"
    check "$mesh: exit 0" equal "$code" 0
    run=$mesh
    [ "$mesh" = sites=2 ] && run=$mesh/site-1
    check "$mesh: said once" times 1 err "exported models/start"
    check "$mesh: as duet export has it" as_step 2 "$run" models/start
done
check "sites: one writes" fails test -e sites=2/site-2/exports
rm -rf models

# --- killed and resumed ---
# whole_again NAME RUN: it is resumed, and all is there
whole_again() {
    train 1 "$2" --resume auto
    check "$1: exit 0" equal "$code" 0
    check "$1: the first export" diff -r start/start models/start
    check "$1: the second export" diff -r whole/exports/end "$2/exports/end"
    check "P5: $1: the rest as in an unbroken run" alike whole "$2"
    check "$1: nothing else is left" equal "$(echo models/* "$2"/exports/*)" "models/start $2/exports/end"
}
# hardly begun: the folder is being written; a file each tensor makes it last
caught=''
for try in {1..8}; do
    rm -rf models killed
    start 1 killed --set phases.start.shard_size=1KB
    ready
    until_true test -e models/start.exporting.partial/model-00001-of-00039.safetensors >/dev/null && kill -KILL "${pids[@]}" 2>/dev/null && caught=1
    ended
    [ "$caught" ] && ! [ -e models/start ] && break
    caught=''
done
check "killed while it writes" test "$caught"
check "killed while it writes: not there under its name" fails test -e models/start
whole_again "killed while it writes" killed
# between the export and the checkpoint behind it
cp -r whole done
rm -rf models && cp -r start models
back_to 2 done
train 1 done --resume auto
check "a folder that this run has not written: exit 2" equal "$code" 2
check "a folder that this run has not written: says so" has err "models/start: is there already, and this run has not written it"
rm -rf models
whole_again "before it began" done
inode=$(stat -c %i models/start)
back_to 2 done
whole_again "behind it" done
check "behind it: written again" fails test "$(stat -c %i models/start)" = "$inode"
back_to 2 done
mkdir models/start.exporting models/start.exporting.partial && echo x >models/start.exporting.partial/config.json
mv models/start models/start.former
whole_again "between two renames" done

# --- more steps: it is exported again ---
train 1 done --resume auto --set phases.more.steps=3
check "more steps: exit 0" equal "$code" 0
check "more steps: the end is another" fails diff -r whole/exports/end done/exports/end
back_to 2 done
touch models/start/mine
train 1 done --resume auto
check "changed by somebody: exit 2" equal "$code" 2
check "changed by somebody: says so" has err "models/start: is there already, and this run has not written it, or somebody has changed it since"
check "changed by somebody: it stays" test -e models/start/mine

# --- a place that cannot be written to costs nothing but a resume ---
rm -rf models
train 1 blocked --set phases.start.dir=/proc/none/start
check "no place: exit 1" equal "$code" 1
check "no place: says why" has err "/proc/none/start: making"
whole_again "no place, then one" blocked
rm -rf models && echo x >models
train 1 fresh
check "a file in the way: exit 2" equal "$code" 2
check "a file in the way: says why" has err "models/start: looking at models/start: Not a directory"
rm models

# --- what is in the way is said before the first step ---
rm -rf models && mkdir -p models/start
train 1 empty --set phases.sft.steps=0
check "an empty folder: exit 0" equal "$code" 0
train 1 fresh
check "a folder of somebody: exit 2" equal "$code" 2
check "a folder of somebody" has err "models/start: is there already"
check "a folder of somebody: nothing was begun" test ! -e fresh

# --- GGUF ---
cat >g.yaml <<YAML
precision: fp32
model: {layers: 2, hidden: 32, heads: 2, max_context: 64, tokenizer: $root/tests/golden/bpe_llama3.json, end_tokens: "421"}
data: {task: arithmetic, difficulty: 1, template: "{user}{/}{assistant}<|eot_id|>", micro_batch_tokens: 256}
phases:
  - {kind: sft, steps: 1, batch: 4}
  - {kind: export, format: gguf, type: q8_0}
YAML
recipe=g.yaml
train 2 gguf --set mesh.tp=2
check "gguf: exit 0" equal "$code" 0
call "$duet" export gguf x.gguf --format gguf --type q8_0
check "gguf: as duet export has it" cmp <(strings x.gguf | grep -v '^x.gguf') <(strings gguf/exports/export.gguf | grep -v '^export.gguf')
call "$duet" sample gguf/exports/export.gguf "1+1" --max-new 4
check "gguf: it answers" equal "$code" 0
back_to 1 gguf
train 2 gguf --set mesh.tp=2 --resume auto
check "gguf: written again: exit 0" equal "$code" 0
check "gguf: nothing else is left" equal "$(echo gguf/exports/*)" "gguf/exports/export.gguf"
recipe=r.yaml
train 1 fresh --set phases.end.format=gguf --set phases.end.dtype=source --set phases.end.shard_size=5GB
check "a tokenizer that llama.cpp has not: exit 2" equal "$code" 2
check "a tokenizer that llama.cpp has not: before the first step" has err "llama.cpp has no tokenizer of this kind"
check "a tokenizer that llama.cpp has not: nothing was begun" test ! -e fresh

# --- mistakes ---
train 1 fresh --set phases.end.shard_size=5 --set phases.end.dir=models/start --set phases.start.type=q4_0
check "mistakes: exit 2" equal "$code" 2
for text in 'end: shard_size "5" is no size' "start and end write to the same place, models/start" "start: type goes with format gguf"; do
    check "mistakes: $text" has err "$text"
done
train 1 fresh --set phases.end.format=gguf --set phases.end.dtype=bf16
check "mistakes of a GGUF file: exit 2" equal "$code" 2
for text in "end: dtype goes with format hf" "end: shard_size goes with format hf"; do check "mistakes: $text" has err "$text"; done
call "$duet" settings r.yaml --set phases.end.lr=1
check "a setting of another kind: exit 2" equal "$code" 2
finish
