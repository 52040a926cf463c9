#!/bin/bash
# test_cuda.sh DUET: whole runs on the emulated GPU (tests/cuda): supervised weights of the host are
# trained on by four ranks that share a GPU, and by one; steps are the host's within rounding, the
# ratio is 1 (P2), a resumed run is the unbroken one to the bit (P5), and the host goes on from a
# checkpoint of the GPU's. Then experts and tensor parallelism, and what is refused.
. "${BASH_SOURCE%/*}/common.sh"
emulated=${duet%/*}/emulated/duet
host=$duet

# --- a program without CUDA, and wishes that cannot be met ---
train 1 none --set mesh.dp=1 --set mesh.pp=1 --set device=cuda
refusal "no CUDA" "this program was built without CUDA" "CUDA=1" "device: host"
[ -x "$emulated" ] || { echo "no emulated GPU was built (g++ is missing)"; exit 77; }

base
duet=$emulated
four=(--set mesh.dp=2 --set mesh.pp=2 --set phases.grpo.prompts=6 --set phases.grpo.samples=4 --set phases.grpo.max_new=12
    --set checkpoint.every=1 --set checkpoint.keep=9)
gpu=(--set device=cuda --set ranks_per_gpu=4)
train 4 few "${four[@]}" --set device=cuda
refusal "fewer GPUs than ranks" "GPU 1 is wanted, and 1 can be seen" "ranks_per_gpu"

CUDA_EMULATION_MEMORY=8000000 train 4 none "${four[@]}" "${gpu[@]}"
refusal "a GPU without room" "are free for it on GPU 0" "mesh.pp"
train 2 apart --set mesh.dp=1 --set mesh.pp=1 --set mesh.sites=2 "${gpu[@]}"
refusal "sites" "sites exchange weights in the host's memory: set device: host"

# --- four ranks ---
train 4 gpu4 "${four[@]}" "${gpu[@]}"
check "four ranks: exit 0" equal "$code" 0
check "four ranks: on the GPU" has err "kernels cuda-bf16"
check "four ranks: ratio" equal "$(values gpu4/metrics.jsonl ratio/max_deviation | sort -u)" 0
check "four ranks: they learn" test "$(values gpu4/metrics.jsonl grad_norm | grep -c '[1-9]')" -ge 2
train 4 host4 "${four[@]}"
check "the host: exit 0" equal "$code" 0

# near NAME A B STEPS PART: numbers of the first steps, apart by at most a part of themselves
near() {
    paste <(values "$2/metrics.jsonl" "$1" | head -n "$4") <(values "$3/metrics.jsonl" "$1" | head -n "$4") |
        awk -v part="$5" -v n="$4" '{ d = $1 - $2; if (d < 0) d = -d; s = $2 < 0 ? -$2 : $2; if (!(d <= part * (s + 1e-6))) { print; bad = 1 } } END { exit bad || NR != n }'
}
# Weights are the same at first: then rounding alone differs.
for name in reward/mean response_length/mean; do check "$name: the host's" near $name gpu4 host4 1 0; done
for name in loss grad_norm entropy; do check "$name: near the host's" near $name gpu4 host4 1 1e-3; done

# --- resumed, by the same ranks ---
cp -r gpu4 again
back_to 1 again
train 4 again "${four[@]}" "${gpu[@]}" --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: same as the unbroken run" alike gpu4 again

# --- other commands, on the GPU that the run's recipe names ---
for command in "sample gpu4 --problems 1" "eval gpu4 --prompts 2 --samples 2" "export gpu4 exported" "import exported imported" \
    "bench decode gpu4 --prompt 8 --answer 4 --slots 8 --samples 2" "bench train gpu4 --tokens 64 --sequence 32"; do
    # shellcheck disable=SC2086
    call "$duet" $command
    check "$command: exit 0" equal "$code" 0
done

# --- one rank; and the host, from a checkpoint of the GPU's ---
train 1 gpu1 "${four[@]}" --set mesh.dp=1 --set mesh.pp=1 --set phases.grpo.steps=1 --set device=cuda
check "one rank: exit 0" equal "$code" 0
for name in reward/mean loss grad_norm entropy; do check "one rank, $name: that of four" near $name gpu1 gpu4 1 1e-6; done
cp -r gpu4 back
back_to 1 back
duet=$host
train 4 back "${four[@]}" --resume auto
check "the host goes on: exit 0" equal "$code" 0
check "the host goes on: it says what changes" has err "device"
for name in reward/mean grad_norm; do check "the host goes on, $name: near the GPU's" near $name back gpu4 2 1e-2; done

# --- experts on two ranks each, a stage on two ranks each, tokens drawn by the host (top_k) ---
cat >experts.yaml <<'YAML'
seed: 7
mesh: {dp: 2, pp: 1, decode_slots: 8}
model: {layers: 2, hidden: 32, heads: 2, ffn: 64, max_context: 96, experts: 4, experts_active: 2}
data: {task: arithmetic, difficulty: 1, micro_batch_tokens: 256}
phases:
  - {kind: sft, name: start, steps: 1, batch: 8, lr: 1e-3}
  - {kind: grpo, steps: 1, prompts: 2, samples: 4, max_new: 8, lr: 1e-3, reward_format: 0.5, kl: 0.1, top_k: 20}
YAML
recipe=experts.yaml
train 2 experts
duet=$emulated
train 2 experts2 --set mesh.ep=2 --set device=cuda --set ranks_per_gpu=2
check "experts: exit 0" equal "$code" 0
train 2 tp2 --set mesh.dp=1 --set mesh.tp=2 --set device=cuda --set ranks_per_gpu=2
check "tp: exit 0" equal "$code" 0
for run in experts2 tp2; do
    check "$run: ratio" equal "$(values $run/metrics.jsonl ratio/max_deviation | tail -n 1)" 0
    for name in loss grad_norm entropy; do check "$run, $name: near the host's" near $name $run experts 1 1e-3; done
done
finish
