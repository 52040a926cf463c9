#!/bin/bash
# same_plans.sh BEFORE NOW [WORD...]: does a changed program still plan the same? BEFORE and NOW are
# two duet programs. Every plan must be the same bytes: of the recipes of launch/ and of the models
# below, on clusters of 8 to 16,384 devices, by every schedule, with sites, maps and proposals, as
# text, JSON and pictures. With WORDs only plans whose name has one of them. What BEFORE printed is
# kept under build/same. Exit 1 when a plan differs. Two minutes on an idle core.
set -u
[ $# -ge 2 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")/../.." && pwd) || exit 2
before=$(realpath "$1") now=$(realpath "$2")
shift 2
words=("$@")
store=$here/build/same/plans-$(sha256sum <"$before" | cut -c 1-16)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
mkdir -p "$store" && cd "$here" || exit 2

# --- machines and models ---
h100=launch/clusters/h100.yaml h800=launch/clusters/h800-2048.yaml laptop=launch/clusters/laptop.yaml
sed 's/^nodes: .*/nodes: 2048/' $h800 >"$work/16384.yaml"
{ sed 's/^nodes: .*/nodes: 4/' $h100; echo 'across: {gbs: 1, us: 3000}'; } >"$work/32.yaml"
sed 's/^packed: true/cores: 2/' $laptop >"$work/shared.yaml"
sft='phases: [{kind: sft, steps: 1, batch: %s}]'
grpo='phases: [{kind: grpo, steps: 1, prompts: 32, samples: 8, max_new: 200}]'
data='data: {task: arithmetic, micro_batch_tokens: %s}'
model() { printf 'precision: bf16\n%s\n' "$2" >"$work/$1.yaml"; }
model small "model: {layers: 8, hidden: 64, heads: 4, kv_heads: 2, max_context: 256}
${data/\%s/512}
${sft/\%s/64}"
model tied "model: {layers: 8, hidden: 64, heads: 4, tied: true, qk_norm: true, max_context: 256}
${data/\%s/512}
$grpo"
model experts "model: {layers: 8, hidden: 64, heads: 4, experts: 8, first_dense: 1, max_context: 256}
${data/\%s/512}
${sft/\%s/128}"
model dense7 "model: {layers: 32, hidden: 4096, heads: 32, ffn: 11008, max_context: 4096}
${data/\%s/4096}
${sft/\%s/1024}"
model dense32 "model: {layers: 64, hidden: 5120, heads: 40, kv_heads: 8, ffn: 27648, max_context: 4096}
${data/\%s/4096}
$grpo"
model mixture "model: {layers: 61, hidden: 7168, heads: 128, ffn: 18432, experts: 256, experts_active: 8, expert_ffn: 2048, first_dense: 3, max_context: 4096}
${data/\%s/4096}
${sft/\%s/2048}"

# --- plans ---
failed=0 count=0
wanted() {
    [ ${#words[@]} = 0 ] && return 0
    for word in "${words[@]}"; do [[ $1 == *"$word"* ]] && return 0; done
    return 1
}
# What changes from run to run is left out: the folder's name, clock readings, and how
# far long work had come when.
run_plan() {
    { "$@" 2>"$work/err" </dev/null; cat "$work/err"; } |
        sed -E "s|$work|RECIPES|g; s/^\[ *[0-9.]+s\] //; /^[a-z][a-z ,]*: [0-9]+( of [0-9]+)?\$/d"
}
# plan NAME ARGUMENT...
plan() {
    local name=$1
    shift
    wanted "$name" || return 0
    count=$((count + 1))
    [ -e "$store/$name" ] || { run_plan "$before" plan "$@" >"$store/$name.part"; mv "$store/$name.part" "$store/$name"; }
    run_plan "$now" plan "$@" >"$work/now"
    cmp -s "$store/$name" "$work/now" && return 0
    failed=$((failed + 1))
    echo "same_plans: $name differs (duet plan $*)"
    diff "$store/$name" "$work/now" | head -n 6
}

v=(--vocabulary 32000)
for recipe in arithmetic countdown countdown-moe equations; do
    plan "$recipe-laptop" launch/recipes/$recipe.yaml --cluster $laptop
    plan "$recipe-h100" launch/recipes/$recipe.yaml "${v[@]}" --cluster $h100
    plan "$recipe-16384" launch/recipes/$recipe.yaml "${v[@]}" --cluster "$work/16384.yaml"
done
for schedule in 1f1b zb1p dualpipe dualpipev auto; do
    for recipe in small tied experts; do
        plan "$recipe-$schedule" "$work/$recipe.yaml" "${v[@]}" --cluster "$work/32.yaml" \
            --set mesh.pp=4 --set schedule=$schedule
    done
done
for wire in bf16 int8; do
    plan "wire-$wire" "$work/experts.yaml" "${v[@]}" --cluster "$work/32.yaml" --set mesh.pp=2 \
        --set mesh.ep=4 --set reduction.wire=$wire
done
for map in experts mirrored; do
    plan "map-$map" "$work/experts.yaml" "${v[@]}" --cluster "$work/32.yaml" --set mesh.pp=4 \
        --set mesh.ep=4 --map $map
done
for format in json svg trace timeline; do
    plan "format-$format" "$work/small.yaml" "${v[@]}" --cluster "$work/32.yaml" --set mesh.pp=4 --format $format
done
for hosts in 2-hosts 16-hosts; do
    plan "$hosts" "$work/tied.yaml" "${v[@]}" --hostfile hostfiles/$hosts --set mesh.pp=2 --set mesh.tp=2
done
plan tied-tp "$work/tied.yaml" "${v[@]}" --cluster "$work/32.yaml" --set mesh.pp=4 --set mesh.tp=4
plan shared "$work/small.yaml" --cluster "$work/shared.yaml" --set mesh.pp=2
plan sites "$work/small.yaml" "${v[@]}" --cluster "$work/32.yaml" --set mesh.sites=2 --set mesh.pp=2
plan sites-json "$work/experts.yaml" "${v[@]}" --cluster "$work/32.yaml" --set mesh.sites=4 --format json
plan asked "$work/small.yaml" "${v[@]}" --cluster $h100 --set mesh.dp=2
plan dense7-2048 "$work/dense7.yaml" "${v[@]}" --cluster $h800 --set mesh.pp=8 --set mesh.tp=2
plan dense32-2048 "$work/dense32.yaml" "${v[@]}" --cluster $h800 --set mesh.pp=4 --set mesh.tp=8
plan dense32-16384 "$work/dense32.yaml" "${v[@]}" --cluster "$work/16384.yaml" --set mesh.pp=8 --set mesh.tp=4
plan mixture-2048 "$work/mixture.yaml" "${v[@]}" --cluster $h800 --set mesh.pp=16 --set mesh.ep=64
plan mixture-16384 "$work/mixture.yaml" "${v[@]}" --cluster "$work/16384.yaml" --set mesh.pp=16 --set mesh.ep=64
for recipe in small tied experts; do
    plan "propose-$recipe" "$work/$recipe.yaml" "${v[@]}" --cluster "$work/32.yaml" --propose
done
plan propose-countdown launch/recipes/countdown.yaml "${v[@]}" --cluster $h100 --propose
plan propose-shared "$work/small.yaml" --cluster "$work/shared.yaml" --ranks 2 --propose
plan propose-dense7 "$work/dense7.yaml" "${v[@]}" --cluster $h100 --propose
plan scaling --scaling --cluster $h800
plan drawn --schedule dualpipe --stages 16 --micro-batches 120 --costs 49,107,32,144 --message 1.174
plan drawn-auto --schedule auto --stages 8 --micro-batches 24 --format json
echo "same_plans: $((count - failed)) of $count plans are the same"
[ $failed = 0 ]
