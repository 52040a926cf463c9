"""test_born.py DUET MODELS: models that Duet made from nothing, in other people's programs.

Each row of CASES is trained for a few steps in fp32, then exported: as a folder, whose log-probabilities transformers gives
and whose tokenizer gives the same ids for PEERS_IDS (3000) texts; as a GGUF file, whose log-probabilities llama.cpp gives, or,
where llama.cpp has no such model, which Duet refuses.
"""
import os
import sys
import time
from pathlib import Path

import llama_cpp
import numpy as np
import torch
import transformers as tf
from duet import ROOT, Duet, fail, scratch
from texts import Texts

IDS = int(os.environ.get("PEERS_IDS", 3000))
LENGTH, SEQUENCES = 48, 4
NEAR, GGUF_NEAR = 5e-5, 5e-4  # of log-probabilities; llama.cpp keeps angles and sums otherwise
MOE = "qk_norm: true, experts: 8, expert_ffn: 32"
LLAMA3 = "rope_scaling: llama3, rope_original: 32, rope_factor: 4"
YARN = "rope_scaling: yarn, rope_original: 32, rope_factor: 4"
# name -> settings of the model; does llama.cpp have it?
CASES = {
    "llama": ("kv_heads: 2", True),
    "tied": ("tied: true, heads: 6, kv_heads: 3, head_dim: 32", True),
    "qkv-bias": ("qkv_bias: true", True),
    "o-bias": ("o_bias: true, kv_heads: 1", True),
    "all-biases": ("qkv_bias: true, o_bias: true, mlp_bias: true", True),
    "llama3": (LLAMA3, True),
    "yarn": (YARN, True),
    "qk-norm": ("qk_norm: true, tied: true", True),
    "qk-norm-bias": ("qk_norm: true, qkv_bias: true", False),
    "experts": (MOE, True),
    "experts-tied-yarn": (f"{MOE}, experts_active: 3, tied: true, {YARN}", True),
    "experts-plain-weights": (f"{MOE}, route_norm: false", False),
    "experts-some-layers": (f"{MOE}, first_dense: 1", False),
}
RECIPE = """
precision: fp32
seed: 5
model: {{layers: 3, hidden: 64, ffn: 96, max_context: 64, init_std: 0.1, tokenizer: {tokenizer}, {model}}}
data: {{task: arithmetic, difficulty: 1, micro_batch_tokens: 128, template: '{{user}}{{/}}{{assistant}}<|im_end|>'}}
phases: [{{kind: sft, steps: 20, batch: 8, lr: 1e-2}}]
"""


def apart(ours, rows, ids):
    """rows (LENGTH, V): their log-probabilities, of the token behind each."""
    return max(abs(o - float(rows[t, ids[t + 1]])) for t, o in enumerate(ours))


def in_transformers(folder, sequences, scores):
    model = tf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    worst = 0.0
    for ids, ours in zip(sequences, scores, strict=True):
        with torch.no_grad():
            worst = max(worst, apart(ours, torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1), ids))
    if worst > NEAR:
        fail(f"{folder.name}: log-probabilities {worst:.1e} from transformers'")
    return worst


def in_llama_cpp(path, sequences, scores):
    m = llama_cpp.Llama(str(path), n_ctx=64, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False, type_k=0, type_v=0)
    worst = 0.0
    for ids, ours in zip(sequences, scores, strict=True):
        m.reset()
        m.eval(ids)
        rows = torch.log_softmax(torch.from_numpy(m.scores[: len(ids)].copy()).double(), -1)
        worst = max(worst, apart(ours, rows, ids))
    if worst > GGUF_NEAR:
        fail(f"{path.name}: log-probabilities {worst:.1e} from llama.cpp's")
    return worst


def same_ids(duet, folder, texts):
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    for text, line in zip(texts, duet.lines("tokenize", folder, given=[{"text": t} for t in texts]), strict=True):
        theirs = tokenizer(text, add_special_tokens=False).input_ids
        if theirs != line["ids"]:
            fail(f"{folder.name}: ids of {text!r}\n    duet   {line['ids']}\n    theirs {theirs}")


def case(duet, d, name, model, has_gguf):
    (d / f"{name}.yaml").write_text(RECIPE.format(tokenizer=ROOT / "tests/golden/bpe_qwen.json", model=model))
    duet("train", d / f"{name}.yaml", "--set", f"out={d / name}")
    duet("export", d / name, d / f"{name}.hf")
    size = tf.AutoConfig.from_pretrained(d / f"{name}.hf").vocab_size
    sequences = [np.random.default_rng(i).integers(0, size, LENGTH).tolist() for i in range(SEQUENCES)]
    scores = duet.score(d / name, [(s[:1], s[1:]) for s in sequences])
    far = in_transformers(d / f"{name}.hf", sequences, scores)
    same_ids(duet, d / f"{name}.hf", [t for t in Texts(1, []).batch(IDS) if t])
    if has_gguf:
        duet("export", "--format", "gguf", "--type", "f32", d / name, d / f"{name}.gguf")
        second = f"llama.cpp's within {in_llama_cpp(d / f'{name}.gguf', sequences, scores):.1e}"
    else:
        said = duet.refusal("export", "--format", "gguf", d / name, d / f"{name}.gguf")
        second = f"no GGUF file: {said.splitlines()[0].split(': ', 1)[1]}"
    print(f"  ok    {name}: transformers' log-probabilities within {far:.1e}, the ids of its tokenizer; {second}", flush=True)


def main():
    duet, start = Duet(sys.argv[1]), time.time()
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, None)
    tf.logging.set_verbosity_error()
    with scratch() as d:
        for name, (model, has_gguf) in CASES.items():
            case(duet, Path(d), name, model, has_gguf)
    print(f"  {time.time() - start:.0f} s")


main()
