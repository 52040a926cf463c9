#!/bin/bash
# test_settings.sh DUET: docs/SETTINGS.md agrees with the program's own table, names exactly the
# settings that a grpo phase has, and its DeepSeek-R1 recipe is valid.
# shellcheck disable=SC2016,SC2094
# shellcheck source=tests/faults/common.sh
. tests/faults/common.sh
page=$root/docs/SETTINGS.md

# --- the tables ---
"$duet" help settings --markdown >table 2>err
check "the program prints its table" [ -s table ]
sed '1,/^### /{/^### /!d}' "$page" >tables # from the first table on
check "the tables are those of \`duet help settings --markdown\`; paste them into docs/SETTINGS.md" diff tables table

# Every setting that \`duet settings\` prints of a recipe has a row in its section, and the other
# way round.
printf 'phases: [{kind: sft}, {kind: grpo}, {kind: eval}, {kind: export}, {kind: reward_model}]\n' >all.yaml
"$duet" settings all.yaml --set model.max_context=512 >resolved 2>err
check "a recipe of all kinds of phase" [ -s resolved ]
sed -nE 's/^ *(- )?([a-z_0-9]+): .+/\2/p' resolved | sort -u >of_program
sed -nE 's/^\| `([a-z_0-9]+)` \| `.*/\1/p' tables | sort -u >of_page
check "settings of a resolved recipe and of the page" diff of_program of_page

# --- GRPO ---
# The first column of the table of names: `prompts`, or `advantage: std`, a choice of it.
sed -n '/^| setting of a grpo phase/,/^$/p' "$page" | sed -nE '3,$s/^\| ([^|]*) \|.*/\1/p' |
    grep -o '`[^`]*`' | tr -d '\`' >names
check "names of GRPO" [ "$(wc -l <names)" -ge 30 ]
while read -r name; do
    key=${name%%:*} value=
    case $name in *": c") value=3 ;; *:*) value=${name#*: } ;; esac
    "$duet" settings all.yaml --set model.max_context=512 --set phases.grpo.kl=0.1 ${value:+--set "phases.grpo.$key=$value"} \
        --get "phases.grpo.$key" >value 2>err
    check "grpo has $name" equal "$(cat value)" "${value:-$(cat value)}" && check "grpo has $key" [ -s value ]
done <names
# Settings that the table omits on purpose: they are not part of the algorithm; rewards have a page
# of their own.
printf '%s\n' kind name max_skips eval_prompts save_tokens >apart
cut -d : -f 1 names | sort -u - apart | grep -vE '^(reward_|length_|repetition_|target_language)' >told
sed -nE '/^### phases/,$s/^\| `([a-z_0-9]+)` .*\| [a-z_, ]*\bgrpo\b[a-z_, ]* \| .*/\1/p' tables | sort -u | grep -vE '^(reward_|length_|repetition_|target_language)' >of_grpo
check "every setting of grpo is in the table of names" diff of_grpo told

# --- the recipe of R1 ---
{
    printf 'model: {max_context: 32768}\ndata: {micro_batch_tokens: 32768}\nphases:\n  - kind: grpo\n    max_new: 32000\n    steps: 20\n'
    sed -n '/^```yaml/,/^```/p' "$page" | grep -v '^```'
} >r1.yaml
"$duet" settings r1.yaml >r1 2>err
check "the settings of R1 make a phase" equal $? 0
check "with 16 answers a question" has r1 "samples: 16"
finish
