#!/bin/bash
# test_slurm.sh DUET: a Slurm job on two hosts has the bits of a run on one host, whether started by
# srun through PMIx or by mpirun inside the allocation; requeued while it runs, it resumes from its
# checkpoint and ends with the same bits.
. "${BASH_SOURCE%/*}/common.sh"
slurm_up 2
sed -i -e '/kind: grpo/,$d' recipe.yaml # the supervised steps are enough
train 4 single
check "one host: exit 0" equal "$code" 0

cat >job.sh <<EOF
#!/bin/bash
#SBATCH --nodes=2 --ntasks-per-node=2 --requeue
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=tcp,vader,self OMP_NUM_THREADS=1
echo "started \${SLURM_RESTART_COUNT:-0}"
\$1 "$duet" train recipe.yaml --set out=\$2 --resume auto
EOF
submit job.sh "srun --mpi=pmix" by-srun
check "srun: done" until_state COMPLETED 60
check "srun: the same bits" alike single by-srun
slowly submit job.sh mpirun by-mpirun
check "mpirun: under way" until_state RUNNING 20
until_saved() { until is_saved 20 by-mpirun || [ "$(job_state)" != RUNNING ]; do read -rt 0.01 _ <&"$never"; done; }
until_saved
on 1 scontrol requeue "$id"
check "mpirun: starts again" start_now
check "mpirun: done" until_state COMPLETED 60
check "mpirun: it was started twice" has "job-$id.out" "started 1"
check "mpirun: the same bits" alike single by-mpirun
check "no process is left" nobody_left 10
finish
