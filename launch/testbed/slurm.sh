# shellcheck shell=bash disable=SC2154
# slurm.sh: a Slurm on the testbed's hosts; sourced by testbed.sh. Controller and munged on h1, a
# slurmd on each host, all of them children of their host, with configuration, sockets, state and
# logs under $state/slurm. /etc/slurm is bound over inside the hosts, so its clients (sbatch,
# squeue, ...) work there and only there. No accounting database.

# Cores that each host promises: more than there are, as several ranks a host must fit.
SLURM_CORES=4

slurm_up() {
    local i
    mkdir -p "$state"/slurm/{etc,state,log,munge}
    write_slurm_files
    start_munge
    for i in $(hosts); do
        mkdir -p "$state/slurm/spool/h$i" "$state/slurm/tmp/h$i"
        inside "$i" mount --bind "$state/slurm/etc" /etc/slurm || { say "host $i: no private /etc/slurm"; down; exit 1; }
    done
    slurm_starts slurmctld inside 1 slurmctld -c
    for i in $(hosts); do slurm_starts "slurmd.h$i" inside "$i" slurmd -N "h$i"; done
    for i in $(seq 300); do
        [ "$(inside 1 sinfo -h -N -o %T 2>/dev/null | grep -cx idle)" -eq "$n" ] && return
        sleep 0.1
    done
    say "Slurm's hosts are not idle after 30 s: $(inside 1 sinfo -h -N -o '%N %T' 2>&1 | paste -sd' ')"
    down
    exit 1
}

# A key of its own; user munge, as munged refuses to be root.
start_munge() {
    local folder=$state/slurm/munge
    head -c 1024 /dev/urandom >"$folder/key"
    chmod 400 "$folder/key"
    chown -R munge: "$folder"
    inside 1 runuser -u munge -- "$(command -v munged)" --key-file="$folder/key" --socket="$folder/socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/log" --seed-file="$folder/seed" >"$folder.log" 2>&1 ||
        { say "no munged: $(tail -n 1 "$folder.log")"; down; exit 1; }
    cp "$folder/munged.pid" "$state/slurm/munged.pid"
}
slurm_starts() { # LOG COMMAND...
    local log=$1
    shift
    "$@" >"$state/slurm/log/$log.start" 2>&1 && return
    say "$log does not start: $(cat "$state/slurm/log/$log".* | grep -E 'error|fatal' | tail -n 1)"
    down
    exit 1
}

write_slurm_files() {
    local i
    # Inside `ip netns exec` /sys is mounted anew, without the cgroups that slurmd looks for.
    echo "CgroupPlugin=cgroup/v1" >"$state/slurm/etc/cgroup.conf"
    {
        cat <<CONF
ClusterName=testbed
SlurmctldHost=h1($net.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$state/slurm/munge/socket
MpiDefault=pmix
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,sched_interval=5
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
SlurmdTimeout=10
MinJobAge=600
StateSaveLocation=$state/slurm/state
SlurmdSpoolDir=$state/slurm/spool/%n
TmpFS=$state/slurm/tmp/%n
SlurmctldPidFile=$state/slurm/slurmctld.pid
SlurmdPidFile=$state/slurm/slurmd.%n.pid
SlurmctldLogFile=$state/slurm/log/slurmctld.log
SlurmdLogFile=$state/slurm/log/slurmd.%n.log
CONF
        for i in $(hosts); do
            echo "NodeName=h$i NodeAddr=$net.$i Sockets=1 CoresPerSocket=$SLURM_CORES ThreadsPerCore=1 RealMemory=4000"
        done
        echo "PartitionName=main Nodes=h[1-$n] Default=YES MaxTime=INFINITE State=UP"
    } >"$state/slurm/etc/slurm.conf"
}

# Asked first, so that what they hold outside their folder goes too; down ends what is left.
slurm_down() {
    local _ pid pids
    pids=$(cat "$state"/slurm/*.pid 2>/dev/null)
    # shellcheck disable=SC2086
    kill $pids 2>/dev/null
    for _ in $(seq 20); do
        # (Who is dead but not yet buried has no command line.)
        [ "$(for pid in $pids; do command_of "$pid"; done)" ] || return 0
        sleep 0.05
    done
}
