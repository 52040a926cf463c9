"""The cases: what is compared with what, at which size. scale: BENCH_SCALE; below 1 there are fewer layers and tokens."""
import json
from pathlib import Path

import machine
import shapes
from contender import Duet, DuetRun, Peer, read_decode, read_train

MICRO = 1024  # tokens of a micro-batch of a GRPO update, on either side
PEER_MICRO = 2048  # of PyTorch in training: a fifth faster than in 1024, where Duet (1024) gains nothing
DECODE = dict(prompt=16, answer=128)
GRPO = dict(prompts=8, samples=8, prompt=16, answer=64)


class Setting:
    def __init__(self, program, work, scale):
        self.program, self.work, self.scale = program, Path(work), scale
        self.bf16, self.amx = machine.has_bf16(), machine.has_amx()

    def some(self, n, least=1, multiple=1):
        return max(least, round(n * self.scale / multiple) * multiple)

    def shape(self, name):
        return shapes.make(self.work, name, self.scale)

    def types(self):
        """Peers' number formats, the one likely to be faster first. With AMX fp32 has a tenth of the rate: it is left out."""
        return ["bfloat16"] if self.amx else ["bfloat16", "float32"] if self.bf16 else ["float32", "bfloat16"]


def short(dtype):
    return {"bfloat16": "bf16", "float32": "fp32"}[dtype]


def train(s, model, cores):
    """Against PyTorch eager and compiled, on one core or two (Duet: dp 2)."""
    shape, tokens, sequence = s.shape(model), s.some(2048, 256, 256), 256
    job = dict(shape=str(shape), tokens=tokens, sequence=sequence, micro=PEER_MICRO)
    types = s.types()
    duet = ["bench", "train", shape, "--steps", 1, "--tokens", tokens, "--sequence", sequence]
    rows = [Duet(s.program, duet, cores, read_train, cores)]
    rows += [Peer(f"PyTorch {short(t)}", "train", dict(job, dtype=t), cores) for t in types]
    rows.append(Peer(f"torch.compile {short(types[0])}", "train", dict(job, dtype=types[0], compile=True), cores))
    return f"a step of {tokens} tokens in sequences of {sequence}; {shapes.describe(shape)}; {cores} core(s)", rows


def long(s, length):
    """One long sequence; from 16,384 on both sides compute activations again."""
    shape, tokens = s.shape("long"), s.some(length, 512, 256)
    again = tokens >= 16384
    job = dict(shape=str(shape), tokens=tokens, sequence=tokens, micro=tokens, blocks=True, recompute=again)
    duet = ["bench", "train", shape, "--steps", 1, "--tokens", tokens, "--sequence", tokens]
    duet += ["--set", f"mesh.recompute={'full' if again else 'none'}"]
    rows = [Duet(s.program, duet, 1, read_train)]
    rows += [Peer(f"PyTorch {short(t)}", "train", dict(job, dtype=t), 1) for t in s.types()]
    return f"a step of one sequence of {tokens} tokens{', activations again' if again else ''}; {shapes.describe(shape)}; 1 core", rows


def decode(s, model, batch):
    """Against llama.cpp and transformers, one core; every sequence has a prompt of its own."""
    shape, answer = s.shape(model), s.some(DECODE["answer"], 8)
    job = dict(shape=str(shape), batch=batch, prompt=DECODE["prompt"], answer=answer)

    def file(kind):
        path = shape / f"{kind}.gguf"
        if not path.exists():
            shapes.write_gguf(path, shape, kind)
        return dict(gguf=str(path))

    duet = ["bench", "decode", shape, "--steps", 1, "--slots", batch, "--samples", 1, "--prompt", DECODE["prompt"], "--answer", answer]
    rows = [Duet(s.program, duet, 1, read_decode)]
    kinds = [{"bfloat16": "bf16", "float32": "f32"}[t] for t in s.types()]
    rows += [Peer(f"llama.cpp {kind}", "llama", job, 1, made=lambda kind=kind: file(kind)) for kind in kinds]
    rows += [Peer(f"transformers {short(t)}", "decode", dict(job, dtype=t), 1) for t in s.types()]
    return f"{batch} answers of {answer} tokens to prompts of {DECODE['prompt']}; {shapes.describe(shape)}; 1 core", rows


def sizes(shape, precision="bf16"):
    c = json.loads((shape / "config.json").read_text())
    return f"""precision: {precision}
model: {{layers: {c['num_hidden_layers']}, hidden: {c['hidden_size']}, ffn: {c['intermediate_size']}, heads: {c['num_attention_heads']},
        kv_heads: {c['num_key_value_heads']}, vocabulary: {c['vocab_size']}, rope_theta: {c['rope_theta']:.0f}, max_context: 128{{MORE}}}}
checkpoint: {{every: 0}}
"""


def grpo(s, model, cores=2):
    """Against TRL: prompts, answers of full length (no end is sampled), rollout, reference with a small KL weight, one update."""
    shape, answer = s.shape(model), s.some(GRPO["answer"], 8)
    vocabulary = json.loads((shape / "config.json").read_text())["vocab_size"]
    data = s.work / "problems.jsonl"
    n = GRPO["prompts"]
    data.write_text("".join(json.dumps(dict(prompt=f"{i:02d}+{7 * i % 90:02d}+11+22+33=?", answer=str(i))) + "\n" for i in range(n)))
    end = f", end_tokens: \"{vocabulary - 1}\""  # a token that no text has: no answer ends before its time
    recipe = sizes(shape).replace("{MORE}", end) + f"""mesh: {{decode_slots: {n * GRPO['samples'] // cores}}}
data: {{task: file, file: {data}, heldout_file: {data}, micro_batch_tokens: {MICRO}, think: false, template: "{{user}}{{/}}{{assistant}}"}}
phases: [{{kind: grpo, steps: 2, prompts: {n}, samples: {GRPO['samples']}, max_new: {answer}, kl: 0.001, lr: 1e-6}}]
"""
    answers, room = n * GRPO["samples"], MICRO // (GRPO["prompt"] + answer)
    micro = max(k for k in range(1, answers + 1) if answers % k == 0 and k <= max(room, 1))
    job = dict(GRPO, shape=str(shape), answer=answer, micro_answers=micro)
    rows = [DuetRun(s.program, recipe, cores, cores, s.work, length=answer, answers=answers)]
    rows += [Peer(f"TRL {short(t)}", "grpo", dict(job, dtype=t), cores) for t in ("bfloat16", "float32")]
    what = f"{n} prompts x {GRPO['samples']} answers of {answer} tokens, rollout and update; {shapes.describe(shape)}; {cores} cores"
    return what, rows


def start(s):
    """From the start of the process to the end of its first step, of one short sequence."""
    shape = s.shape("135m")
    recipe = sizes(shape).replace("{MORE}", "") + """data: {task: arithmetic, difficulty: 2}
phases: [{kind: sft, steps: 1, batch: 1}]
"""
    job = dict(shape=str(shape), sequence=64, dtype=s.types()[0])
    rows = [DuetRun(s.program, recipe, 1, 1, s.work, start=True), Peer(f"PyTorch {short(job['dtype'])}", "start", job, 1)]
    return f"start of a process to the end of its first step; {shapes.describe(shape)}; 1 core", rows


CASES = {}
for _cores in (1, 2):
    for _model in ("135m", "05b"):
        CASES[f"train-{_model}-{_cores}"] = lambda s, m=_model, c=_cores: train(s, m, c)
for _length in (8192, 32768):
    CASES[f"long-{_length}"] = lambda s, n=_length: long(s, n)
for _model in ("135m", "05b"):
    for _batch in (1, 8, 64):
        CASES[f"decode-{_model}-{_batch}"] = lambda s, m=_model, b=_batch: decode(s, m, b)
CASES["grpo-demo"] = lambda s: grpo(s, "demo")
CASES["grpo-135m"] = lambda s: grpo(s, "135m")
CASES["start-135m"] = start
