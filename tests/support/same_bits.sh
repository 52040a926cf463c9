#!/bin/bash
# same_bits.sh BEFORE NOW [CASE...]: does a changed program still compute the same bits? BEFORE and
# NOW are two duet programs. Every case is a short training run; metrics (clock readings aside),
# samples and the shards of the last checkpoint must be equal. Runs of BEFORE are kept under
# build/same and made once for each program. Exit 1 when a case differs. About four minutes for
# all cases with both programs on two cores.
set -u
[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")/../.." && pwd) || exit 2
before=$(realpath "$1") now=$(realpath "$2")
shift 2
cases=${*:-demo moe tp tp4 sites fp32 base plain resume}
store=$here/build/same/$(sha256sum <"$before" | cut -c 1-16)
mkdir -p "$store" || exit 2
cd "$store" || exit 2

# The demo's phases, 60 + 5 steps long.
short=(--set checkpoint.every=30)
for setting in cold_start.{steps=60,eval_every=30,eval_prompts=16,max_new=120} before.{prompts=16,max_new=120} \
    grpo.{steps=5,eval_every=3,eval_prompts=16,max_new=120,save_samples=8,save_tokens=true} \
    after.{prompts=16,max_new=120}; do
    short+=(--set "phases.$setting")
done
tiny=("${short[@]}" --set model.hidden=32 --set model.heads=2 --set phases.cold_start.steps=12
    --set phases.cold_start.warmup=2 --set phases.grpo.warmup=1 --set phases.grpo.prompts=4
    --set phases.grpo.steps=2)

# run_case PROGRAM CASE FOLDER
run_case() {
    local program=$1 folder=$3 recipe=countdown isa='' ranks=4
    local arguments=("${short[@]}")
    case $2 in
    demo | resume) ;;
    moe) recipe=countdown-moe ;;
    tp) arguments+=(--set mesh.tp=2 --set mesh.dp=1) ;;
    tp4)
        arguments=("${tiny[@]}" --set model.heads=4 --set model.hidden=128 --set schedule=serial)
        for setting in tp=4 dp=1 pp=1; do arguments+=(--set "mesh.$setting"); done
        ;;
    sites) arguments+=(--set mesh.sites=2 --set mesh.dp=1 --set sites.every=7 --set sites.delay=2) ;;
    fp32) arguments=("${tiny[@]}" --set precision=fp32 --set schedule=auto) ;;
    base) isa=base arguments=("${tiny[@]}") ;;
    plain) isa=plain arguments=("${tiny[@]}") recipe=countdown-moe ;;
    esac
    DUET_ISA=$isa "$here/launch/run.sh" -n $ranks "$program" train "$here/launch/recipes/$recipe.yaml" \
        --set "out=$folder" "${arguments[@]}" --resume auto >"$folder.log" 2>&1
}
# make_case PROGRAM CASE FOLDER: `resume` begins at the end of BEFORE's cold start
make_case() {
    rm -rf "$3"
    if [ "$2" = resume ]; then
        cp -r demo "$3" || return 1
        find "$3/checkpoints" -maxdepth 1 -name 'step-*' ! -name step-00000060 -exec rm -r {} +
        echo step-00000060 >"$3/checkpoints/latest"
    fi
    run_case "$@"
}
failed=0
for case in $cases; do
    if [ "$case" = resume ]; then of=demo; else of=$case; fi
    if [ ! -e "$of/done" ]; then
        make_case "$before" "$of" "$of" || { echo "same_bits: $case: the program before failed:"; tail -n 5 "$of.log"; exit 2; }
        touch "$of/done"
    fi
    if ! make_case "$now" "$case" "$case.now"; then
        echo "same_bits: $case: the program now failed:"
        tail -n 12 "$case.now.log"
        failed=1
        continue
    fi
    sites=("")
    [ "$case" != sites ] || sites=(/site-1 /site-2)
    for site in "${sites[@]}"; do
        said=$("$here/tests/support/compare_runs.sh" "$of$site" "$case.now$site") || failed=1
        echo "$case$site: $said"
    done
done
exit $failed
