#!/bin/bash
# test_node_loss.sh DUET: a host of a running job loses its link permanently. mpirun ends the ranks
# within seconds and names the host; Slurm finds the host down (after its SlurmdTimeout) and
# requeues the job. On other hosts it resumes and ends with the bits of the unbroken run.
# LAUNCHERS: mpirun (the default), srun
. "${BASH_SOURCE%/*}/common.sh"
sed -e 's/steps: 12/steps: 4/' -i recipe.yaml
jobs_up 4

is_down() { [[ $(on 1 sinfo -h -n h3 -o %T) == *down* ]]; }
until_down() { # SECONDS: Slurm has noticed
    local until=$((SECONDS + $1))
    until is_down; do [ $SECONDS -lt $until ] || return 1; sleep 0.5; done
}

for launcher in ${LAUNCHERS:-mpirun}; do
    # On h2, the batch host, and h3: h1 is the controller's.
    slowly send $launcher --launcher $launcher --time 30 --exclude=h1,h4
    check "$launcher: under way" under_way 23 runs/$launcher
    "$tb" cut 3
    since=$SECONDS
    if [ $launcher = mpirun ]; then
        check "mpirun: lost host named" until_output 15 "host h3: the connection to it is lost"
    fi
    check "$launcher: Slurm has noticed" until_down 60
    check "$launcher: waits in the queue" until_state PENDING 60
    check "$launcher: within a minute" test $((SECONDS - since)) -le 60
    on 1 scontrol update job="$id" ExcNodeList=h3
    check "$launcher: starts again" start_now
    check "$launcher: done" until_state COMPLETED 90
    check "$launcher: on other hosts" hasnt <(job_field NodeList) h3
    check "$launcher: the bits of the unbroken run" alike single runs/$launcher
    "$tb" mend 3
    [ "${LAUNCHERS:-}" ] || break
    until [[ $(on 1 sinfo -h -n h3 -o %T) == idle ]] || [ $((SECONDS - since)) -gt 150 ]; do sleep 0.5; done
done
# The lost host's slurmstepd reports the end of its step to the controller after a minute; its ranks
# are gone.
check "no process is left" nobody_left 20 "slurmstepd: "
finish
