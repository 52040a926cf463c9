#!/bin/bash
# test_any_layout.sh DUET [CASES [SEED]]: properties of every layout, checked on random ones: model,
# precision, mesh, sites, schedule, how sums cross (simulated) hosts. For each: a run learns from
# what it samples (P2: the ratio is exactly 1); resumed from the middle it equals the unbroken run
# bit for bit (P5), also under another schedule and with other buckets, where nothing is rounded in
# blocks or between hosts (P4).
# SOAK=SECONDS: as many cases as fit into that time, one line each, until one fails.
cases=${2:-8} RANDOM=${3:-1} soak_s=${SOAK:-0} began=$SECONDS
. "${BASH_SOURCE%/*}/common.sh"

cat >recipe.yaml <<'YAML'
watchdog_s: 60
mesh: {micro_batches: 8}
model: {hidden: 32, heads: 4, max_context: 128}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 256}
checkpoint: {every: 2, keep: 20}
phases:
  - {kind: sft, name: start, steps: 30, batch: 16, lr: 1e-2}
  - {kind: grpo, steps: 6, prompts: 4, samples: 4, max_new: 24, lr: 1e-3, reward_format: 0.5, eval_every: 3,
     eval_prompts: 4, save_tokens: true, save_samples: 16}
YAML

one_of() { shift $((RANDOM % $# )); drawn=$1; }
# with KEY VALUES...: one of them
with() {
    local key=$1
    shift
    one_of "$@"
    layout+=(--set "$key=$drawn")
}
# A schedule whose chunks the layers suffice for; one stage has no pipeline.
draw_schedule() {
    local named=(auto 1f1b zb1p dualpipe)
    [ $((2 * pp)) -le "$layers" ] && named+=(dualpipev)
    [ "$pp" -eq 1 ] && named=(auto serial)
    one_of "${named[@]}"
}
# How it samples and learns
draw_learning() {
    with mesh.decode_slots 4 16
    with mesh.decode_waves 0 1 3
    with phases.grpo.kl 0 0.05
    with phases.grpo.temperature 1 0.8
    with phases.grpo.epochs 1 2
    with phases.grpo.advantage std mean
}
draw_model() {
    with model.qk_norm true false
    with model.qkv_bias true false
    with model.o_bias true false
    with model.mlp_bias true false
    with model.tied true false
    with model.kv_heads 2 4
    with precision bf16 fp32
    one_of 4 8
    layers=$drawn experts=0
    layout+=(--set "model.layers=$layers")
    one_of 0 0 4
    [ "$drawn" = 0 ] && return
    experts=$drawn
    layout+=(--set model.experts=4 --set model.first_dense=1 --set model.balance=0.01)
    with model.expert_step 1 1 2
}
draw_mesh() {
    blocks=''
    one_of 1 1 2; tp=$drawn
    one_of 1 2 4; pp=$drawn
    one_of 1 2 4; dp=$drawn
    one_of 1 1 1 2; sites=$drawn
    ranks=$((tp * pp * dp * sites))
    layout+=(--set "mesh.tp=$tp" --set "mesh.pp=$pp" --set "mesh.dp=$dp" --set "mesh.sites=$sites")
    [ $experts -gt 0 ] && with mesh.ep 1 $dp
    [ "$sites" = 2 ] || return
    with sites.every 3 5
    with sites.delay 0 2
    with sites.wire fp32 bf16 int8
    [ "$drawn" != int8 ] || blocks=1
}
# how sums are formed; these change no bit
draw_free() {
    free=()
    draw_schedule
    free+=(--set "schedule=$drawn")
    one_of true false; free+=(--set "reduction.overlap=$drawn")
    one_of 0 0.05 25; free+=(--set "reduction.bucket_mib=$drawn")
    one_of flat nodes; free+=(--set "reduction.path=$drawn")
}
# and these do, where there is more than one host
draw_hosts() {
    one_of '' 1 2 3 4
    hosts=$drawn
    one_of fp32 fp32 bf16 int8
    wire=$drawn
    layout+=(--set "reduction.wire=$wire")
}
draw() {
    layout=(--set "seed=$((RANDOM % 100))")
    draw_model
    draw_mesh
    while [ $ranks -gt 8 ]; do
        layout=("${layout[0]}" "${layout[1]}") && draw_model && draw_mesh
    done
    draw_hosts
    draw_learning
    draw_free
}

folders_of() { if [ "$sites" = 2 ]; then echo "$1/site-1" "$1/site-2"; else echo "$1"; fi; }
alike_all() { # FOLDER [--curves]
    local folder
    for folder in $(folders_of whole); do alike ${2:+"$2"} "$folder" "$1${folder#whole}" || return; done
}
on_policy() {
    local folder
    for folder in $(folders_of whole); do
        [ "$(deviations "$folder/metrics.jsonl")" = "- 0" ] || return
    done
}
# run_of FOLDER ARGUMENTS...
run_of() { DUET_RANKS_PER_NODE=$hosts train "$ranks" "$@" "${layout[@]}"; }

goes_on() { if [ "$soak_s" -gt 0 ]; then [ $((SECONDS - began)) -lt "$soak_s" ] && [ $failed -eq 0 ]; else [ "$case" -le "$cases" ]; fi; }

for ((case = 1; ; case++)); do
    goes_on || break
    rm -rf whole again other
    draw
    name="case $case: $ranks ranks, ${hosts:-all} a host, ${layout[*]//--set /} ${free[*]//--set /}"
    name=${name//--set /}
    [ "$soak_s" -eq 0 ] || echo "$name"
    run_of whole "${free[@]}"
    check "$name: exit 0" equal "$code" 0 || continue
    check "$name: the ratio is exactly 1" on_policy
    one_of 2 14 28 32 34
    step=$drawn
    cp -r whole again
    # shellcheck disable=SC2046
    back_to "$step" $(folders_of again)
    cp -r again other
    run_of again --resume auto "${free[@]}"
    check "$name: from step $step: same as the unbroken run" alike_all again
    draw_free
    [ "$wire" = fp32 ] && [ -z "$blocks" ] || continue # blocks of int8 begin where slices do
    run_of other --resume auto "${free[@]}"
    check "$name: from step $step with ${free[*]//--set /}: same as the unbroken run" alike_all other --curves
done
finish
