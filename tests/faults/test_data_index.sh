#!/bin/bash
# test_data_index.sh DUET: a data file so large that what is in it is kept in the run folder: it is
# taken over by a resume, and made anew when it is damaged or the file has changed.
. "${BASH_SOURCE%/*}/common.sh"

# 270 MiB, 270 thousand lines, some without a demonstration
awk 'BEGIN { x = "+"; while (length(x) < 960) x = x x; x = substr(x, 1, 960)
    for (i = 0; i < 276480; i++) printf "{\"prompt\": \"%d+1 %s\", \"answer\": \"%d\"%s}\n", i, substr(x, i % 64), i + 1, i % 5 ? ", \"demonstration\": \"so\"" : "" }' >p.jsonl
size=$(stat -c %s p.jsonl)
check "a large file" [ "$size" -gt $((256 << 20)) ]
cat >recipe.yaml <<'YAML'
precision: fp32
watchdog_s: 60
model: {layers: 1, hidden: 16, heads: 1, max_context: 2048}
data: {task: file, file: p.jsonl, micro_batch_tokens: 2048}
checkpoint: {every: 1, keep: 2}
phases:
  - {kind: sft, steps: 1, batch: 2, lr: 3e-3}
YAML
found="276480 records, as run/data.index has them"
read_anew="p.jsonl: 276480 records"

# more STEPS ARGUMENTS...: the run goes on to that step
more() {
    local steps=$1
    shift
    sed -i "s/steps: [0-9]*/steps: $steps/" recipe.yaml
    train 2 run --resume auto "$@"
}
more 1
check "the first start: exit 0" equal "$code" 0 || finish
check "the first start: reads the file" grep -q "$read_anew\$" err
check "the first start: looks at many problems" has err " of 65536 (line"
check "the first start: keeps the index" [ -s run/data.index ]
check "the index is small" [ "$(stat -c %s run/data.index)" -lt $((size / 500)) ]
cp run/data.index kept
more 2
check "a resume: exit 0" equal "$code" 0
check "a resume: takes it over" has err "$found"
check "a resume: looks at some problems again" has err " of 4096 (line"
check "a resume: leaves it as it is" cmp kept run/data.index

printf '\377' | dd of=run/data.index bs=1 seek=3000 conv=notrunc status=none
more 3
check "a damaged index: exit 0" equal "$code" 0
check "a damaged index: is noticed" has err "run/data.index is damaged, so it does not say what is in the data files: they are read again"
check "a damaged index: is made anew" cmp kept run/data.index
head -c 5000 kept >run/data.index
more 4
check "half an index: is noticed" has err "run/data.index is damaged"
check "half an index: is made anew" cmp kept run/data.index
rm run/data.index
more 5
check "no index: exit 0" equal "$code" 0
check "no index: reads the file" grep -q "$read_anew\$" err
check "no index: is made anew" cmp kept run/data.index

touch p.jsonl
more 6
check "a file that was touched: exit 0" equal "$code" 0
check "a file that was touched: is read again" has err "run/data.index is of other data files, or of these before they changed: they are read again"
check "a file that was touched: another index is kept" fails cmp -s kept run/data.index
more 7
check "a file that was touched: it is taken over next time" has err "$found"

# A byte of one line, the same size, the time put back
touch -r p.jsonl then
printf '7' | dd of=p.jsonl bs=1 seek=$((size / 2)) conv=notrunc status=none
touch -r then p.jsonl
sed -i 's/steps: 7/steps: 9/' recipe.yaml
more 9
check "another file: is read again" has err "run/data.index is of other data files"
check "another file: is named" has err "data.file"
check "another file: as other problems" has err "other problems"
finish
