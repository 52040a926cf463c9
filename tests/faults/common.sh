# shellcheck shell=bash disable=SC2034,SC2154
# common.sh: helpers of the scripts in this folder; sourced with the program as $1. Provides a
# scratch folder (already entered), named checks, a recipe of a few seconds, and runs that can be
# watched and damaged. A script ends with `finish`.
set -u
duet=$(realpath "$1")
[ -x "$duet" ] || { echo "no program at $1"; exit 1; }
root=$PWD
dir=$(mktemp -d)
trap 'cleanup' EXIT
cd "$dir" || exit 1
checks=0 failed=0
job='' # process id of the run under way

cleanup() {
    if [ "$job" ]; then
        # shellcheck disable=SC2046
        kill -KILL $(launcher) $(ranks) "$job" 2>/dev/null
        wait "$job" 2>/dev/null
    fi
    if [ "${KEEP:-}" ]; then echo "kept: $dir"; else rm -rf "$dir"; fi
}

# --- checks ---

# check NAME COMMAND...: the command must succeed; otherwise its output and the last run's say why
check() {
    local name=$1 said
    shift
    checks=$((checks + 1))
    said=$("$@" 2>&1) && return
    failed=$((failed + 1))
    echo "FAIL $name"
    printf '%s\n' "$said" | ends | sed 's/^/     /'
    [ -s err ] && ends <err | sed 's/^/     stderr: /'
    return 1
}
# ends: the first and last lines of a text that is too long for a report
ends() { cut -c 1-300 | awk '{ l[NR] = $0 } END { for (i = 1; i <= NR; i++) if (i <= 8 || i > NR - 16) print l[i]; else if (i == 9) print "..." }'; }
equal() { [ "$1" = "$2" ] || { echo "\"$1\" is not \"$2\""; return 1; }; }
has() { grep -qF -- "$2" "$1" || { echo "no \"$2\" in $1"; return 1; }; }
hasnt() { [ -r "$1" ] || { echo "no file $1"; return 1; }; ! grep -F -- "$2" "$1"; }
# times N FILE TEXT: in exactly N lines
times() { equal "$(grep -cF -- "$3" "$2") lines with \"$3\"" "$1 lines with \"$3\""; }
fails() { ! "$@"; }
# refusal NAME WORDS...: exit 2, and all of the words in the message
refusal() {
    local name=$1 text
    shift
    check "$name: exit 2" equal "$code" 2
    for text; do check "$name: says \"$text\"" has err "$text"; done
}
# mistake NAME WORDS...: the call was rejected as a user's mistake, with what to do
mistake() {
    refusal "$@"
    check "$1: what to do" has err "  fix:  "
}
# where the ranks of a dry run (launch/run.sh --dry-run) were placed, in order
placed() { sed -n 's/^rank [0-9]*: //p' out | paste -sd' '; }
finish() {
    [ $failed -eq 0 ] && echo "$checks checks"
    exit $((failed > 0))
}

# --- runs ---

# A run of three seconds: 60 supervised steps, 12 of GRPO, an evaluation: steps 0 to 72. The format
# reward, which the supervised steps teach half-way, makes the answers of a group differ.
cat >recipe.yaml <<'YAML'
seed: 7
watchdog_s: 60
mesh: {dp: 2, pp: 2, decode_slots: 16}
model: {layers: 4, hidden: 32, heads: 2, max_context: 128}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 512}
checkpoint: {every: 10, keep: 3}
phases:
  - {kind: sft, name: start, steps: 60, batch: 32, lr: 1e-2}
  - {kind: grpo, steps: 12, prompts: 4, samples: 4, max_new: 24, lr: 1e-3, reward_format: 0.5, eval_every: 2,
     eval_prompts: 4, save_tokens: true, save_samples: 16}
  - {kind: eval, name: last, prompts: 64, samples: 4, max_new: 24}
YAML

recipe=recipe.yaml

# base ARGUMENTS...: makes `base`: the supervised steps only, on one rank, and a recipe of three
# GRPO steps that starts from their weights.
base() {
    sed -e '/kind: grpo/,$d' -e 's/dp: 2, pp: 2/dp: 1, pp: 1/' recipe.yaml >base.yaml
    sed -e '/kind: sft/d' -e '/kind: eval/d' -e 's/steps: 12/steps: 3/' -e 's/max_context: 128/&, from: base/' \
        -e 's/dp: 2, pp: 2, //' recipe.yaml >grpo.yaml
    recipe=base.yaml
    train 1 base "$@"
    check "base: exit 0" equal "$code" 0 || finish
    recipe=grpo.yaml
}

# long_answers MESH EVALUATED STEPS PROMPTS: a recipe whose phases sample for seconds, with
# DUET_PACE_US: an evaluation of EVALUATED problems within sft, rollouts of PROMPTS prompts, an
# evaluation.
long_answers() {
    cat >recipe.yaml <<YAML
seed: 7
watchdog_s: 60
precision: fp32
mesh: {$1, pp: 1, decode_slots: 16}
model: {layers: 2, hidden: 32, heads: 2, max_context: 256}
data: {task: arithmetic, difficulty: 3, micro_batch_tokens: 512}
checkpoint: {every: 4, keep: 3}
phases:
  - {kind: sft, name: start, steps: 4, batch: 8, lr: 1e-3, max_new: 200, eval_every: 4, eval_prompts: $2}
  - {kind: grpo, name: learn, steps: $3, prompts: $4, samples: 4, max_new: 200, lr: 1e-3, save_samples: 16}
  - {kind: eval, name: last, prompts: 300, samples: 4, max_new: 200}
YAML
}

# train RANKS FOLDER ARGUMENTS...: in the foreground; output in out and err; sets code
train() {
    local n=$1 folder=$2
    shift 2
    "$root/launch/run.sh" -n "$n" --timeout 120 "$duet" train "$recipe" --set "out=$folder" "$@" >out 2>err </dev/null
    code=$?
}
# call COMMAND...: the same for any other command
call() {
    "$@" >out 2>err </dev/null
    code=$?
}
# start RANKS FOLDER ARGUMENTS...: in the background; sets job, started
start() {
    local n=$1 folder=$2
    started=$n
    shift 2
    "$root/launch/run.sh" -n "$n" --timeout 120 "$duet" train "$recipe" --set "out=$folder" "$@" >out 2>err </dev/null &
    job=$!
}
# children PID NAME: process ids of its children that run NAME
children() {
    local pid
    for pid in $(cat "/proc/$1/task/$1/children"); do
        [ "$(cat "/proc/$pid/comm")" = "$2" ] && echo "$pid"
    done 2>/dev/null
}
launcher() { children "$job" mpirun; }
ranks() { children "$(launcher)" duet; }
mkfifo never
exec {never}<>never # nothing is ever written there: a sleep without a process
# until_true TEST...: waits until it is true; fails when the job ends first. The tests below start
# no process, so that events lasting only milliseconds are caught.
until_true() {
    until "$@"; do
        kill -0 "$job" 2>/dev/null || { echo "the run ended before: $*"; return 1; }
        read -rt 0.002 _ <&"$never"
    done
    return 0
}
# ready: waits until all ranks are there; sets pids: mpirun, then the ranks from 0
ready() {
    pids=()
    while kill -0 "$job" 2>/dev/null && [ ${#pids[@]} -le "$started" ]; do
        read -rt 0.02 _ <&"$never"
        # shellcheck disable=SC2207
        pids=($(launcher) $(ranks))
    done
}
# lines N FOLDER: metrics.jsonl has at least N lines
lines() {
    local all=()
    [ ! -e "$2/metrics.jsonl" ] || mapfile -t all <"$2/metrics.jsonl"
    [ ${#all[@]} -ge "$1" ]
}
# member NAME FOLDER: of the state in the folder's newest checkpoint
member() { sed -nE "s/.*\"$1\": ?(\"[^\"]*\"|[0-9]+).*/\1/p" "$2/checkpoints/$(cat "$2/checkpoints/latest")/manifest.json" | head -1; }
# told TEXT: it is in err
told() { [[ $(<err) == *"$1"* ]]; }
# pause SECONDS
pause() { read -rt "$1" _ <&"$never"; }
# is_saved STEP FOLDER: as the last one
is_saved() {
    local name=''
    [ ! -e "$2/checkpoints/latest" ] || read -r name <"$2/checkpoints/latest"
    [ "$name" = "step-$(printf %08d "$1")" ]
}
# back_to STEP FOLDER...: puts the runs into the state they would have had if they had ended at that
# step
back_to() {
    local step folder checkpoint
    step=step-$(printf %08d "$1")
    shift
    for folder; do
        for checkpoint in "$folder"/checkpoints/step-*; do [[ ${checkpoint##*/} > $step ]] && rm -r "$checkpoint"; done
        echo "$step" >"$folder/checkpoints/latest"
    done
}
# is_saving FOLDER: a checkpoint is being written
is_saving() { compgen -G "$1/checkpoints/*.partial" >/dev/null; }
# ended: waits for the job; sets code
ended() {
    wait "$job"
    code=$?
    job=''
}
alike() { "$root/tests/support/compare_runs.sh" "$@"; }
# gone SECONDS PID...: succeeds when all of them have ended within that time
gone() {
    local until=$((SECONDS + $1)) pid
    shift
    for pid; do
        while kill -0 "$pid" 2>/dev/null; do
            [ $SECONDS -lt $until ] || { echo "process $pid is still there: $(tr '\0' ' ' <"/proc/$pid/cmdline")"; return 1; }
            read -rt 0.02 _ <&"$never"
        done
    done
    return 0
}
# values FILE NAME: the values of that name, one per line; "-" where a line does not have it
values() { awk -F "\"$2\":" '{ v = "-"; if (NF > 1) { v = $2; sub(/[,}].*/, "", v) } print v }' "$1"; }
# deviations FILE: the distinct values of ratio/max_deviation ("-": lines without it), except those
# of steps without anything to learn from (null)
deviations() { grep -v '"updates":0,"skipped_updates":0' "$1" | values - ratio/max_deviation | sort -u | paste -sd ' '; }
