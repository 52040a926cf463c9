#!/bin/bash
# submit.sh RECIPE --nodes N [options] [-- duet train's arguments]: a batch job of Slurm that trains
# to the end of the recipe, however many jobs that takes (launch/slurm/train.sbatch,
# docs/CLUSTER.md).
#
#   launch/submit.sh launch/recipes/countdown.yaml --nodes 2 --ranks-per-node 8 --time 12:00:00 -- --set mesh.dp=8
#   launch/submit.sh launch/recipes/countdown.yaml --nodes 2 --ranks-per-node 2 --array 1-3 -- --set phases.grpo.lr=1e-4
#
# Prints Slurm's "Submitted batch job N". Exit code: 0, 2 for a mistake, 1 when Slurm refuses.
set -u

usage() {
    cat >&2 <<'EOT'
usage: launch/submit.sh RECIPE --nodes N [options] [-- duet train's arguments]
  --nodes N              number of hosts
  --gpus-per-node G      GPUs on each host, with one rank for each (passed to sbatch; the trainer computes on cores)
  --ranks-per-node R     ranks on each host (default: G, or what the recipe's mesh needs)
  --time T               time limit of one job in Slurm's form: 12:00:00, 1-00, 90 (minutes); default: the partition's
  --array 1-3            one run per seed, in RUN/seed-1 ...
  --launcher L           srun (through PMIx) or mpirun; default: srun where its --mpi=list has pmix
  --map MAP              which host runs which rank, as for launch/run.sh
  --preflight            runs launch/preflight.sh on the job's hosts first
  --chain HOW            how the job restarts: requeue (same job number), resubmit, none
  --max-restarts N       number of restarts after which it gives up (20)
  --max-young N          gives up after N starts in a row that failed early, without a new checkpoint (3)
  --young S              a start fails early when it fails within S seconds (300)
  --back-off S           waits S seconds after an early failure, then 4 S, 16 S ... (60)
  --margin X             asks the job to stop X times the measured stopping time before the limit (2)
  --program FILE         default: build/duet, or the program installed with these scripts
  --dry-run              prints the sbatch command and the script
  --OPTION=VALUE         passed to sbatch unchanged: --partition=gpu --account=me --dependency=afterok:12
EOT
    exit 2
}
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=launch/slurm/job.sh
. "$here/slurm/job.sh"
who=launch/submit.sh
# shellcheck source=launch/run/environment.sh
. "$here/run/environment.sh"
script=$here/slurm/train.sbatch home=${here%/*}

# --- options ---

words=("$@")
recipe='' nodes='' gpus='' per_node='' limit='' array='' launcher=auto chain=requeue margin=2 program=build/duet dry=''
for file in "$home/build/duet" "$(realpath -m "$home/../../bin/duet")"; do # beside these scripts; where make install puts it
    [ -x "$program" ] || [ ! -x "$file" ] || program=$file
done
job=() sbatch=()
while [ $# -gt 0 ]; do
    case $1 in
    --) shift; break ;;
    --dry-run) dry=1; shift; continue ;;
    --preflight) job+=(--preflight yes); shift; continue ;;
    --*=*) sbatch+=("$1"); shift; continue ;;
    --*) [ $# -ge 2 ] || usage ;;&
    --nodes) nodes=$2 ;;
    --gpus-per-node) gpus=$2 ;;
    --ranks-per-node) per_node=$2 ;;
    --time) limit=$2 ;;
    --array) array=$2 ;;
    --launcher) launcher=$2 ;;
    --chain) chain=$2 ;;
    --margin) margin=$2 ;;
    --program) program=$2 ;;
    --max-restarts | --max-young | --young | --back-off | --map) job+=("$1" "$2") ;;
    -*) usage ;;
    *) [ -z "$recipe" ] || usage; recipe=$1; shift; continue ;;
    esac
    shift 2
done
# A job that resubmits itself passes these, in addition to its original arguments.
array=${DUET_AGAIN_ARRAY:-$array} attempt=${DUET_AGAIN_ATTEMPT:-0}
[ -z "${DUET_AGAIN_BEGIN:-}" ] || sbatch+=("--begin=$DUET_AGAIN_BEGIN")
unset DUET_AGAIN_ARRAY DUET_AGAIN_ATTEMPT DUET_AGAIN_BEGIN
[[ $recipe && $nodes =~ ^[1-9][0-9]*$ ]] || usage
[[ $launcher =~ ^(auto|srun|mpirun)$ && $chain =~ ^(requeue|resubmit|none)$ && $margin =~ ^[0-9.]+$ && $gpus$per_node =~ ^[0-9]*$ ]] || usage

# --- mistakes that can be found before it waits in the queue ---

check_environment
[ -r "$recipe" ] || { problem "cannot read the recipe $recipe" "ls launch/recipes"; exit 2; }
[ -x "$program" ] || problem "$program is not a program" "make all"
command -v sbatch >/dev/null || problem "sbatch not found: no Slurm, or not its login host" "launch/run.sh --hostfile starts a job without Slurm"
command -v "$program" >/dev/null && recipe_facts "$program" "$recipe" "$@" || exit 2
[ "$per_node" ] || per_node=$gpus
if [ -z "$per_node" ] && [ "$needs" ]; then per_node=$(((needs + nodes - 1) / nodes)); fi
if [ -z "$per_node" ]; then
    problem "the number of ranks per node is unknown: $recipe leaves dp open" "--ranks-per-node R, or mesh: {dp: N} in the recipe"
elif [ "$needs" ] && [ "$needs" -ne $((nodes * per_node)) ]; then
    fix="choose --nodes and --ranks-per-node for a multiple of $each ranks (pp x tp x sites), with -- --set mesh.dp=N"
    [ $((nodes * per_node % each)) -ne 0 ] || fix="add at the end of the line: -- --set mesh.dp=$((nodes * per_node / each)); or change --nodes or --ranks-per-node"
    problem "the mesh of $recipe needs $needs ranks; --nodes $nodes with $per_node each give $((nodes * per_node))" "$fix"
fi
if [ "$launcher" = srun ] && command -v srun >/dev/null; then
    types=$(srun --mpi=list 2>&1)
    grep -q pmix <<<"$types" || problem "this Slurm's srun lacks PMIx, through which Open MPI's ranks find each other; it offers: \
$(grep -v ' are' <<<"$types" | tr -s '[:space:]' ' ')" "--launcher mpirun"
fi
[ $problems -eq 0 ] || exit 2

# --- the job ---

measured=$out
[ -z "$array" ] || measured="$out/seed-${array%%[!0-9]*}"
warn=$(warning_seconds "$measured" "$margin" "$(seconds_of "${limit:-0}")")
logs=$(dirname -- "$out")/slurm
name=${out##*/}
name=${name:-run}
command=(sbatch --job-name "$name" --nodes "$nodes" --ntasks-per-node "$per_node" --signal "B:USR1@$warn" --requeue --open-mode append
    --output "${logs//%/%%}/${name//%/%%}-%$([ "$array" ] && echo A_%a || echo j).out")
[ -z "$gpus" ] || command+=(--gpus-per-node "$gpus")
[ -z "$limit" ] || command+=(--time "$limit")
[ -z "$array" ] || command+=(--array "$array")
command+=("${sbatch[@]}" "$script" --home "$home" --launcher "$launcher" --chain "$chain" --margin "$margin" --program "$program" --out "$out" --attempt "$attempt"
    "${job[@]}" --submitted "$(printf '%q ' "${words[@]}")" "$recipe" "$@")
if [ "$dry" ]; then
    took=$(stop_seconds "$measured")
    if [ "$took" ]; then echo "# warning $warn s before the limit: stopping took up to $took s, times $margin, plus 10 s"
    else echo "# warning $warn s before the limit: no stop has been measured in $measured yet"; fi
    printf '%q ' "${command[@]}"
    echo
    cat "$script"
    exit 0
fi
mkdir -p "$logs" || exit 1
"${command[@]}" || exit 1
