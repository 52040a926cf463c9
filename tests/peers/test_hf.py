"""test_hf.py DUET MODELS [FOLDER...]: Hugging Face folders read and written by Duet against transformers, with a real model.

Each folder of MODELS that has weights (or those named): log-probabilities of a text by `duet score` in fp32 on several
meshes, the perplexity within 0.1 %; import and export, byte for byte, loaded by AutoModelForCausalLM and AutoTokenizer.
PEERS_TOKENS (256) tokens are scored.
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


def main():
    program, models = sys.argv[1], Path(sys.argv[2])
    folders = [Path(f) for f in sys.argv[3:]] or [f for f in sorted(models.iterdir()) if (f / "config.json").exists()]
    for folder in folders:
        ids = tf.AutoTokenizer.from_pretrained(folder)(TEXT).input_ids[:TOKENS]
        score(program, folder, ids)
        round_trip(program, folder)


if __name__ == "__main__":
    main()
