#!/bin/bash
# test_several_turns.sh DUET: answers of several turns, with a calculator. On every mesh the ratio
# is exactly 1 (P2) and the first answers are one rank's; a run that is stopped within a rollout
# goes on as the unbroken one (P5); what the calculator said is shown, and counted nowhere; a recipe
# that cannot be is refused.
. "${BASH_SOURCE%/*}/common.sh"
cat >recipe.yaml <<'YAML'
seed: 3
watchdog_s: 60
mesh: {dp: 1, decode_slots: 16}
model: {layers: 4, hidden: 32, heads: 2, max_context: 96}
data: {task: calculation, difficulty: 1, give_up: 0.2, micro_batch_tokens: 384}
checkpoint: {every: 5}
phases:
  - {kind: sft, name: start, environment: calculator, steps: 40, batch: 16, lr: 1e-2}
  - {kind: grpo, environment: calculator, environment_turns: 4, steps: 4, prompts: 4, samples: 4, max_new: 48,
     lr: 1e-3, reward_format: 0.5, kl: 0.01, save_tokens: true, save_samples: 16, eval_every: 2, eval_prompts: 8}
  - {kind: eval, name: last, environment: calculator, prompts: 16, samples: 2, max_new: 48}
YAML
grpo_deviations() { grep '"phase":"grpo"' "$1/metrics.jsonl" >"$1.grpo" && deviations "$1.grpo"; }
train 1 base
check "one rank: exit 0" equal "$code" 0
check "one rank: the ratio is exactly 1 at every step" equal "$(grpo_deviations base)" 0
check "one rank: several turns" test "$(values base/metrics.jsonl turns/max | sort -n | tail -n 1)" -gt 1
check "one rank: at most those of the recipe" test "$(values base/metrics.jsonl turns/max | sort -n | tail -n 1)" -le 4
check "one rank: an evaluation" has base/metrics.jsonl '"phase":"last"'

# what is shown, and counted
cat >look.py <<'PY'
import json, sys
samples = [json.loads(line) for line in open(sys.argv[1] + "/samples.jsonl")]
lines = {m["step"]: m for m in map(json.loads, open(sys.argv[1] + "/metrics.jsonl"))}
steps = {}
observed = 0
for s in samples:
    calls = 0
    for piece in s["turns"]:
        (who, text), = piece.items()
        if who == "observation":
            calls += 1
            assert text == "?" or eval(expression) == eval(text), (expression, text)
        else:
            expression = text[:-1].split("\n")[-1]
            while expression and not set(expression) <= set("0123456789+-*/() "):
                expression = expression[1:]
    assert "".join(t for p in s["turns"] for t in p.values()) == s["completion"], s
    n = sum(p is None for p in s["logp"])
    assert len(s["logp"]) == len(s["answer_ids"]) and all(p is None or p < 0 for p in s["logp"])
    assert (n > 0) == (calls > 0), s
    observed += n
    steps.setdefault(s["step"], []).append((len(s["logp"]) - n, n))
assert observed > 0
for step, of in steps.items():
    m, k = lines[step], len(of)
    assert k == 16
    assert abs(m["response_length/mean"] - sum(a for a, _ in of) / k) < 1e-9
    assert abs(m["observation_length/mean"] - sum(b for _, b in of) / k) < 1e-9
print("ok")
PY
check "one rank: observations are what the calculator says, and are not counted" equal "$(python3 look.py base 2>&1 | tail -n 1)" ok

# the first answers, from the same weights, on every mesh
from=(--set "model.from=base" --set phases.start.steps=0 --set phases.last.prompts=4)
for mesh in 1x1x1:serial 2x1x1:serial 1x2x1:dualpipe 1x2x1:1f1b 1x1x2:serial 2x2x1:dualpipe; do
    IFS=x: read -r dp pp tp schedule <<<"$mesh"
    train $((dp * pp * tp)) "$mesh" "${from[@]}" --set schedule="$schedule" --set "mesh.dp=$dp" --set "mesh.pp=$pp" --set "mesh.tp=$tp" --set mesh.cache_tokens=224
    check "$mesh: exit 0" equal "$code" 0
    check "$mesh: the ratio is exactly 1 at every step" equal "$(grpo_deviations "$mesh")" 0
    grep '"step":0,' "$mesh/samples.jsonl" >"$mesh.first"
    check "$mesh: the first answers" equal "$(wc -l <"$mesh.first")" 16
    [ "$tp" -gt 1 ] || check "$mesh: the first answers are one rank's, bit for bit" cmp 1x1x1:serial.first "$mesh.first"
done

# stopped while answers are sampled
train 2 whole --set mesh.pp=2
check "whole: exit 0" equal "$code" 0
export DUET_PACE_US=4000
start 2 broken --set mesh.pp=2 --resume auto
ready
until_true lines 41 broken
pause 0.3
kill -USR1 "$job"
ended
check "stopped: exit 85" equal "$code" 85
unset DUET_PACE_US
train 2 broken --set mesh.pp=2 --resume auto
check "resumed: exit 0" equal "$code" 0
check "resumed: same as the unbroken run" alike whole broken

# what cannot be
train 1 refused --set phases.grpo.environment=abacus
refusal "an unknown environment" 'environment "abacus" is not known'
train 1 refused --set phases.grpo.environment_wrap=x
refusal "a wrap without the observation" "environment_wrap has {observation} nowhere"
train 1 refused --set phases.grpo.environment_stop=12345678901234567
refusal "a long stop" "environment_stop has 17 bytes"
train 1 refused --set phases.grpo.policy_loss=gspo
refusal "a loss of whole answers" "environment goes with losses of tokens"
finish
