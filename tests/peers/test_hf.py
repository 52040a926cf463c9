"""test_hf.py DUET MODELS [FOLDER...]: Hugging Face folders read and written by Duet against transformers, with a real model.

Each folder of MODELS that has weights (or those named): log-probabilities of a text by `duet score` in fp32 on several
meshes, the perplexity within 0.1 %; greedy answers to six questions by its chat template, PEERS_ANSWER (64) tokens, identical
on the same meshes; import and export, byte for byte, loaded by AutoModelForCausalLM and AutoTokenizer; and what a run exports
after ten steps of GRPO gives the log-probabilities that the run recorded, here and for two of tests/golden/hf. PEERS_TOKENS
(256) tokens are scored.
"""
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers as tf
from duet import QUESTIONS, ROOT, TEXT, Duet, fail, scratch

TOKENS = int(os.environ.get("PEERS_TOKENS", 256))
ANSWER = int(os.environ.get("PEERS_ANSWER", 64))
MESHES = [(1, []), (2, ["mesh.pp=2"]), (3, ["mesh.tp=3"]), (2, ["mesh.dp=2"])]


def theirs(model, ids):
    with torch.no_grad():
        logp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    return [float(logp[t - 1, ids[t]]) for t in range(1, len(ids))]


def score(duet, folder, model, ids):
    must = theirs(model, ids)
    for ranks, sets in MESHES:
        few = ["precision=fp32", f"model.max_context={TOKENS}", f"data.micro_batch_tokens={TOKENS}"]
        ours, = duet.score(folder, [(ids[:1], ids[1:])], *sets, *few, ranks=ranks)
        far = max(abs(a - b) for a, b in zip(ours, must, strict=True))
        perplexity = [math.exp(-sum(x) / len(x)) for x in (ours, must)]
        apart = abs(perplexity[0] / perplexity[1] - 1)
        print(f"  {folder.name} {' '.join(sets) or '1 rank'}: log-probabilities within {far:.1e}, perplexity "
              f"{perplexity[0]:.4f}, theirs {perplexity[1]:.4f}", flush=True)
        if apart > 1e-3 or far > 1e-3:
            fail("they differ")


def answer(model, tokenizer, question):
    """Greedily, behind what the chat template asks with. Text, the end with it, and the least margin."""
    text = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=int), max_new_tokens=ANSWER,
                             do_sample=False, output_logits=True, return_dict_in_generate=True)
    said = out.sequences[0, len(ids):].tolist()
    margins = [float(best[0] - best[1]) for best in (row[0].topk(2).values for row in out.logits)]
    return tokenizer.decode(said, skip_special_tokens=False, clean_up_tokenization_spaces=False), min(margins), len(said)


def chat(duet, folder, model):
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    must = [answer(model, tokenizer, q) for q in QUESTIONS]
    for ranks, sets in MESHES:
        few = ["precision=fp32", "data.template=model", "model.max_context=256"]
        ours = duet.greedy(folder, QUESTIONS, ANSWER, *sets, *few, ranks=ranks)
        for q, mine, (text, margin, _) in zip(QUESTIONS, ours, must, strict=True):
            if mine != text:
                fail(f"{q}\n    duet   {mine!r}\n    theirs {text!r}\n    (their closest logits are {margin:.1e} apart)")
        print(f"  {folder.name} {' '.join(sets) or '1 rank'}: {len(must)} greedy answers identical, "
              f"{sum(n for _, _, n in must)} tokens; closest logits {min(m for _, m, _ in must):.1e} apart", flush=True)


def equal(a, b):
    for f in sorted(b.iterdir()):
        if (a / f.name).read_bytes() != f.read_bytes():
            fail(f"{a / f.name} and {f} differ")


def round_trip(duet, folder):
    with scratch() as d:
        d, start = Path(d), time.time()
        few = ["--set", "model.max_context=128", "--set", "data.micro_batch_tokens=128"]
        duet("import", folder, d / "run", "--set", "mesh.pp=2", *few, ranks=2)
        duet("export", d / "run", d / "out")
        print(f"  {folder.name}: imported and exported in {time.time() - start:.1f} s")
        if {f.name for f in folder.iterdir()} != {f.name for f in (d / "out").iterdir()}:
            fail(f"other files: {sorted(f.name for f in (d / 'out').iterdir())}")
        equal(d / "out", folder)
        duet("export", d / "run", d / "parts", "--shard-size", "100MB")
        model = tf.AutoModelForCausalLM.from_pretrained(d / "parts", dtype="auto")
        was = tf.AutoModelForCausalLM.from_pretrained(folder, dtype="auto").state_dict()
        for name, tensor in model.state_dict().items():
            if not torch.equal(tensor, was[name]):
                fail(f"{name} differs")
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
  - {{kind: grpo, name: look, steps: 1, prompts: 16, samples: 8, max_new: 24, save_samples: 128, save_tokens: true}}
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
    """The largest, the mean and the median. A few tokens, where two are nearly as likely, make most of a mean square."""
    absolute = list(map(abs, errors))
    return max(absolute), statistics.fmean(absolute), statistics.median(absolute)


def shown(sizes):
    return "within {:.1e}, mean {:.1e}, median {:.1e}".format(*sizes)


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
            (most, mean, median), own = size(ours), size(theirs_own)
            print(f"  {folder.name} after 10 steps of GRPO in {precision} ({learned} updates), {len(ours)} recorded tokens: "
                  f"{shown(size(ours))} of transformers in fp32; transformers in {precision}: {shown(own)}", flush=True)
            if len(ours) < 200 or (most > 1e-4 if precision == "fp32" else mean > 1.25 * own[1] or median > 1.25 * own[2]):
                sys.exit("  FAIL: they differ")
            if precision == "fp32" and size(errors(folder, answers, never, dtype)[0])[0] < 1e-3:
                sys.exit("  FAIL: the weights that the run began with give the same: this check sees nothing")


def main():
    duet, models = Duet(sys.argv[1]), Path(sys.argv[2])
    folders = [Path(f) for f in sys.argv[3:]] or [f for f in sorted(models.iterdir()) if (f / "config.json").exists()]
    for folder in folders:
        model = tf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        ids = tf.AutoTokenizer.from_pretrained(folder)(TEXT).input_ids[:TOKENS]
        score(duet, folder, model, ids)
        chat(duet, folder, model)
        round_trip(duet, folder)
        after_grpo(sys.argv[1], folder, False)
    for name in ("llama", "qwen3"):
        after_grpo(sys.argv[1], ROOT / "tests/golden/hf" / name, True)


if __name__ == "__main__":
    main()
