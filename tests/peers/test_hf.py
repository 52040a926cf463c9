"""test_hf.py DUET MODELS [FOLDER...]: Hugging Face folders read and written by Duet against transformers, with a real model.

Each folder of MODELS that has weights (or those named): log-probabilities of a text by `duet score` in fp32 on several
meshes, the perplexity within 0.1 %; import and export, byte for byte, loaded by AutoModelForCausalLM and AutoTokenizer; and
what a run exports after ten steps of GRPO gives the log-probabilities that the run recorded, here and for two of
tests/golden/hf. PEERS_TOKENS (256) tokens are scored.
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers as tf

TOKENS = int(os.environ.get("PEERS_TOKENS", 256))
TEXT = (Path(__file__).parent.parent.parent / "README.md").read_text("utf-8")
ROOT = Path(__file__).parent.parent.parent
MESHES = [(1, []), (2, ["mesh.pp=2"]), (3, ["mesh.tp=3"]), (2, ["mesh.dp=2"])]


def duet(program, ranks, *arguments):
    command = [str(ROOT / "launch/run.sh"), "-n", str(ranks), program, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"  FAIL {' '.join(command)}\n{done.stderr}")
    return done.stdout


def theirs(folder, ids):
    model = tf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    return [float(logp[t - 1, ids[t]]) for t in range(1, len(ids))]


def score(program, folder, ids):
    must = theirs(folder, ids)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
        f.write(json.dumps(dict(prompt_ids=ids[:1], answer_ids=ids[1:])) + "\n")
        f.flush()
        for ranks, sets in MESHES:
            options = [x for s in sets + ["precision=fp32", f"model.max_context={TOKENS}", f"data.micro_batch_tokens={TOKENS}"]
                       for x in ("--set", s)]
            ours = json.loads(duet(program, ranks, "score", folder, f.name, *options))["logp"]
            far = max(abs(a - b) for a, b in zip(ours, must))
            perplexity = [math.exp(-sum(x) / len(x)) for x in (ours, must)]
            apart = abs(perplexity[0] / perplexity[1] - 1)
            print(f"  {folder.name} {' '.join(sets) or '1 rank'}: log-probabilities within {far:.1e}, perplexity "
                  f"{perplexity[0]:.4f}, theirs {perplexity[1]:.4f}")
            if len(ours) != len(must) or apart > 1e-3 or far > 1e-3:
                sys.exit("  FAIL: they differ")


def equal(a, b):
    for f in sorted(b.iterdir()):
        if (a / f.name).read_bytes() != f.read_bytes():
            sys.exit(f"  FAIL: {a / f.name} and {f} differ")


def round_trip(program, folder):
    with tempfile.TemporaryDirectory(dir=os.environ.get("PEERS_SCRATCH")) as d:
        d, start = Path(d), time.time()
        few = ["--set", "model.max_context=128", "--set", "data.micro_batch_tokens=128"]
        duet(program, 2, "import", folder, d / "run", "--set", "mesh.pp=2", *few)
        subprocess.run([program, "export", d / "run", d / "out"], check=True, stdout=subprocess.DEVNULL)
        print(f"  {folder.name}: imported and exported in {time.time() - start:.1f} s")
        if {f.name for f in folder.iterdir()} != {f.name for f in (d / "out").iterdir()}:
            sys.exit(f"  FAIL: other files: {sorted(f.name for f in (d / 'out').iterdir())}")
        equal(d / "out", folder)
        subprocess.run([program, "export", d / "run", d / "parts", "--shard-size", "100MB"], check=True, stdout=subprocess.DEVNULL)
        model = tf.AutoModelForCausalLM.from_pretrained(d / "parts", dtype="auto")
        was = tf.AutoModelForCausalLM.from_pretrained(folder, dtype="auto").state_dict()
        for name, tensor in model.state_dict().items():
            if not torch.equal(tensor, was[name]):
                sys.exit(f"  FAIL: {name} differs")
        text = tf.AutoTokenizer.from_pretrained(d / "parts").decode(tf.AutoTokenizer.from_pretrained(folder)(TEXT[:500]).input_ids)
        print(f"  {folder.name}: byte for byte; in {len(list((d / 'parts').glob('*.safetensors')))} files AutoModel has the same "
              f"tensors, AutoTokenizer {len(text)} characters of a text")


RECIPE = """
precision: {precision}
model: {{from: {folder}, max_context: 128}}
data: {{task: arithmetic_words, difficulty: 1, micro_batch_tokens: 256}}
mesh: {{decode_slots: 8, directions: 1}}
phases:
  - {{kind: sft, steps: {sft}, batch: 8, lr: {lr}}}
  - {{kind: grpo, steps: 10, prompts: 2, samples: 4, max_new: 24, lr: {lr}, reward_format: 1, save_samples: 0}}
  - {{kind: export, dir: out, dtype: {dtype}}}
  - {{kind: grpo, name: look, steps: 1, prompts: 2, samples: 4, max_new: 24, save_samples: 8, save_tokens: true}}
"""


def recorded(run):
    lines = [json.loads(line) for line in open(run / "metrics.jsonl")]
    learned = sum(line["updates"] for line in lines if line["phase"] == "grpo")
    if not learned:
        sys.exit("  FAIL: ten steps of GRPO without an update")
    answers = [json.loads(line) for line in open(run / "samples.jsonl")]
    return learned, [(a["prompt_ids"], a["answer_ids"], a["logp"]) for a in answers if a["phase"] == "look"]


def never_of(program, folder):
    """The ids of model.never_tokens: they have no probability in sampling."""
    text = subprocess.run([program, "settings", folder, "--get", "model.never_tokens"], check=True, stdout=subprocess.PIPE, text=True).stdout
    ranges = [r.split("-") for r in text.strip().split(",") if r]
    return [i for r in ranges for i in range(int(r[0]), int(r[-1]) + 1)]


def errors(folder, answers, never, dtype):
    """Of every recorded log-probability, ours minus theirs in this type; and theirs in fp32 minus that."""
    exact, model = (tf.AutoModelForCausalLM.from_pretrained(folder, dtype=t).eval() for t in (torch.float32, dtype))
    ours, theirs_own = [], []
    for prompt, answer, logp in answers:
        both = []
        for m in (exact, model):
            with torch.no_grad():
                logits = m(torch.tensor([prompt + answer])).logits[0].double()
            logits[:, never] = -math.inf
            all_logp = torch.log_softmax(logits, -1)
            both.append([float(all_logp[len(prompt) - 1 + t, a]) for t, a in enumerate(answer)])
        ours += [a - b for a, b in zip(logp, both[0])]
        theirs_own += [a - b for a, b in zip(both[1], both[0])]
    return ours, theirs_own


def size(errors):
    return max(map(abs, errors)), math.sqrt(sum(e * e for e in errors) / len(errors))


def after_grpo(program, folder, small):
    """Trains, exports, and samples once more with the weights that were exported."""
    never = never_of(program, folder)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with tempfile.TemporaryDirectory(dir=os.environ.get("PEERS_SCRATCH")) as d:
            d = Path(d)
            lr = 1e-2 if small else 1e-4
            (d / "r.yaml").write_text(RECIPE.format(precision=precision, folder=folder.resolve(), dtype=precision, lr=lr, sft=40 if small else 12))
            sets = ["--set", "model.max_context=64", "--set", "data.micro_batch_tokens=64"] if small else []
            done = subprocess.run([program, "train", "r.yaml", *sets], cwd=d, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if done.returncode:
                sys.exit(f"  FAIL: train {done.stderr}")
            learned, answers = recorded(d / "runs/r")
            ours, theirs_own = errors(d / "out", answers, never, dtype)
            (most, mean), (their_most, their_mean) = size(ours), size(theirs_own)
            print(f"  {folder.name} after 10 steps of GRPO in {precision} ({learned} updates), {len(ours)} recorded tokens: within "
                  f"{most:.1e} of transformers in fp32 (rms {mean:.1e}); transformers in {precision}: {their_most:.1e} ({their_mean:.1e})")
            if len(ours) < 20 or (most > 1e-4 if precision == "fp32" else mean > 1.5 * their_mean or most > 3 * their_most):
                sys.exit("  FAIL: they differ")
            if precision == "fp32" and size(errors(folder, answers, never, dtype)[0])[0] < 1e-3:
                sys.exit("  FAIL: the weights that the run began with give the same: this check sees nothing")


def main():
    program, models = sys.argv[1], Path(sys.argv[2])
    folders = [Path(f) for f in sys.argv[3:]] or [f for f in sorted(models.iterdir()) if (f / "config.json").exists()]
    for folder in folders:
        ids = tf.AutoTokenizer.from_pretrained(folder)(TEXT).input_ids[:TOKENS]
        score(program, folder, ids)
        round_trip(program, folder)
        after_grpo(program, folder, False)
    for name in ("llama", "qwen3"):
        after_grpo(program, ROOT / "tests/golden/hf" / name, True)


if __name__ == "__main__":
    main()
