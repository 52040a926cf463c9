#!/bin/bash
# test_state.sh DUET: promise P9 for the state beside the tensors. A checkpoint whose state no run
# can have written, although its checksum is right, is damaged: it is named, and the previous one is
# used. metrics.jsonl and samples.jsonl are truncated only at the end of a line, never overwritten,
# and not at all when their lines were changed.
. "${BASH_SOURCE%/*}/common.sh"

cat >s.yaml <<'YAML'
seed: 7
precision: fp32
model: {layers: 2, hidden: 32, heads: 2, max_context: 64}
mesh: {decode_slots: 16}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 128}
checkpoint: {every: 2, keep: 3}
phases:
  - {kind: sft, steps: 6, batch: 8, lr: 3e-3}
  - {kind: grpo, steps: 2, prompts: 4, samples: 4, max_new: 24, reward_format: 0.5, save_samples: 4}
YAML
call "$duet" train s.yaml --set out=whole
check "the run: exit 0" equal "$code" 0
recipe=s.yaml
newest=run/checkpoints/step-00000004
change() { "$root/tests/support/state.py" "$newest" "$@"; }
# at STEP: the run, in `run`, as if it had ended there
at() {
    rm -rf run
    cp -r whole run
    back_to "$1" run
}
resume() { call "$duet" train s.yaml --set out=run --resume auto "$@"; }

# --- every member: its type, its range ---
# damaged MESSAGE CHANGE...: seen by inspect
damaged() {
    local message=$1
    shift
    at 4
    change "$@"
    call "$duet" inspect "$newest"
    check "P9: $*: damaged" equal "$code" 1
    check "P9: $*: reported" has err "$newest/manifest.json: damaged: $message"
}
damaged "phase in its state is -1, not a whole number from 0 to" phase=-1
damaged "phase in its state is 99, its recipe has 2 phases" phase=99
damaged "phase in its state is 0.5, not a whole number" phase=0.5
damaged "phase in its state is null, not a whole number" phase=null
damaged 'phase in its state is "0", not a whole number' 'phase="0"'
damaged "its state has no phase" -phase
damaged "phase_step in its state is 3, phase 1 of its recipe has 2 steps" phase=1 phase_step=3
damaged "phase_step in its state is -1, not a whole number" phase_step=-1
damaged "phase_step in its state is 5, but only 4 steps were made in all" phase_step=5
damaged "phase_step in its state is 1, phase 2 of its recipe has 0 steps" phase=2 phase_step=1
damaged "step in its state is 5, the checkpoint is of step 4" step=5
damaged "updates in its state is 4611686018427387904, not a whole number" updates=4611686018427387904
damaged "updates in its state is 5, more than step 4 of phase 0 can have made" updates=5
damaged "tokens in its state is -1, not a whole number" tokens=-1
damaged "metrics_bytes in its state is -1, not a whole number" metrics_bytes=-1
damaged "samples_bytes in its state is true, not a whole number" samples_bytes=true
damaged 'metrics_xxh64 in its state is "7", not 16 hexadecimal digits' 'metrics_xxh64="7"'
damaged "data_train in its state is 7, not 16 hexadecimal digits" data_train=7
damaged "residuals in its state is [], not 16 hexadecimal digits" 'residuals=[]'
damaged "exchange_began in its state is -2, not a whole number" exchange_began=-2
damaged "milestones in its state is not a list of evaluations" milestones=7
damaged "milestones in its state is not a list of evaluations" 'milestones=[{"phase": "x", "step": 99}]'
damaged "evaluation in its state is impossible" 'evaluation={"step": 4}'
damaged "line in its state is not the beginning of a line of metrics" line=7
at 4
call "$duet" inspect $newest
check "unchanged: whole" equal "$code" 0

# --- the one before is used ---
# one_before CHANGE...: whichever command opens it
one_before() {
    at 4
    change "$@"
    resume
    check "P9: $*: resumed" equal "$code" 0
    check "P9: $*: named" has err "warning: damaged, not used: $newest/manifest.json: damaged: "
    check "P9: $*: from the one before" has err "resuming from run/checkpoints/step-00000002"
    check "P9: $*: same as the unbroken run" alike whole run
}
one_before phase=-1
one_before metrics_bytes=-1
one_before metrics_bytes=7
check "P9: in the middle of a line: reported" has err "its state says that metrics.jsonl had 7 bytes, but no line ends there"
at 4
change phase=99
call "$duet" eval run --prompts 2 --samples 1
check "eval: exit 0" equal "$code" 0
check "eval: of the one before" has out '"step": 2'

# --- the files of a run ---
# touched NAME MESSAGE: a run whose files are not what it wrote is left alone
touched() {
    local before
    before=$(find run -type f | sort | xargs md5sum)
    resume
    check "$1: exit 2" equal "$code" 2
    check "$1: reported" has err "$2"
    check "$1: what to do" has err "restore the file, or move it away: a new one then begins with the next step"
    check "$1: untouched" equal "$(find run -type f | sort | xargs md5sum)" "$before"
}
at 4
sed -i '2s/"loss":[0-9]/"loss":9/' run/metrics.jsonl
touched "an earlier line changed" "its first $(head -n 4 run/metrics.jsonl | wc -c) bytes differ from what the run wrote: lines were changed after the checkpoint was saved"
at 4
sed -i '3,$d' run/metrics.jsonl
touched "lines missing" "has $(wc -c <run/metrics.jsonl) bytes, but had $(head -n 4 whole/metrics.jsonl | wc -c) when the checkpoint was saved: lines are missing"
rm run/metrics.jsonl
resume
check "moved away: exit 0" equal "$code" 0
check "moved away: reported" has err "the lines between are lost"
check "moved away: the steps from here on" equal "$(values run/metrics.jsonl step | tr '\n' ' ')" "4 5 6 7 "
at 8
sed -i '1s/prompt/Prompt/' run/samples.jsonl
touched "a sample changed" "run/samples.jsonl: its first $(wc -c <run/samples.jsonl) bytes differ from what the run wrote"
at 4
sed -i '6s/"loss":[0-9]/"loss":9/' run/metrics.jsonl
resume
check "a later line changed: exit 0" equal "$code" 0
check "a later line changed: it is made again" alike whole run

# --- append, do not overwrite: lines that somebody else adds during the run stay ---
at 2
sed -i '3,$d' run/metrics.jsonl
start 1 run --resume auto --set phases.grpo.steps=400 --set checkpoint.every=0
check "appended: under way" until_true lines 8 run
printf '{"note":1}\n' >>run/metrics.jsonl
check "appended: goes on" until_true lines 20 run
kill -TERM "$job"
ended
check "appended: stopped" equal "$code" 85
check "appended: reported" has err "run/metrics.jsonl: another program is writing to it"
check "P9: no line is overwritten" equal "$(grep -c '^{"note":1}' run/metrics.jsonl) $(values run/metrics.jsonl step | grep -cx '[0-9]*')" \
    "1 $(($(wc -l <run/metrics.jsonl) - 1))"
resume --set phases.grpo.steps=$(($(wc -l <run/metrics.jsonl) - 5))
check "appended: resumed" equal "$code" 0
finish
