#!/bin/bash
# checkpoint.sh PYTHON: the reader that docs/CHECKPOINT.md shows, run by a Python with h5py. Initial
# weights do not depend on the mesh, so checkpoints before the first step must hold the same
# tensors: of one rank, of two stages by two tensor-parallel ranks, of two pipelines that share
# experts.
set -eu
python=${1:?usage: tests/oracle/checkpoint.sh PYTHON}
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
awk '/^```$/ { on = 0 } on { print } /^```python$/ { on = 1 }' "$root/docs/CHECKPOINT.md" >"$dir/reader.py"

save() { # NAME RANKS MESH...: a checkpoint at step 0
    local name=$1 ranks=$2 sets=() set
    shift 2
    for set in schedule=auto mesh.{dp,pp,tp,ep}=1 "$@" phases.cold_start.{steps,warmup,eval_every}=0 phases.grpo.{steps,warmup,eval_every}=0 \
        phases.{before,after}.{prompts,samples,max_new}=1; do
        sets+=(--set "$set")
    done
    "$root/launch/run.sh" -n "$ranks" "$root/build/duet" train "$root/launch/recipes/countdown-moe.yaml" --set "out=$dir/$name" \
        --set model.first_dense=2 --set mesh.decode_slots=8 --set data.micro_batch_tokens=512 "${sets[@]}" >"$dir/log" 2>&1 ||
        { cat "$dir/log"; exit 1; }
}
save one 1
save tp 4 mesh.tp=2 mesh.pp=2
save ep 4 mesh.dp=2 mesh.ep=2 mesh.pp=2
cd "$dir"
"$python" - <<'PY'
from reader import tensor
import json, numpy as np
folder = lambda run: f"{run}/checkpoints/" + open(f"{run}/checkpoints/latest").read().strip()
manifests = {run: json.load(open(folder(run) + "/manifest.json"))["tensors"] for run in ("one", "tp", "ep")}
names = [n for n in manifests["one"] if n.startswith("model/")]
shapes = {len(manifests["one"][n]["shape"]) for n in names}
assert shapes == {1, 2, 3}, shapes
assert any(len(s) == 5 for t in manifests["tp"].values() for s in t["slices"]), "no tensor is cut by columns"
for name in names:
    one = tensor(folder("one"), name)
    assert np.isfinite(one).all(), name
    for run in ("tp", "ep"):
        assert np.array_equal(one, tensor(folder(run), name)), (run, name)
print(f"{len(names)} tensors read alike from one rank, tensor-parallel ranks and ranks that share experts")
PY
