#!/bin/bash
# test_submit.sh DUET: launch/submit.sh on a real Slurm, through srun and through mpirun: warned by
# Slurm before the limit, saved, requeued and resumed, a run has the bits of the unbroken one; an
# array of seeds and a job that depends on it; scancel; final stop; too many starts.
. "${BASH_SOURCE%/*}/common.sh"
sed -e 's/steps: 60/steps: 30/; s/steps: 12/steps: 4/' -i recipe.yaml
jobs_up 3

# --- mistakes, before anything waits in a queue ---
call on 1 launch/submit.sh recipe.yaml --nodes 2 --ranks-per-node 1
check "mesh and nodes: exit 2" equal "$code" 2
check "mesh and nodes: reported" has err "needs 4 ranks; --nodes 2 with 1 each give 2"
call on 1 launch/submit.sh recipe.yaml --nodes 2 --time 100 --dry-run --partition=main -- --set out=runs/dry
check "dry run: exit 0" equal "$code" 0
check "dry run: the command" has out "--signal B:USR1@300 --requeue --open-mode append --output runs/slurm/dry-%j.out --time 100 --partition=main"
call on 1 srun --mpi=none --nodes 2 --ntasks 4 "$duet" train recipe.yaml --set out=alone
check "srun without PMIx: exit 2" equal "$code" 2
check "srun without PMIx: reported once" times 1 err "srun started 4 ranks that cannot find each other"
check "srun without PMIx: nothing was begun" test ! -e alone

# frozen FOLDER: the trainer's ranks of that run on h2
frozen() {
    local pid
    for pid in $(ranks_on 2); do
        tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q "out=$1 " && echo "$pid"
    done
}

# --- in parallel: a job that Slurm warns a minute before its limit, and an array. Slurm checks
# every half minute; until then the run is stopped ---
slowly send limited --time 1 --signal=B:USR1@60
limited=$id
check "limit: under way" under_way 3 runs/limited
# shellcheck disable=SC2046
kill -STOP $(frozen runs/limited)
send array --launcher mpirun --array 7-8 --time 30
array=$id
call on 1 launch/submit.sh recipe.yaml --nodes 1 --ranks-per-node 4 --dependency="afterok:$array" -- --set out=runs/after
id_from out
after=$id
check "dependency: it waits" equal "$(job_field Reason)" Dependency
id=$limited
check "limit: warned" until_output 45 "asking the trainer to save and stop"
# shellcheck disable=SC2046
kill -CONT $(frozen runs/limited)
check "limit: saved, requeued" until_output 20 "requeued"
check "limit: exit 85" has runs/limited/jobs.log "end $id 85"
check "limit: by srun" has "job-$id.out" "started by srun"
check "limit: waits in the queue" until_state PENDING 20
check "limit: it has more time now" on 1 scontrol update job="$id" TimeLimit=30
check "limit: starts again" start_now
check "limit: done" until_state COMPLETED 90
check "limit: resumed" has "job-$id.out" "resuming from runs/limited/checkpoints/"
check "limit: the bits of the unbroken run" alike single runs/limited
check "limit: how long stopping took is known" grep -qE "^stop $id [0-9.]+$" runs/limited/jobs.log
call on 1 launch/submit.sh recipe.yaml --nodes 2 --time 100 --dry-run -- --set out=runs/limited
check "limit: the next warning is by what was measured" has out "stopping took up to"
id=$after
check "dependency: done, after the array" until_state COMPLETED 90
check "array: by mpirun" has "runs/slurm/array-${array}_7.out" "started by mpirun"
check "array: seed 7 is the recipe's" alike single runs/array/seed-7
check "array: seed 8 is another run" test "$(alike single runs/array/seed-8 | grep -c differ)" -eq 1

# --- ended by somebody ---
slowly send cancelled
check "scancel: under way" under_way 3 runs/cancelled
on 1 scancel "$id"
check "scancel: cancelled" until_state CANCELLED 20
check "scancel: no process is left" nobody_left 10
slowly send for-good
check "stop for good: under way" under_way 3 runs/for-good
on 1 scancel --batch --signal USR2 "$id"
check "stop for good: saved" until_output 20 "stopped, checkpoint saved"
check "stop for good: not requeued" until_output 20 "not requeued"
# A folder that only a YAML parser finds: the warning still reaches the trainer.
sed 's/^seed:.*/&\n"out":\n  "my runs\/é (1)" # two words/' recipe.yaml >"odd recipe.yaml"
slowly call on 1 launch/submit.sh "odd recipe.yaml" --nodes 2
id_from out
ln -s "my runs/slurm/é (1)-$id.out" "job-$id.out"
check "odd folder: under way" under_way 3 "my runs/é (1)"
on 1 scancel --batch --signal USR2 "$id"
check "odd folder: saved" until_output 20 "stopped, checkpoint saved"
check "odd folder: not requeued" until_output 20 "not requeued"
check "odd folder: its jobs are known there" has "my runs/é (1)/jobs.log" "end $id 85"
slowly send enough --max-restarts 0
check "too many starts: under way" under_way 3 runs/enough
on 1 scancel --batch --signal USR1 "$id"
check "too many starts: enough" until_output 20 "not requeued: started 1 times (--max-restarts 0)"

# --- early failures: waits, retries, gives up ---
answers='[ "$1" = settings ] && exec '"$duet"' "$@"'
printf '#!/bin/sh\n%s\nexit 1\n' "$answers" >sick && chmod +x sick
send sick --program ./sick --max-young 2 --back-off 1 --chain resubmit
check "early failure: submitted again" until_output 30 "resubmitted"
id=$((id + 1))
check "early failure: given up" until_state FAILED 30
check "early failure: says why" has "runs/slurm/sick-$id.out" "not requeued: 2 starts in a row failed within 300 s without a new checkpoint"
printf '#!/bin/sh\n%s\nexit 2\n' "$answers" >sick
send mistake --program ./sick
check "a mistake: not tried again" until_output 30 "a restart would meet again"
printf '#!/bin/sh\n[ "$SLURM_JOB_ID" ] || exec %s "$@"\nexit 1\n' "$duet" >sick
send away --program ./sick --chain none
check "a program that does not run there: reported" until_output 30 "not requeued"
check "a program that does not run there: counted" has runs/away/jobs.log "end $id 1"
check "no process is left" nobody_left 20
finish
