#!/bin/bash
# preflight.sh [options] PROGRAM: checks every host before a job starts there, in well under a
# minute.
#
#   launch/preflight.sh --hostfile hostfiles/4-hosts --recipe launch/recipes/countdown.yaml build/duet
#
# All hosts are queried in parallel (launch/preflight/probe.sh, over ssh, or srun in a Slurm job):
# same program and libraries, clock, free disk and memory, cores and binding, GPUs, resolution of
# the other hosts' names. Then messages are measured between the hosts that can run the program
# (`duet bench network`). Prints one table, and for each fault the host and what to do.
#
# Exit code: 0 start, 1 something is wrong, 2 a mistake on the command line or in the hostfile.
# shellcheck disable=SC1090,SC1091,SC2034,SC2154,SC2317  # sourced: host, slots come from there, interface ... are used there
set -u
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
who=launch/preflight.sh own_name=$(hostname)
for file in environment hostfile hosts leftovers; do . "$here/run/$file.sh"; done

usage() {
    cat >&2 <<'EOT'
usage: launch/preflight.sh [options] PROGRAM
  --hostfile FILE      the hosts (hostfiles/README.md); default: those of the Slurm job
  --recipe FILE        a recipe: memory and disk are compared with what `duet plan` predicts for it
  --run-folder DIR     where the job will write (.)
  --cluster FILE       a cluster file (launch/clusters): the rate that messages between hosts should reach
  --interface NET      as for launch/run.sh (also DUET_INTERFACE)
  --memory GIB         free memory that a rank needs (1; with --recipe: what the plan predicts)
  --disk GIB           free space that the run folder needs (2; with --recipe: what the plan predicts)
  --clock SECONDS      largest difference between clocks (1)
  --no-messages        skips the measurement of messages
environment: DUET_SSH="ssh -F FILE" reaches other hosts
EOT
    exit 2
}

# --- options ---

hostfile='' recipe='' folder=. cluster='' interface=${DUET_INTERFACE:-} rank_gib='' disk_gib='' clock_limit=1 messages=1
while [ $# -gt 0 ]; do
    case $1 in
    --hostfile) hostfile=${2:-}; shift 2 || usage ;;
    --recipe) recipe=${2:-}; shift 2 || usage ;;
    --run-folder) folder=${2:-}; shift 2 || usage ;;
    --cluster) cluster=${2:-}; shift 2 || usage ;;
    --interface) interface=${2:-}; shift 2 || usage ;;
    --memory) rank_gib=${2:-}; shift 2 || usage ;;
    --disk) disk_gib=${2:-}; shift 2 || usage ;;
    --clock) clock_limit=${2:-}; shift 2 || usage ;;
    --no-messages) messages=''; shift ;;
    -*) usage ;;
    *) break ;;
    esac
done
[[ $# -eq 1 && $folder ]] || usage
for number in "${rank_gib:-0}" "${disk_gib:-0}" "$clock_limit"; do [[ $number =~ ^[0-9]*\.?[0-9]+$ ]] || usage; done

check_environment
program=$(command -v "$1") || problem "$1 is not a program" "build it: make all"
program=$(realpath "$program")
[ -z "$recipe" ] || [ -r "$recipe" ] || problem "cannot read the recipe $recipe"
[ -z "$cluster" ] || [ -r "$cluster" ] || problem "cannot read the cluster file $cluster" "ls launch/clusters"
command -v mpirun >/dev/null || problem "mpirun is not installed" "make setup"
ssh_words=${DUET_SSH:-ssh} agent=${DUET_SSH:-ssh -o BatchMode=yes -o ConnectTimeout=8} by_slurm='' ranks=1
if [ "$hostfile" ]; then
    read_hostfile "$hostfile"
elif [ "${SLURM_JOB_ID:-}" ] && [ "${SLURM_JOB_NODELIST:-}" ]; then
    by_slurm=1
    read_allocation
else
    problem "which hosts?" "give --hostfile FILE, or run it in a Slurm job"
fi
end_if_problems
folder=$(realpath -m "$folder")
started=$SECONDS
ranks=0
for count in "${slots[@]}"; do ranks=$((ranks + count)); done
name_scratch
make_scratch
sweep
token=$$-$RANDOM mark=''
# shellcheck disable=SC2317  # called by the trap
clean() { rm -rf "$scratch" ${mark:+"$mark"}; }
trap clean EXIT
trap 'exit 130' INT TERM HUP

# --- what was found: said of a host, printed at the end ---

faults=() notes=()
declare -A bad # host.column: marked in the table
fault() { # HOST COLUMN WHAT DO
    bad[$1.$2]=1
    bad[$1]=1
    faults+=("$1: $3"$'\n'"    do:  $4")
}
note() { notes+=("$1: $2"); }

# --- asking ---

# A file next to the run folder, which all hosts see if the folder is shared.
near=$folder
while [ ! -d "$near" ]; do near=$(dirname "$near"); done
mark=$near/.preflight-$token
echo "$mark" >"$scratch/mark"
echo "$token" 2>/dev/null >"$mark" || mark=''

# ask_host INDEX: its answer in $scratch/INDEX, with the line "clock OFFSET HALF": microseconds that
# its clock is ahead of ours, and half of the shortest round trip, by which that may be wrong.
ask_host() {
    local name=${host[$1]} out=$scratch/$1 way before after there best=-1 offset to answer _
    # shellcheck disable=SC2206  # the agent is words
    way=($agent "$name" bash -s)
    [ -z "$by_slurm" ] || way=(srun --overlap --mpi=none --cpu-bind=none -N1 -n1 -w "$name" bash -s)
    is_here "$name" && way=(bash -s)
    mkfifo "$out.to" "$out.from"
    timeout -k 1 25 "${way[@]}" <"$out.to" >"$out.from" 2>"$out.err" &
    exec {to}>"$out.to" {answer}<"$out.from" 2>"$out.shell"
    trap '' PIPE # it may have ended
    cat "$here/preflight/probe.sh" >&"$to"
    printf '%s\n' main "$name" "$program" "$(dirname "$(command -v mpirun)")" "$folder" "$mark" "$token" "${host[*]}" >&"$to"
    for _ in 1 2 3 4 5; do
        before=${EPOCHREALTIME/[.,]/}
        echo t >&"$to"
        read -r there <&"$answer" || break
        after=${EPOCHREALTIME/[.,]/}
        [[ $there =~ ^[0-9]{16,20}$ ]] || break
        if [ $best -lt 0 ] || [ $((after - before)) -lt $best ]; then
            best=$((after - before)) offset=$((there / 1000 - (before + after) / 2))
        fi
    done
    echo go >&"$to"
    exec {to}>&-
    {
        [ $best -lt 0 ] || echo "clock $offset $((best / 2))"
        cat <&"$answer"
    } >"$out"
}

needs() { # what the recipe needs, in $scratch/plan
    timeout 20 "$program" plan "$recipe" --ranks "$ranks" >"$scratch/plan" 2>"$scratch/plan.err" </dev/null
}
if [ "$recipe" ] && ! needs; then
    problem "duet plan rejects $recipe on $ranks ranks: $(head -n 1 "$scratch/plan.err")" "correct the recipe, or give a hostfile with the number of ranks that its mesh needs"
    end_if_problems
fi
for i in "${!host[@]}"; do
    ask_host "$i" &
    [ $((i % 64)) -ne 63 ] || wait
done
wait
. "$here/preflight/judge.sh"
. "$here/preflight/messages.sh"

# --- the report ---

for i in "${!host[@]}"; do judge_alone "$i"; done
judge_together
measure_messages
print_table
for text in "${notes[@]}"; do echo "note: $text"; done
if [ ${#faults[@]} -eq 0 ]; then
    echo "preflight: ${#host[@]} host$([ ${#host[@]} -eq 1 ] || echo s) ready, $((SECONDS - started)) s"
    exit 0
fi
echo "wrong:"
printf '  %s\n' "${faults[@]}"
echo "preflight: do not start: ${#faults[@]} fault$([ ${#faults[@]} -eq 1 ] || echo s) on $(printf '%s\n' "${host[@]}" all | while read -r i; do
    [ -z "${bad[$i]:-}" ] || echo "$i"
done | paste -sd, | sed 's/,/, /g'), $((SECONDS - started)) s"
exit 1
