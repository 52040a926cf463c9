#!/bin/bash
# test_denominators.sh DUET: the denominator of a GRPO step's loss, checked from outside:
# samples.jsonl holds every answer's length, reward and advantage; the loss at ratio 1 computed from
# them in double precision equals the one in metrics.jsonl, for every aggregate (with sequence_mean
# it is zero unless truncated answers are masked) and both values of zero_spread, and is the same on
# another mesh.
. tests/faults/common.sh

cat >loss.py <<'PY'
# loss.py FOLDER AGGREGATE ZERO_SPREAD MASKED MAX_NEW: steps without any spread are left out; at
# least one group must have had none, one some
import json, sys
folder, aggregate, zero_spread, masked, max_new = sys.argv[1:]
metrics = [json.loads(line) for line in open(folder + "/metrics.jsonl")]
samples = [json.loads(line) for line in open(folder + "/samples.jsonl")]
groups_without = groups_with = truncated = 0
for m in metrics:
    answers = [s for s in samples if s["step"] == m["step"]]
    groups = {}
    for s in answers: groups.setdefault(s["question"], []).append(s)
    kept = []
    for group in groups.values():
        spread = len({s["reward"] for s in group}) > 1
        groups_with += spread
        groups_without += not spread
        truncated += sum(s["truncated"] for s in group)
        if spread or zero_spread == "keep": kept += [s for s in group if not (s["truncated"] and masked == "true")]
    if not any(s["advantage"] for s in kept): continue
    loss, tokens = 0.0, sum(len(s["answer_ids"]) for s in kept)
    for s in kept:
        n = len(s["answer_ids"])
        loss -= s["advantage"] * n / {"token_mean": tokens, "sequence_mean": len(kept) * n, "constant": len(kept) * int(max_new)}[aggregate]
    if abs(loss - m["loss"]) > 2e-6: sys.exit(f"step {m['step']}: loss {m['loss']}, from its samples {loss}")
if not groups_with or not groups_without: sys.exit(f"{groups_with} groups with spread, {groups_without} without: nothing is shown")
if masked == "true" and not truncated: sys.exit("no truncated answer")
PY

base --set phases.start.steps=40
for which in "token_mean false" "constant false" "sequence_mean true" "token_mean true"; do
    read -r aggregate masked <<<"$which"
    for zero_spread in keep drop; do
        name=$aggregate-$zero_spread-$masked
        train 1 "$name" --set phases.grpo.aggregate="$aggregate" --set phases.grpo.zero_spread=$zero_spread \
            --set phases.grpo.mask_truncated="$masked" --set phases.grpo.max_new=12 --set phases.grpo.eval_every=0
        check "$name: exit 0" equal "$code" 0
        check "P6: $name: the loss of its samples" python3 loss.py "$name" "$aggregate" $zero_spread "$masked" 12
    done
done
for zero_spread in keep drop; do
    train 2 "two-$zero_spread" --set phases.grpo.aggregate=constant --set phases.grpo.zero_spread=$zero_spread \
        --set phases.grpo.max_new=12 --set phases.grpo.eval_every=0 --set mesh.dp=2
    check "P6: the loss on two pipelines, $zero_spread" python3 loss.py "two-$zero_spread" constant $zero_spread false 12
done
# With a KL all answers are run that count: those without spread have a gradient, too.
for zero_spread in keep drop; do
    train 1 "kl-$zero_spread" --set phases.grpo.kl=0.1 --set phases.grpo.zero_spread=$zero_spread --set phases.grpo.eval_every=0
done
more() { python3 -c 'import json
a, b = ([json.loads(l)["tokens"] for l in open(f + "/metrics.jsonl")][-1] for f in ("kl-keep", "kl-drop"))
assert a > b, (a, b)'; }
check "a KL runs over all answers that are kept" more
finish
