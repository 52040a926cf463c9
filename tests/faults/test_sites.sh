#!/bin/bash
# test_sites.sh DUET: two sites on one machine. They hold the same outer parameters after every
# exchange; killed during an exchange or a save, or stopped at different moments, they resume
# together with the bits of the unbroken run; a dead site ends the job.
. "${BASH_SOURCE%/*}/common.sh"
sed -i -e 's/dp: 2, pp: 2/sites: 2, dp: 1, pp: 2/' -e 's/^model:/sites: {every: 7, delay: 4, wire: int8}\n&/' recipe.yaml

alike_both() { alike "$1/site-1" "$2/site-1" && alike "$1/site-2" "$2/site-2"; }
of_both() { # NAME FOLDER: its numbers, of site 1 and site 2 side by side
    paste <(values "$2/site-1/metrics.jsonl" "$1") <(values "$2/site-2/metrics.jsonl" "$1")
}
# shellcheck disable=SC2317  # called by check
same_on_both() { of_both "$@" | awk '$1 != $2 { print NR ": " $0; bad = 1 } END { exit bad || NR == 0 }'; }

train 4 whole
check "unbroken: exit 0" equal "$code" 0
check "unbroken: ratio one inside a site" equal "$(deviations whole/site-2/metrics.jsonl)" "- 0"
check "the sites learn from different problems" test "$(of_both loss whole | awk '$1 != $2' | wc -l)" -ge 60
# updates 7 14 ... 49, each four later; 56 + 4 would be the end, which exchanges anyway; then 7 + 4
# and the end of grpo
check "outer parameters: the same on both" same_on_both sites/checksum whole
check "exchanges: exactly four updates after they began" equal "$(grep -n sites/checksum whole/site-1/metrics.jsonl | cut -d: -f1 | paste -sd' ')" \
    "11 18 25 32 39 46 53 60 71 72"
check "every exchange: other outer parameters" equal "$(values whole/site-1/metrics.jsonl sites/checksum | sort -u | wc -l)" 11
check "the resolved recipe is that of the job" has whole/site-2/recipe.yaml 'out: "whole"'
check "last: the same answers on both" equal "$(tail -n 1 whole/site-1/metrics.jsonl | sed 's/"time.*//')" "$(tail -n 1 whole/site-2/metrics.jsonl | sed 's/"time.*//')"

# --- killed ---
# killed NAME VICTIM TEST...: resumes (slowed down, which changes no bit) until the test is true,
# then kills one rank or all of them
killed() {
    local name=$1 victim=$2
    shift 2
    DUET_PACE_US=1000 start 4 broken --resume auto
    ready
    check "killed $name: at that moment" until_true "$@" || { ended; return; }
    if [ "$victim" = all ]; then kill -KILL "${pids[@]}"; else kill -KILL "${pids[victim + 1]}"; fi
    ended
    check "killed $name: exit code not 0" test "$code" -ne 0
    check "killed $name: no process is left, of either site" gone 10 "${pids[@]}"
    echo "killed $name: $(wc -l <broken/site-1/metrics.jsonl) and $(wc -l <broken/site-2/metrics.jsonl) lines, last checkpoints $(cat broken/site-*/checkpoints/latest | paste -sd' ')"
}
both_saved() { is_saved "$1" broken/site-1 && is_saved "$1" broken/site-2; }
is_saving_step() { [ -d "broken/site-$1/checkpoints/step-$(printf %08d "$2").partial" ]; }

killed "with an exchange under way" 3 both_saved 10 # 7 counts at 11
killed "while site 1 saves" all is_saving_step 1 30
rm -rf broken/site-2/checkpoints/step-00000030 broken/site-1/checkpoints/step-00000030.partial
killed "in grpo" 0 lines 66 broken/site-1
train 4 broken --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: both the same as the unbroken run" alike_both whole broken

# --- tensor parallelism: what both ranks of a site hold is saved by one of them, and must equal the
# other's to the last bit ---
tp=(--set mesh.pp=1 --set mesh.tp=2 --set checkpoint.keep=99)
train 4 shared "${tp[@]}"
check "tp: exit 0" equal "$code" 0
cp -r shared taken-up
back_to 20 taken-up/site-1 taken-up/site-2
train 4 taken-up --resume auto "${tp[@]}"
check "tp: resumed" has err "resuming from taken-up/site-1/checkpoints/step-00000020"
check "tp: resumed: same as the unbroken run" alike_both shared taken-up

# --- one site is ahead of the other ---
cp -r whole apart
for gone in 72 73; do rm -rf "apart/site-2/checkpoints/step-000000$gone"; done
echo step-00000070 >apart/site-2/checkpoints/latest
train 4 apart --resume auto
check "apart: exit 0" equal "$code" 0
check "apart: both go on from what both have" has err "resuming from apart/site-1/checkpoints/step-00000070"
check "apart: same as the unbroken run" alike_both whole apart

# --- stopped ---
start 4 stopped
ready
check "stopped: under way" until_true lines 23 stopped/site-1
kill -TERM "$job"
ended
check "stopped: exit 85" equal "$code" 85
check "stopped: both at the same step" equal "$(cat stopped/site-1/checkpoints/latest)" "$(cat stopped/site-2/checkpoints/latest)"
check "stopped: everything is saved" equal "$(cat stopped/site-2/checkpoints/latest)" "step-$(printf %08d "$(wc -l <stopped/site-2/metrics.jsonl)")"
start 4 stopped --resume auto
ready
check "stopped again: under way" until_true lines 41 stopped/site-2
kill -USR1 "${pids[4]}" # one rank alone hears of it
ended
check "stopped again: exit 85" equal "$code" 85
train 4 stopped --resume auto
check "stopped: resumed: exit 0" equal "$code" 0
check "stopped: resumed: same as the unbroken run" alike_both whole stopped

# --- sites that start differently: different recipes are found at the start, different weights at
# the first comparison ---
both=(mpirun --allow-run-as-root --oversubscribe --timeout 60 --mca btl vader,self)
call "${both[@]}" -np 2 "$duet" train recipe.yaml --set out=unlike : -np 2 "$duet" train recipe.yaml --set out=unlike --set seed=8
check "other recipes: exit 2" equal "$code" 2
check "other recipes: nothing is begun" test ! -e unlike
for seed in 7 8; do
    mkdir "$seed"
    cp recipe.yaml "$seed"
    train 2 "$seed/base" --set mesh.sites=1 --set seed=$seed --set phases.start.steps=2 --set phases.grpo.steps=0 --set phases.last.prompts=1
    check "weights of seed $seed: exit 0" equal "$code" 0
done
run=(-np 2 "$duet" train recipe.yaml --set "out=$PWD/unlike" --set model.from=base)
call "${both[@]}" -wdir "$PWD/7" "${run[@]}" : -wdir "$PWD/8" "${run[@]}"
check "unlike: exit 1" equal "$code" 1
check "unlike: says what differs" grep -qE "site 2 (is )?at update 7 with" err # whoever compares first
check "unlike: after what" has err "comparing the outer parameters of the sites"

# --- another number of sites, and other commands on a site's folder ---
train 2 whole --resume auto --set mesh.sites=1
check "fewer sites: exit 2" equal "$code" 2
check "fewer sites: what to do" has err "--set model.from=whole/site-1 --set out=FOLDER"
train 4 whole
check "once more without --resume: exit 2" equal "$code" 2
check "once more: says how" has err "whole/site-1 already holds a run: add --resume auto"
rm -rf apart/site-1/checkpoints/*
train 4 apart --resume auto
check "a site has lost its checkpoints: exit 2" equal "$code" 2
check "a site has lost its checkpoints: reported" has err "some sites have checkpoints and others none"
cp -r apart young
rm -rf young/site-2/checkpoints/* && echo step-00000020 >young/site-2/checkpoints/latest
cp -r whole/site-2/checkpoints/step-00000060 young/site-2/checkpoints/step-00000020
train 4 young --resume auto --set phases.start.steps=8 --set phases.grpo.steps=2
check "some sites have none yet: exit 0" equal "$code" 0
check "some sites have none yet: all begin again" equal "$(wc -l <young/site-2/metrics.jsonl)" 11
call "$duet" inspect whole/site-2
check "inspect: exit 0" equal "$code" 0
check "inspect: finds the outer parameters" has out "outer/embed"
call "$duet" eval whole/site-2 --prompts 4 --samples 2
check "eval: exit 0" equal "$code" 0
sed -e '/kind: grpo/,$d' -e 's/steps: 60/steps: 3/' -e 's/sites: 2, //' -e 's/max_context: 128/&, from: whole\/site-2/' recipe.yaml >one.yaml
recipe=one.yaml
train 2 one
check "one site from a site's weights: exit 0" equal "$code" 0
check "one site: begins where they were" awk -F '"loss":' 'NR == 1 { exit !($2 + 0 < 2) }' one/metrics.jsonl
check "one site: exchanges nothing" hasnt one/metrics.jsonl sites/

# --- mistakes, all at once ---
cat >wrong.yaml <<'YAML'
mesh: {sites: 3}
sites: {every: 4, delay: 4}
model: {heads: 3}
phases: [{kind: sft}]
YAML
recipe=wrong.yaml
train 4 wrong
check "mistakes: exit 2" equal "$code" 2
check "mistakes: sites" has err "sites 3 does not divide 4 ranks"
check "mistakes: delay" has err "delay 4 is not less than every 4"
check "mistakes: with the others" has err "heads 3 does not divide hidden 128"
finish
