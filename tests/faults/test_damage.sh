#!/bin/bash
# test_damage.sh DUET: promise P9. A damaged checkpoint is named (file, what, what to do) and never
# loaded; the previous one is used instead, and nothing is written before an intact one is found. A
# checkpoint requested by name is not replaced by another.
. "${BASH_SOURCE%/*}/common.sh"
recipe=short.yaml # saves steps 10, 20 and 30
sed -e '/kind: grpo/,$d' -e 's/steps: 60/steps: 30/' recipe.yaml >short.yaml
train 4 good
check "train: exit 0" equal "$code" 0
check "train: three checkpoints" equal "$(cd good/checkpoints && echo *)" "latest step-00000010 step-00000020 step-00000030"
call "$duet" inspect good
check "inspect: exit 0" equal "$code" 0
check "inspect: whole" has out "verified: whole"

sums() { find "$1" -type f -exec cksum {} + | sort; }
flip() { # FILE BYTE: the lowest bit of that byte
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# damaged NAME FILE TEXT COMMAND...: the command, run in the folder of a copy's newest checkpoint,
# damages it
damaged() {
    local name=$1 file=$2 text=$3 newest=hurt/checkpoints/step-00000030
    shift 3
    rm -rf hurt
    cp -r good hurt
    (cd "$newest" && "$@")
    call "$duet" inspect hurt
    check "$name: inspect exit 1" equal "$code" 1
    check "$name: inspect names the file" has err "$newest/$file"
    check "$name: inspect says what" has err "$text"
    check "$name: inspect says the result" has out "verified: DAMAGED"
    call "$root/launch/run.sh" -n 2 --timeout 60 "$duet" eval "$newest" --prompts 2
    check "$name: eval by name, exit 1" equal "$code" 1
    check "$name: eval says it once" times 1 err "$newest/$file"
    check "$name: eval says what to do" grep -qE 'use another|restore a copy' err
    call "$duet" eval hurt --prompts 2
    check "$name: eval of the run, exit 0" equal "$code" 0
    check "$name: eval warns" has err "damaged, not used: $newest/$file"
    check "$name: eval uses the one before" has out '{"step": 20,'
}
damaged "a flipped bit" shard-0002-of-0004.h5 "damaged: the checksum of its" flip shard-0002-of-0004.h5 5000
train 4 hurt --resume auto
check "a flipped bit: resume, exit 0" equal "$code" 0
check "a flipped bit: resume warns" times 1 err "damaged, not used: hurt/checkpoints/step-00000030/shard-0002-of-0004.h5"
check "a flipped bit: resume goes back" has err "hurt/checkpoints/step-00000020 is used instead"
check "a flipped bit: the steps again, as before" alike good hurt
damaged "a cut shard" shard-0001-of-0004.h5 "truncated: it ends at byte 4000, the manifest says" truncate -s 4000 shard-0001-of-0004.h5
damaged "a missing shard" shard-0003-of-0004.h5 "missing; the manifest lists it with" rm shard-0003-of-0004.h5
damaged "a damaged manifest" manifest.json "manifest.json" flip manifest.json 100
damaged "a missing manifest" manifest.json "the checkpoint is not complete" rm manifest.json
damaged "a damaged recipe" recipe.yaml "damaged: " flip recipe.yaml 10
damaged "a damaged tokenizer" tokenizer.json "damaged: " flip tokenizer.json 10

# --- all of them ---
rm -rf hurt
cp -r good hurt
for shard in hurt/checkpoints/step-*/shard-0000-of-0004.h5; do flip "$shard" 3000; done
before=$(sums hurt)
train 2 hurt --resume auto --set mesh.pp=1
check "all damaged: exit 1" equal "$code" 1
for step in 10 20 30; do check "all damaged: step $step named" times 1 err "checkpoints/step-000000$step/shard-0000-of-0004.h5: damaged"; done
check "all damaged: reported" times 1 err "none of the 3 checkpoints is undamaged"
check "all damaged: nothing was overwritten" equal "$(sums hurt)" "$before"

# --- latest ---
rm -rf hurt
cp -r good hurt
echo nonsense >hurt/checkpoints/latest
call "$duet" eval hurt --prompts 2
check "latest of nonsense: exit 0" equal "$code" 0
check "latest of nonsense: warns" has err "latest does not name a checkpoint"
check "latest of nonsense: the newest" has out '{"step": 30,'
call "$duet" inspect none
check "inspect of nothing: exit 2" equal "$code" 2
call "$duet" eval none
check "eval of nothing: exit 2" equal "$code" 2
check "eval of nothing: reported" equal "$(cat err)" $'none: no such folder\n1 problem'
finish
