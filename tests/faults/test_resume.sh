#!/bin/bash
# test_resume.sh DUET: promise P5. One run is killed with SIGKILL five times and resumed each time:
# its metrics, samples and tensors are those of an unbroken run. It also resumes on a mesh of
# another shape.
. "${BASH_SOURCE%/*}/common.sh"

train 4 whole
check "unbroken: exit 0" equal "$code" 0
# parts_of_start FILE: what the log says of it: the whole, and the sum of its parts
parts_of_start() { sed -n 's/.*started in \([0-9.]*\) s: MPI \([0-9.]*\), recipe .*, weights [0-9.]*$/&/p' "$1" | grep -oE '[0-9]+\.[0-9]' | tail -n 10 | awk 'NR == 1 { all = $1 } NR > 1 { n += $1 } END { exit !(NR == 10 && n > all - 0.6 && n < all + 0.6) }'; }
check "unbroken: where the time to the first step went" parts_of_start err
check "unbroken: groups of different rewards" test "$(values whole/metrics.jsonl grad_norm | tail -n 13 | grep -c '[1-9]')" -ge 6

# killed NAME VICTIM TEST...: resumes the run, waits until the test is true, then kills one rank,
# mpirun or all of them
killed() {
    local name=$1 victim=$2 rank
    shift 2
    start 4 broken --resume auto
    ready
    check "killed $name: at that moment" until_true "$@" || { ended; return; }
    case $victim in
    mpirun) kill -KILL "${pids[0]}" ;;
    all) kill -KILL "${pids[@]}" ;;
    *) rank=${victim#rank}; kill -KILL "${pids[rank + 1]}" ;;
    esac
    ended
    check "killed $name: exit code not 0" test "$code" -ne 0
    check "killed $name: no process is left" gone 10 "${pids[@]}"
    echo "killed $name ($victim): $(wc -l <broken/metrics.jsonl) lines, last checkpoint $(cat broken/checkpoints/latest)"
}
# is_saving_step STEP: it is being saved, or just was: on a fast machine that takes less time than
# looking twice
is_saving_step() {
    local folder
    folder=broken/checkpoints/step-$(printf %08d "$1")
    [ -d "$folder.partial" ] || [ -d "$folder" ]
}

killed "in sft" rank2 lines 25 broken
cp -r broken other
killed "while saving" all is_saving_step 40
killed "between phases" rank0 lines 60 broken
killed "in grpo" rank3 lines 66 broken
killed "in eval" mpirun is_saving_step 72
train 4 broken --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: same as the unbroken run" alike whole broken

# --- a stop request after the last step: nothing to stop, the run is done ---
sed '/kind: grpo/,$d' recipe.yaml >sft.yaml
recipe=sft.yaml
start 2 last --set mesh.dp=1 --set phases.start.steps=1 --set phases.start.batch=8192 # of some seconds
said() { [[ $(<err) == *"run folder last"* ]]; }
check "stop in the last step: under way" until_true said
kill -TERM "$job"
ended
check "stop in the last step: heard" has err "saving a checkpoint, then stopping"
check "stop in the last step: exit 0" equal "$code" 0
check "stop in the last step: it was made and saved" equal "$(cat last/checkpoints/latest) $(wc -l <last/metrics.jsonl)" "step-00000001 1"
check "stop in the last step: nothing is to be resumed" hasnt err "--resume auto"
recipe=recipe.yaml

# --- on other meshes: last bits differ, steps do not ---
from=$(cat other/checkpoints/latest)
start 2 other --resume auto --set mesh.dp=1
ready
check "2x2 -> 1x2: gets into grpo" until_true lines 66 other && kill -KILL "${pids[@]}"
ended
check "2x2 -> 1x2: resumes from $from" has err "resuming from other/checkpoints/$from"
from=$(cat other/checkpoints/latest)
train 1 other --resume auto --set mesh.dp=1 --set mesh.pp=1
check "1x2 -> 1x1: exit 0" equal "$code" 0
check "1x2 -> 1x1: resumes from $from, where 1x2 was" has err "resuming from other/checkpoints/$from"
check "other meshes: every step once" equal "$(values other/metrics.jsonl step)" "$(seq 0 72)"
# near LINES: the mean loss over those steps is within 3 % of the unbroken run's, and no step's is
# off by more than a fifth. (Over steps 21 to 60, runs on 1x1, 2x2 and 1x2 from the start differ by
# 0.2 to 15 % at the worst step, depending on the seed.)
near() {
    paste <(values whole/metrics.jsonl loss) <(values other/metrics.jsonl loss) | sed -n "$1p" |
        awk '{ d = ($1 - $2) / $1; a += $1; b += $2; if (d * d > 0.04) { print NR ": " $0; bad = 1 } }
             END { d = (a - b) / a; if (d * d > 0.0009) { print "sums " a " " b; bad = 1 } exit bad || NR == 0 }'
}
check "other meshes: the loss goes on as it was" near 21,60
finish
