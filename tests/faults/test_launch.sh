#!/bin/bash
# test_launch.sh DUET: launch/run.sh without other hosts: what it would start where (--dry-run),
# mistakes that are reported before anything starts, also in a Slurm job whose srun has no PMIx;
# batch jobs as they would be submitted. Hostfiles: test_hostfile.sh;
# signals: test_relay.sh.
. "${BASH_SOURCE%/*}/common.sh"
run=$root/launch/run.sh
files=$root/hostfiles
unset "${!SLURM_@}" "${!DUET_@}"

# The files of launch/run are one program: a function defined twice would be the later one's for
# all.
check "each function has one definition" equal "$(grep -hoE '^[a-z_]+\(\)' "$run" "$root"/launch/run/*.sh | sort | uniq -d)" ""

# --- one machine ---
call "$run" -n 3 --dry-run true
check "one machine: exit 0" equal "$code" 0
check "one machine: messages by memory" has out "btl vader\\,self"
check "one machine: no network flags" hasnt out "keepalive"
call "$run" -n 4 --hostfile "$files/localhost" --timeout 20 true
check "localhost: runs" equal "$code" 0
call "$run" -n 2 --timeout 20 sh -c 'exit 85'
check "exit code 85" equal "$code" 85
check "exit code 85: reported" has err "restart with --resume auto"

# --- several hosts ---
call "$run" -n 16 --hostfile "$files/2-hosts" --interface ib0 --dry-run true
mistake "interface not here" "this host has no interface ib0"
printf 'a slots=2 # two\n\n# nothing\nb slots = 1\na slots=1\n' >hosts
call "$run" -n 4 --hostfile hosts --dry-run true
check "filled in order, slots added up" equal "$(placed)" "a a a b"
call "$run" -n 3 --hostfile hosts --dry-run true
check "hosts without ranks are left out" equal "$(placed)" "a a a"

call env DUET_SSH="ssh -F some" DUET_KEEPALIVE="9 8 7" DUET_THING=1 "$run" -n 4 --hostfile hosts --interface lo --dry-run --timeout 5 --bind core true
for text in "btl tcp\\,vader\\,self" "btl_tcp_if_include lo" "oob_tcp_if_include lo" "keepalive_time 9" "keepalive_intvl 8" \
    "keepalive_probes 7" "sigkill_timeout 0" "plm_rsh_agent ssh\\ -F\\ some" "-x DUET_THING" "-x DUET_LAUNCHED" "-x OMP_NUM_THREADS" "--timeout 5" \
    "--bind-to core" "mpi_yield_when_idle 1" "--hostfile hosts --map-by slot"; do
    check "flag $text" has out "$text"
done
call env DUET_KEEPALIVE=0 "$run" -n 4 --hostfile hosts --dry-run true
check "keep-alives off" hasnt out keepalive

# --- mistakes ---
call "$run" -n 5 --hostfile hosts true
mistake "fewer slots" "5 ranks, but hosts gives" "4 slots on 2 hosts" "start with -n 4"
printf 'no-such-host.invalid slots=2\n' >unknown
call "$run" -n 2 --hostfile unknown --start-timeout 20 true
mistake "unknown host" "unknown:1: host no-such-host.invalid is unknown"
printf '127.0.0.1 slots=1\n192.0.2.1 slots=1\n' >silent
printf '#!/bin/sh\nexec sleep 30\n' >mute && chmod +x mute
call env DUET_SSH="$PWD/mute" "$run" -n 2 --hostfile silent --start-timeout 1 true
mistake "a host that does not answer" "silent:2: host 192.0.2.1 does not answer: no answer within 1 s"
# --- Slurm, simulated by its environment and commands ---
mkdir bin
printf '#!/bin/sh\n[ "$1" = --mpi=list ] && { echo "MPI plugin types are..."; cat types; } >&2\n' >bin/srun
printf '#!/bin/sh\nprintf "n1\\nn2\\n"\n' >bin/scontrol
chmod +x bin/*
in_job=(env "PATH=$PWD/bin:$PATH" SLURM_JOB_ID=7 "SLURM_JOB_NODELIST=n[1-2]" "SLURM_TASKS_PER_NODE=2(x2)")
printf '\tnone\n\tpmi2\n' >types
call "${in_job[@]}" "$run" -n 4 --launcher srun true
mistake "srun without PMIx" "srun lacks PMIx" "it offers:  none pmi2" "--launcher mpirun"
printf '\tnone\n\tpmix\n' >types
call "${in_job[@]}" "$run" -n 4 --launcher srun --dry-run true
check "srun: the job's hosts" equal "$(placed)" "n1 n1 n2 n2"
check "srun: through PMIx" has out "srun --mpi=pmix -n 4 -N 2"
call "${in_job[@]}" "$run" -n 4 --dry-run true
check "mpirun in a job: no hostfile" hasnt out "--hostfile"
call "${in_job[@]}" "$run" -n 5 --dry-run true
mistake "more ranks than tasks" "5 ranks, but Slurm job 7 gives" "4 slots on 2 hosts"
call env "PATH=$PWD/bin:$PATH" "$run" -n 4 --launcher srun true
mistake "srun outside a job" "srun starts ranks only inside a Slurm job" "launch/submit.sh"

# --- batch jobs: what launch/submit.sh knows before it submits ---
# shellcheck source=launch/slurm/job.sh
. "$root/launch/slurm/job.sh"
for pair in 90=5400 2:30=150 1:00:00=3600 1-2=93600 1-00:30=88200 1-0:0:1=86401; do
    check "limit ${pair%=*}" equal "$(seconds_of "${pair%=*}")" "${pair#*=}"
done
facts() { recipe_facts "$duet" "$@" && echo "${needs:-open} $out"; }
check "a recipe's ranks and folder" equal "$(facts recipe.yaml)" "4 runs/recipe"
check "settings count" equal "$(facts recipe.yaml --resume auto --set mesh.dp=3 --set=mesh.tp=2 --set out=x/y)" "12 x/y"
check "an open mesh" equal "$(facts recipe.yaml --set mesh.dp=0)" "open runs/recipe"
# What a shell script would misread: quotes, a value on the next line, flow style, comments, a name
# in quotes.
cp recipe.yaml "odd é.yaml"
sed -i -e 's/^mesh:.*/"mesh": {"pp": 2,\n  dp: # two\n    2, sites: 1, decode_slots: 16}/' -e '1i out:\n  "my \\"runs\\" é # 1"' "odd é.yaml"
check "odd YAML: no script reads it" equal "$(facts "odd é.yaml")" '4 my "runs" é # 1'
check "a mistake: the program's code" equal "$(facts recipe.yaml --set mesh.pq=2 2>&1 | head -n 1; echo "${PIPESTATUS[0]}")" \
    $'--set mesh.pq=2: unknown setting pq in mesh\n2'
check "a mistake: exit 2" equal "$(facts recipe.yaml --set mesh.pq=2 2>/dev/null; echo $?)" 2
printf '#!/bin/sh\n' >bin/sbatch && chmod +x bin/sbatch
ln -s "$root/launch" launch
submit() { call env "PATH=$PWD/bin:$PATH" launch/submit.sh "$@" --program "$duet" --dry-run; }
submit "odd é.yaml" --nodes 2 --time 100
check "submit, odd YAML: exit 0" equal "$code" 0
check "submit, odd YAML: the folder" has out "$(printf '%q ' --job-name 'my "runs" é # 1' --nodes 2 --ntasks-per-node 2)"
check "submit, odd YAML: the logs" has out "$(printf '%q ' --output './slurm/my "runs" é # 1-%j.out')"
submit recipe.yaml --nodes 2 --ranks-per-node 8
mistake "submit, too many ranks" "needs 4 ranks; --nodes 2 with 8 each give 16" "add at the end of the line: -- --set mesh.dp=8"
submit recipe.yaml --nodes 3 --ranks-per-node 1
mistake "submit, no such mesh" "needs 4 ranks; --nodes 3 with 1 each give 3" "a multiple of 2 ranks"
submit bad.yaml --nodes 2
mistake "submit, no recipe" "cannot read the recipe bad.yaml"
sed 's/dp: 2, //' recipe.yaml >open.yaml
# Every example of the pages and scripts passes (CAPITALS stand for what the reader puts there).
while read -r line; do
    [[ $line != *RECIPE* ]] || line=${line/RECIPE/"$PWD/open.yaml"}
    call bash -c "cd \"\$1\" && PATH=\$2:\$PATH launch/submit.sh --dry-run --program \"\$3\" ${line#*launch/submit.sh }" - "$root" "$PWD/bin" "$duet"
    check "example: $line" equal "$code" 0
done < <(grep -hoE '^ *(# *)?(launch|\./launch)/submit\.sh [^#]*' "$root"/docs/*.md "$root"/README.md "$root"/launch/*.md "$root"/launch/*.sh)
mkdir measured
check "warning, unmeasured" equal "$(warning_seconds measured 2 86400)" 300
check "warning, unmeasured, short limit" equal "$(warning_seconds measured 2 120)" 30
printf '{"time/step":4.5,"loss":1}\n{"time/step":1.5,"time/save":20.25,"loss":1}\n' >measured/metrics.jsonl
check "warning by the longest step and save" equal "$(warning_seconds measured 2 86400)" 60
echo "stop 7 100.5" >measured/jobs.log
check "warning by the last stop" equal "$(warning_seconds measured 2 86400)" 211
check "warning, not more than half of the limit" equal "$(warning_seconds measured 2 120)" 60
printf 'start 7 0 0 new\nend 7 1 5 young\nend 7 1 9 young\n' >measured/jobs.log
check "young deaths" equal "$(young_deaths measured)" "2 9"
echo "end 7 85 12 old" >>measured/jobs.log
check "young deaths, ended by a job that lived" equal "$(young_deaths measured)" "0 12"
check "back-off" equal "$(back_off 0 60) $(back_off 1 60) $(back_off 3 60)" "0 60 960"
finish
