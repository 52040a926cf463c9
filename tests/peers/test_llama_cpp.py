"""test_llama_cpp.py DUET MODELS: GGUF files both ways, with llama.cpp (llama-cpp-python, and the converter in its sources).

`duet export --format gguf` of SmolLM2 in each type: every tensor and key as llama.cpp's converter and quantiser write them;
llama.cpp loads it; its perplexity beside Duet's; greedy answers, token for token; ids of PEERS_IDS (3000) texts; the chat
template. The other way, what llama.cpp wrote: imported, each tensor bit for bit; scored; formats that Duet does not read
refused by name; its files of tokenizers with its own texts and ids.

Greedy: from the F32 file the tokens are identical. llama.cpp rounds activations to bf16 when matrices are BF16: at 98 of 100
tokens it takes the same nevertheless, else one that is less than NEAR below the best.
"""
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import torch
import transformers as tf
from duet import QUESTIONS, TEXT, TEXT_FILE, Duet, fail, scratch
from llama_cpp.llama_chat_format import Jinja2ChatFormatter
from safetensors.torch import load_file
from texts import Texts

ANSWER = int(os.environ.get("PEERS_ANSWER", 64))
IDS = int(os.environ.get("PEERS_IDS", 3000))
WINDOW, CONTEXT, NEAR = 512, 1024, 0.1
# type -> how far llama.cpp's perplexity may be from Duet's (it rounds activations as it rounds
# weights), its number, and the one of the embedding where that is another
TYPES = {"f32": (1e-4, llama_cpp.LLAMA_FTYPE_ALL_F32, None), "f16": (5e-3, llama_cpp.LLAMA_FTYPE_MOSTLY_F16, None),
         "bf16": (5e-3, llama_cpp.LLAMA_FTYPE_MOSTLY_BF16, None), "q8_0": (1e-2, llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, None),
         "q4_0": (2e-2, llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0, gguf.GGMLQuantizationType.Q8_0),
         "q4_1": (2e-2, llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_1, gguf.GGMLQuantizationType.Q8_0)}
# Keys that only the converter writes: names for people, and a token that byte-level BPE never uses.
EXTRA = {"general.basename", "general.finetune", "general.size_label", "general.type", "tokenizer.ggml.unknown_token_id"}
OWN = {"general.name", "tokenizer.ggml.pre"}  # another name for the same; the ids are compared
FP32 = "precision=fp32"
QUIET = llama_cpp.llama_log_callback(lambda level, text, data: None)
say = lambda text: print(f"  ok    {text}", flush=True)


def plain_params(defaults=llama_cpp.llama_model_default_params):
    """No weights repacked for AMX: with the rows of this model, 576 long, llama.cpp 0.3.36 crashes there."""
    params = defaults()
    params.use_extra_bufts = False
    return params


llama_cpp.llama_model_default_params = llama_cpp.llama_cpp.llama_model_default_params = plain_params


class Peer:
    """llama.cpp with a file: one thread, a cache in fp32."""

    def __init__(self, path, vocabulary=False):
        self.m = llama_cpp.Llama(str(path), n_ctx=CONTEXT, n_threads=1, n_threads_batch=1, logits_all=not vocabulary,
                                 vocab_only=vocabulary, verbose=False, type_k=0, type_v=0)

    def logits(self, ids):
        """(len(ids), V)"""
        self.m.reset()
        self.m.eval(ids)
        return self.m.scores[: len(ids)].copy()

    def greedy(self, ids, ends):
        self.m.reset()
        self.m.eval(ids)
        said = []
        while len(said) < ANSWER and (not said or said[-1] not in ends):
            said.append(int(self.m.scores[self.m.n_tokens - 1].argmax()))
            self.m.eval(said[-1:])
        return said

    def perplexity(self, ids):
        """As `duet perplexity` cuts the text."""
        total = n = 0
        for at in range(0, len(ids) - 1, WINDOW):
            window = ids[at:at + WINDOW]
            rows = torch.log_softmax(torch.from_numpy(self.logits(window)).double(), -1)
            total -= sum(float(rows[t - 1, window[t]]) for t in range(1, len(window)))
            n += len(window) - 1
        return math.exp(total / n)


def convert(models, source, out, kind):
    """llama.cpp's converter."""
    command = [sys.executable, models / "llama.cpp/convert_hf_to_gguf.py", source, "--outfile", out, "--outtype", kind]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        fail(f"llama.cpp's converter: {done.stderr[-2000:]}")


def quantise(source, out, kind, embedding, pure=True):
    """llama.cpp's quantiser."""
    p = llama_cpp.llama_model_quantize_default_params()
    p.ftype, p.pure, p.nthread = kind, pure, 1
    if embedding is not None:
        p.token_embedding_type = embedding
    if llama_cpp.llama_model_quantize(str(source).encode(), str(out).encode(), p):
        fail(f"llama.cpp does not quantise {source}")


def same_file(ours, theirs):
    a, b = gguf.GGUFReader(ours), gguf.GGUFReader(theirs)
    if (keys := set(b.fields) - set(a.fields) - EXTRA) or (keys := set(a.fields) - set(b.fields)):
        fail(f"{ours.name}: keys {sorted(keys)} in one file only")
    for key in set(a.fields) & set(b.fields) - OWN:
        if not key.startswith("GGUF.") and a.fields[key].contents() != b.fields[key].contents():
            fail(f"{ours.name}: {key} differs")
    tensors = [{t.name: (t.tensor_type.name, t.data.tobytes()) for t in r.tensors} for r in (a, b)]
    wrong = [n for n in tensors[0].keys() | tensors[1].keys() if tensors[0].get(n) != tensors[1].get(n)]
    if wrong:
        fail(f"{ours.name}: {len(wrong)} tensors differ, such as {wrong[:3]}")
    return len(tensors[0])


def perplexities(duet, d, tokenizer):
    ids = tokenizer(TEXT, add_special_tokens=False).input_ids
    for kind, (bound, *_) in TYPES.items():
        ours, = duet.lines("perplexity", d / f"{kind}.gguf", TEXT_FILE, "--set", FP32, "--set", f"model.max_context={WINDOW}", given=[])
        theirs = Peer(d / f"{kind}.gguf").perplexity(ids)
        apart = abs(theirs / ours["perplexity"] - 1)
        if apart > bound or ours["tokens"] != len(ids) - math.ceil(len(ids) / WINDOW):
            fail(f"{kind}: perplexity {ours}, llama.cpp {theirs:.4f}")
        say(f"{kind}: {(d / f'{kind}.gguf').stat().st_size / 1e6:.1f} MB; perplexity of {ours['tokens']} tokens "
            f"{ours['perplexity']:.4f}, llama.cpp's {theirs:.4f}")


def greedy(duet, d, tokenizer, ends):
    asks = [tokenizer.apply_chat_template([{"role": "user", "content": q}], add_generation_prompt=True, tokenize=False)
            for q in QUESTIONS]
    asks = [tokenizer(a, add_special_tokens=False).input_ids for a in asks]
    exact, rounded = Peer(d / "f32.gguf"), Peer(d / "bf16.gguf")
    said = [exact.greedy(a, ends) for a in asks]
    texts = [tokenizer.decode(s, skip_special_tokens=False, clean_up_tokenization_spaces=False) for s in said]
    for kind in ("f32", "bf16"):
        ours = duet.greedy(d / f"{kind}.gguf", QUESTIONS, ANSWER, "data.template=model", "model.max_context=256", FP32)
        for q, a, b in zip(QUESTIONS, ours, texts, strict=True):
            if a != b:
                fail(f"{kind}: {q}\n    duet   {a!r}\n    theirs {b!r}")
    tokens, parted, moved = 0, [], []
    for ask, s in zip(asks, said, strict=True):
        right, near = exact.logits(ask + s)[len(ask) - 1:-1], rounded.logits(ask + s)[len(ask) - 1:-1]
        moved.append(np.abs(near - right).max())
        for t, (x, y) in enumerate(zip(right, near, strict=True)):
            tokens += 1
            if x.argmax() != y.argmax():
                parted.append(float(x.max() - x[y.argmax()]))
    if max(parted, default=0) > NEAR or len(parted) > tokens / 50:
        fail(f"bf16: llama.cpp takes {len(parted)} of {tokens} tokens otherwise, {parted} below the best")
    say(f"{len(asks)} greedy answers, {tokens} tokens: identical from f32; llama.cpp from bf16 takes the same at "
        f"{tokens - len(parted)}, another where the two are "
        f"{', '.join(f'{x:.3f}' for x in parted) or '(none)'} apart (its rounding moves logits by up to {max(moved):.2f})")


def tokens(duet, path, tokenizer):
    theirs = Peer(path, vocabulary=True).m
    texts = [t for t in Texts(1, []).batch(IDS) if t]
    # A byte without a token (SmolLM2 lacks some) is dropped by llama.cpp after merging, by
    # `tokenizers` and Duet before.
    whole = lambda t: tokenizer.decode(tokenizer(t, add_special_tokens=False).input_ids, clean_up_tokenization_spaces=False)
    texts = [t for t in texts if whole(t) == t]
    for text, line in zip(texts, duet.lines("tokenize", path, given=[{"text": t} for t in texts]), strict=True):
        ids = theirs.tokenize(text.encode(), add_bos=False, special=False)
        if ids != line["ids"]:
            fail(f"{path.name}: ids of {text!r}\n    duet   {line['ids']}\n    theirs {ids}")
    say(f"{path.name}: ids of {len(texts)} texts")


def template(duet, path, folder):
    metadata = Peer(path, vocabulary=True).m.metadata
    text = metadata["tokenizer.chat_template"]
    if text != (folder / "chat_template.jinja").read_text("utf-8"):
        fail("the chat template in the file is another")
    show = Jinja2ChatFormatter(template=text, eos_token="<|im_end|>", bos_token="<|im_start|>")
    talks = [[{"role": "user", "content": q}] for q in QUESTIONS]
    talks += [[{"role": "system", "content": "Be brief."}, *t, {"role": "assistant", "content": "Yes. "}, *t] for t in talks]
    lines = duet.lines("tokenize", path, "--chat", given=[{"messages": t, "add_generation_prompt": True} for t in talks])
    for talk, line in zip(talks, lines, strict=True):
        if show(messages=talk).prompt != line["text"]:
            fail(f"template: {talk}")
    say(f"{path.name}: its chat template, {len(talks)} conversations")


def other_way(duet, d, folder):
    """What llama.cpp wrote."""
    duet("import", d / "theirs.bf16.gguf", d / "back", "--set", "model.max_context=128")
    duet("export", d / "back", d / "back.hf")
    right, back = load_file(folder / "model.safetensors"), load_file(d / "back.hf/model.safetensors")
    wrong = [n for n in right if n not in back or not torch.equal(right[n].float(), back[n].float())]
    if wrong or len(back) != len(right):
        fail(f"imported from llama.cpp's file: {wrong[:3]} differ")
    quantise(d / "theirs.bf16.gguf", d / "mixed.gguf", llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M, None, pure=False)
    said = duet.refusal("import", d / "mixed.gguf", d / "no")
    if "are read: make such a file with llama-quantize" not in said:  # of this model's sizes Q4_K_M makes Q5_0 and Q6_K
        fail(f"a file of type Q4_K_M: {said}")
    say(f"written by llama.cpp: {len(back)} tensors bit for bit; a Q4_K_M file is refused: "
        f"{said.splitlines()[0].replace(str(d) + '/', '')}")


def vocabularies(duet, folder):
    for name in ("gpt-2", "llama-bpe", "qwen2"):
        path = folder / f"ggml-vocab-{name}.gguf"
        texts = Path(f"{path}.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
        ids = [list(map(int, line.split())) for line in Path(f"{path}.out").read_text().split("\n")]
        for text, right, line in zip(texts, ids, duet.lines("tokenize", path, given=[{"text": t} for t in texts]), strict=True):
            if line["ids"] != right:
                fail(f"{path.name}: {text!r}\n    duet   {line['ids']}\n    theirs {right}")
        say(f"{path.name}: ids of llama.cpp's own {len(texts)} texts")


def main():
    duet, models, start = Duet(sys.argv[1]), Path(sys.argv[2]), time.time()
    llama_cpp.llama_log_set(QUIET, None)
    folder = models / "smollm2-135m-instruct"
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    with scratch() as d:
        d = Path(d)
        duet("import", folder, d / "run", "--set", f"model.max_context={CONTEXT}")
        for kind, (_, number, embedding) in TYPES.items():
            duet("export", "--format", "gguf", "--type", kind, d / "run", d / f"{kind}.gguf")
            theirs = d / f"theirs.{kind}.gguf"
            if kind.startswith("q"):
                quantise(d / "theirs.bf16.gguf", theirs, number, embedding)
            else:
                convert(models, folder, theirs, kind)
            say(f"{kind}: {same_file(d / f'{kind}.gguf', theirs)} tensors and the keys as llama.cpp writes them")
            if kind != "bf16":
                theirs.unlink()
        perplexities(duet, d, tokenizer)
        greedy(duet, d, tokenizer, {2})
        tokens(duet, d / "bf16.gguf", tokenizer)
        template(duet, d / "bf16.gguf", folder)
        other_way(duet, d, folder)
    vocabularies(duet, models / "llama.cpp/models")
    print(f"  {time.time() - start:.0f} s")


main()
