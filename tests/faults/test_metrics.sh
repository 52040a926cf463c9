#!/bin/bash
# test_metrics.sh DUET: docs/METRICS.md has a row for every name that the source puts into
# metrics.jsonl, and for every member that runs of all kinds of phase put into metrics.jsonl and
# samples.jsonl; and no row for what nothing puts there.
. tests/faults/common.sh

cat >names.py <<'PY'
# names.py ROOT RUN...: prints what is missing on either side
import json, pathlib, re, sys
root, runs = pathlib.Path(sys.argv[1]), sys.argv[2:]
page = (root / "docs/METRICS.md").read_text()
def rows(text): return {n for line in text.splitlines() if line.startswith("| `") for n in re.findall(r"`([^`]+)`", line.split("|")[1])}
before, after = page.split("\n## samples.jsonl")
metrics, members = rows(before), rows(after)

put, rewards = set(), set()
for file in (root / "trainer").rglob("*.c"):
    text = file.read_text()
    put |= set(re.findall(r'\bmetrics_put(?:_clock)?\(\s*[^,"]+,\s*"([^"]+)"', text))
    for names in re.findall(r'\bpart_names\[\] = \{([^}]*)\}', text): put |= {"eval/TASK/" + n for n in re.findall(r'"([^"]+)"', names)}
    for names in re.findall(r'struct algorithm_metric \w+\[\] = \{(.*?)\n\};', text, re.S): put |= set(re.findall(r'\{"([^"]+)"', names))
    for names in re.findall(r'\bcounts\[\] = \{([^}]*)\}', text):
        put |= {f"reward/{r}/{n}" for r in re.findall(r'struct grader grader_\w+ = \{\s*\.name = "([^"]+)"', text) for n in re.findall(r'"([^"]+)"', names)}
    rewards |= set(re.findall(r'struct grader grader_\w+ = \{\s*\.name = "([^"]+)"', text))
score = (root / "trainer/phases/evaluate.c").read_text()
judged = (root / "trainer/phases/reward_model.c").read_text()
put |= {"eval/TASK/" + n for n in re.findall(r'\bput_figure\(r, "([^"]+)"', score + judged)}
put |= {"eval/TASK/" + n.replace("%d", "K") for n in re.findall(r'snprintf\(name, sizeof name, "([a-z]+@%d)"', score)}
put |= {f"reward/{n}/mean" for n in rewards}
tell = (root / "trainer/phases/rl_metrics.c").read_text()
put |= {n.replace("%s", "NAME") for n in re.findall(r'\bput_of\([^,]+, "([^"]+)"', tell)} - {"reward/NAME/mean"}
put |= {"step", "phase"}

def plain(name):
    name = re.sub(r"^eval/[^/]+/", "eval/TASK/", name)
    name = re.sub(r"^reward/[^/]+/(std|zero_std_fraction|lost)$", r"reward/NAME/\1", name)
    name = re.sub(r"^time/reward/[^/]+$", "time/reward/NAME", name)
    return re.sub(r"(pass|maj)@([2-9]|\d\d+)$", r"\1@K", name)
seen, sampled = set(), set()
for run in runs:
    for line in open(run + "/metrics.jsonl"): seen |= {plain(n) for n in json.loads(line)}
    samples = pathlib.Path(run + "/samples.jsonl")
    if samples.exists():
        for line in open(samples): sampled |= {"NAME" if n in rewards - {"accuracy", "format"} else n for n in json.loads(line)}

def complain(what, names):
    if names: print(f"{what}: {', '.join(sorted(names))}"); return 1
    return 0
bad = complain("put by the source, no row", put - metrics)
bad += complain("a row, put by no source", metrics - put)
bad += complain("in a run, no row", seen - metrics)
bad += complain("in a run, not found in the source: this test is blind to it", seen - put)
bad += complain("in samples.jsonl, no row", sampled - members)
bad += complain("a row of samples.jsonl, in no run", members - sampled)
if len(put) < 40 or len(seen) < 30: print(len(put), "names put,", len(seen), "seen: the test sees too little"); bad += 1
sys.exit(bad > 0)
PY

base --set phases.start.steps=20 --set model.experts=4
recipe=grpo.yaml
train 1 learn --set phases.grpo.reward_length=0.1 --set model.experts=4 --set phases.grpo.kl=0.1 --set phases.grpo.epochs=2 --set phases.grpo.steps=2 --set phases.grpo.environment=calculator
check "a run of many metrics: exit 0" equal "$code" 0
cat >last.yaml <<'YAML'
precision: fp32
model: {layers: 1, hidden: 16, heads: 2, max_context: 64}
data: {task: countdown, difficulty: 2, micro_batch_tokens: 128}
phases:
  - {kind: reward_model, steps: 2, batch: 8, eval_every: 1, eval_prompts: 8}
  - {kind: eval, prompts: 4, samples: 2, max_new: 4}
YAML
recipe=last.yaml
train 1 last
check "every name has a row, every row a name" python3 names.py "$root" base learn last
finish
