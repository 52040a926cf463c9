"""test_tokenizer.py DUET MODELS [FOLDER...]: ids and texts of `duet tokenize` against Hugging Face's `tokenizers`.

For each folder of MODELS with a tokenizer.json (or those named): PEERS_STRINGS texts (10^6) in two modes, special
tokens recognised or not, and as many random lists of ids decoded. Seed: PEERS_SEED (1).
"""
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tokenizers import Tokenizer
from texts import Texts

STRINGS = int(os.environ.get("PEERS_STRINGS", 1_000_000))
SEED = int(os.environ.get("PEERS_SEED", 1))
BATCH = 100_000


class Duet:
    """One process of `duet tokenize`, fed line by line in batches."""

    def __init__(self, duet, model, *options):
        self.command = [duet, "tokenize", str(model), *options]

    def __call__(self, name, values, out):
        lines = "".join(json.dumps({name: v}) + "\n" for v in values)
        done = subprocess.run(self.command, input=lines.encode(), stdout=subprocess.PIPE, check=True)
        return [json.loads(line)[out] for line in done.stdout.splitlines()]


def without_special(path):
    """As Duet takes text from data: no added token is recognised, special or not."""
    model = json.loads(path.read_text("utf-8"))
    for token in model["added_tokens"]:
        token["special"] = True
    t = Tokenizer.from_str(json.dumps(model))
    t.encode_special_tokens = True
    return t


def difference(kind, value, ours, theirs):
    sys.exit(f"  {kind} differs\n    of     {value!r}\n    duet   {ours!r}\n    theirs {theirs!r}")


def compare(kind, values, ours, theirs):
    if len(ours) != len(values):
        difference(kind, len(values), len(ours), len(theirs))
    for v, a, b in zip(values, ours, theirs):
        if a != b:
            difference(kind, v, a, b)


def check(duet, path, strings):
    theirs = {"--special": Tokenizer.from_file(str(path)), None: without_special(path)}
    special = [t["content"] for t in json.loads(path.read_text("utf-8"))["added_tokens"]]
    texts, r, n, start = Texts(SEED, special), random.Random(SEED), 0, time.time()
    size = theirs[None].get_vocab_size()
    while n < strings:
        batch = texts.batch(min(BATCH, strings - n))
        for option, t in theirs.items():
            ids = [e.ids for e in t.encode_batch(batch, add_special_tokens=False)]
            compare(f"encoding {option or ''}", batch, Duet(duet, path, *[option] * bool(option))("text", batch, "ids"), ids)
        ids = [i if k % 2 else [r.randrange(size) for _ in range(r.randrange(9))] for k, i in enumerate(ids)]
        ids = [i for i in ids if all(t.id_to_token(j) is not None for j in i)]
        text = theirs["--special"].decode_batch(ids, skip_special_tokens=False)
        compare("decoding", ids, Duet(duet, path, "--decode")("ids", ids, "text"), text)
        n += len(batch)
    print(f"  ok    {path.parent.name}: {n} texts in two modes and {n} lists of ids, {time.time() - start:.0f} s", flush=True)


def main():
    duet, models = sys.argv[1], Path(sys.argv[2])
    folders = [Path(f) for f in sys.argv[3:]] or sorted(p.parent for p in models.glob("*/tokenizer.json"))
    for folder in folders:
        check(duet, folder / "tokenizer.json", STRINGS)


main()
