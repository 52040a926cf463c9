# shellcheck shell=bash disable=SC2034,SC2154
# common.sh: for tests of batch jobs; sourced with the program as $1. Everything of
# tests/hosts/common.sh, and a Slurm on the testbed: jobs are submitted, watched and disturbed. A
# job is identified by its number, $id of the last submission.
. "${BASH_SOURCE%/*}/../hosts/common.sh"

slurm_up() { hosts_up "${1:-4}" --slurm; }

# submit ARGUMENTS OF sbatch...: sets id; the output goes to job-ID.out, appended
submit() {
    id=$("$tb" on 1 sbatch --parsable --output="job-%j.out" --open-mode=append "$@" 2>err)
    check "submitted: sbatch $*" test "$id" -gt 0
}
# from_output: sets id from what a launcher printed ("Submitted batch job 12" or "... job 12 ...")
# in file out
id_from() { id=$(sed -n 's/.*[Jj]ob \([0-9][0-9]*\).*/\1/p' "$1" | head -n 1); }

# jobs_up N: the same with all that launch/submit.sh needs, and `single`: the unbroken run of the
# recipe on one host
jobs_up() {
    slurm_up "$1"
    ln -s "$root/launch" launch
    mkdir build && ln -s "$duet" build/duet
    train 4 single
    check "one host: exit 0" equal "$code" 0
}
# send NAME ARGUMENTS...: submit.sh on two hosts, into runs/NAME; sets id, and job-ID.out, where the
# checks look
send() {
    local name=$1
    shift
    call "$tb" on 1 launch/submit.sh recipe.yaml --nodes 2 "$@" -- --set "out=runs/$name"
    check "$name: submitted" equal "$code" 0
    id_from out
    ln -s "runs/slurm/$name-$id.out" "job-$id.out"
}
# under_way N FOLDER: waits until a run has N lines of metrics
under_way() {
    local until=$((SECONDS + 60))
    until lines "$@"; do [ $SECONDS -lt $until ] || return 1; read -rt 0.05 _ <&"$never"; done
    return 0
}
# A run that is to be stopped must not finish first: each step of a pass sleeps this long, which
# changes no bit.
slowly() { DUET_PACE_US=3000 "$@"; }

# job_field NAME [JOB]: of scontrol show job: JobState, Reason, NodeList, ExitCode, Restarts, ...
job_field() { "$tb" on 1 scontrol -o show job "${2:-$id}" 2>/dev/null | tr ' ' '\n' | sed -n "s/^$1=//p" | head -n 1; }
job_state() { job_field JobState "$@"; }

# until_state STATES SECONDS [JOB]: waits until it is in one of the states (RUNNING|PENDING); fails
# when it ends in another, or on time-out
until_state() {
    local until=$((SECONDS + $2)) job=${3:-$id} now
    while :; do
        now=$(job_state "$job")
        [[ "|$1|" == *"|$now|"* ]] && return
        [[ $now =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$ ]] || [ $SECONDS -ge $until ] && break
        read -rt 0.2 _ <&"$never"
    done
    echo "job $job is $now ($(job_field Reason "$job")), not $1"
    tail -n 20 "job-$job.out" 2>/dev/null
    return 1
}
# until_output SECONDS TEXT [JOB]: waits until its output contains the text
until_output() {
    local until=$((SECONDS + $1)) file=job-${3:-$id}.out
    until grep -qsF -- "$2" "$file"; do
        [ $SECONDS -lt $until ] || { echo "no \"$2\" in $file:"; tail -n 20 "$file"; return 1; }
        read -rt 0.1 _ <&"$never"
    done
    return 0
}
# Slurm holds a requeued job for two minutes; the tests do not wait for that. At least two seconds
# are needed: a node refuses a job that was revoked in the same second ("Job credential revoked").
start_now() { until_state PENDING 20 "$@" && "$tb" on 1 scontrol update job="${1:-$id}" StartTime=now+2; }
# until_restarted N SECONDS [JOB]: waits until its N-th restart runs
until_restarted() {
    local until=$((SECONDS + $2)) job=${3:-$id}
    until [ "$(job_field Restarts "$job")" -ge "$1" ] && [ "$(job_state "$job")" = RUNNING ]; do
        [ $SECONDS -lt $until ] || { echo "job $job is $(job_state "$job"), restarted $(job_field Restarts "$job") times"; return 1; }
        read -rt 0.2 _ <&"$never"
    done
    return 0
}
