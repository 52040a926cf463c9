#!/bin/bash
# test_plan.sh DUET: what `duet plan` reports for a job that does not fit this machine, for ranks that share its cores, and for a cluster
# file that contradicts itself.
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
