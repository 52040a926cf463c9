#!/bin/bash
# test_plan.sh DUET: what `duet plan` reports for a job that does not fit this machine, for ranks
# that share its cores, and for a cluster file that contradicts itself.
# shellcheck source=tests/faults/common.sh
. tests/faults/common.sh

cat >large.yaml <<'YAML'
model: {layers: 4, hidden: 512, heads: 8, max_context: 2048}
data: {task: arithmetic, micro_batch_tokens: 2048}
phases: [{kind: sft, steps: 1, batch: 8}]
YAML
cat >cluster.yaml <<'YAML'
devices: 2
memory_gib: 8
compute: {bf16: 0.5}
inside: {gbs: 3}
costs: {layer_f: 0.001, layer_b: 2, layer_w: 1, head_f: 1, head_b: 1, head_w: 1}
YAML

call "$duet" plan large.yaml --ranks 512
check "too large for here: reported" has out "of this machine's free memory: lower data.micro_batch_tokens"
call "$duet" plan recipe.yaml
check "fits: nothing is said" hasnt out "does not fit"
check "fits: exit 0" equal "$code" 0

call "$duet" plan recipe.yaml --ranks 64 --set mesh.dp=32
check "64 ranks share the cores" has out "ranks share the"
check "passes take longer" has out "times as long as on a core of its own"
check "an MFU that can be, or none" awk '/MFU/ { for (i = 1; i < NF; i++) if ($i ~ /MFU$/ && $(i + 1) + 0 > 100) exit 1 }' out

call "$duet" plan recipe.yaml --ranks 2 --set mesh.dp=1 --cluster cluster.yaml
check "times above the peak: exit 2" equal "$code" 2
check "times above the peak: which" has err "cluster.yaml:5: costs: layer_f 0.001 ms for the"
check "times above the peak: what of it" has err "one of them is wrong for this recipe"

# --- dp as --set asks for it, on a part of the cluster ---
h100=(--vocabulary 32000 --cluster "$root/launch/clusters/h100.yaml")
call "$duet" plan recipe.yaml "${h100[@]}"
check "without it all devices are used" has out "on a mesh 4 x 2 x 1 x 1"
call "$duet" plan recipe.yaml "${h100[@]}" --set mesh.dp=2
check "mesh.dp counts: exit 0" equal "$code" 0
check "mesh.dp counts" has out "on a mesh 2 x 2 x 1 x 1"
call "$duet" plan recipe.yaml "${h100[@]}" --set mesh.dp=8
check "mesh.dp too large: exit 2" equal "$code" 2
check "mesh.dp too large: why" has err "h100.yaml: mesh.dp 8, as --set asks, makes 16 ranks, but there are only 8: lower it"
call "$duet" plan recipe.yaml "${h100[@]}" --set mesh.dp=2 --ranks 8
check "mesh.dp and other ranks: exit 2" equal "$code" 2
check "mesh.dp and other ranks: why" has err "dp 2 x pp 2 needs 4 ranks, not 8"
call "$duet" plan recipe.yaml "${h100[@]}" --set mesh.dp=2 --propose
check "of as many ranks meshes are proposed" has out "    1 x  4 x   1 x 1 "

# --- auto searches with the costs that it is timed with ---
cat >experts.yaml <<'YAML'
model: {layers: 4, hidden: 128, heads: 4, experts: 8}
mesh: {dp: 2, pp: 2, ep: 2}
phases: [{kind: sft, steps: 1, batch: 64}]
YAML
h800=(--ranks 4 --vocabulary 32000)
step() { awk '/^step [0-9]/ { print $2 }' "$1"; }
call "$duet" plan experts.yaml "${h800[@]}" --cluster "$root/launch/clusters/h800-2048.yaml" --set schedule=dualpipe
cp out named
call "$duet" plan experts.yaml "${h800[@]}" --cluster "$root/launch/clusters/h800-2048.yaml"
check "auto is not predicted slower than dualpipe" awk -v a="$(step out)" -v d="$(step named)" 'BEGIN { exit !(a > 0 && a <= 1.01 * d) }'
check "training needs the file for that plan" has out "training does so with mesh.cluster=$root/launch/clusters/h800-2048.yaml"
cp out auto
cp "$root/launch/clusters/h800-2048.yaml" h800.yaml
call "$duet" plan experts.yaml "${h800[@]}" --set mesh.cluster=h800.yaml
check "mesh.cluster is what is planned for" equal "$(step out)" "$(step auto)"
check "nothing is missing then" hasnt out "training does so"
call "$duet" plan experts.yaml "${h800[@]}" --set mesh.cluster=none.yaml
check "no cluster file: exit 2" equal "$code" 2
check "no cluster file: said" has err "none.yaml: cannot read the cluster file"
train 2 run --set mesh.dp=1 --set mesh.cluster=none.yaml
check "no cluster file in training: exit 2" equal "$code" 2
check "no cluster file in training: said once" times 1 err "none.yaml: cannot read the cluster file"
train 2 run --set mesh.dp=1 --set mesh.cluster=h800.yaml --set precision=fp32
check "no rate for its precision: exit 2" equal "$code" 2
check "no rate for its precision: said" has err "the recipe computes in fp32, but compute has no rate for it"
train 2 run --set mesh.dp=1 --set mesh.cluster=h800.yaml --set schedule=auto
check "training searches with the file: exit 0" equal "$code" 0
check "training searches with the file: said" has err "predicted by the costs of H800 x 2048"

# --- one rank ---
call "$duet" plan recipe.yaml "${h100[@]}" --rank 5
check "a rank: exit 0" equal "$code" 0
check "a rank: who it is" has out "rank 5 of 8 on node-1: pipeline 2 of 4, stage 1 of 2"
check "a rank: whom it sends to, and why" grep -Eq '^  4 +node-1 .* stage messages, .*losses, norms$' out
check "a rank: its file of a checkpoint" has out "checkpoint: shard-0005-of-0008.h5, "
check "a rank: no times" hasnt out "tokens/s"
call "$duet" plan recipe.yaml "${h100[@]}" --rank 8
check "no such rank: exit 2" equal "$code" 2
check "no such rank: which there are" has err "--rank 8, but the ranks of this job are 0 to 7"
call "$duet" plan recipe.yaml "${h100[@]}" --rank 1 --propose
check "a rank and proposals: exit 2" equal "$code" 2
check "a rank and proposals: why" has err "leave out --propose, --measure and --format"
call "$duet" plan --rank 1
check "a rank without a recipe: why" has err "need a recipe: duet plan RECIPE"

# --- many ranks: quick, or with progress ---
echo "a slots=65536" >large
call timeout 60 "$duet" plan recipe.yaml --hostfile large --set mesh.pp=1
check "65536 ranks: exit 0" equal "$code" 0
check "65536 ranks: one pipeline each" has out "on a mesh 65536 x 1 x 1 x 1"
since=$SECONDS
call "$duet" plan --stages 256 --micro-batches 1024 --schedule auto
check "a large schedule: exit 0" equal "$code" 0
check "a large schedule: how far it is" test $((SECONDS - since)) -lt 4 -o "$(grep -c 'checking and measuring the schedule, step: ' err)" -ge 1
finish
