#!/bin/bash
# test_limit.sh DUET: a real limit of two minutes: Slurm's warning, requested by submit.sh, comes
# before it; the trainer saves, the job is requeued, restarts on its own after Slurm's two minutes,
# and ends with the bits of the unbroken run. Most of the time the ranks are stopped.
. "${BASH_SOURCE%/*}/../common.sh"
sed -i 's/watchdog_s: 60/watchdog_s: 600/' recipe.yaml
jobs_up 2
slowly send limited --time 2
check "under way" under_way 5 runs/limited
began=$SECONDS
# shellcheck disable=SC2046
kill -STOP $(ranks_on 2)
check "warned" until_output 120 "asking the trainer to save and stop"
echo "warned $((SECONDS - began)) s after its first steps"
check "warned before the limit" test $((SECONDS - began)) -lt 115
# shellcheck disable=SC2046
kill -CONT $(ranks_on 2)
check "saved, requeued" until_output 20 "requeued"
check "exit 85" has runs/limited/jobs.log "end $id 85"
check "starts by itself" until_restarted 1 180
check "done" until_state COMPLETED 90
check "the bits of the unbroken run" alike single runs/limited
finish
