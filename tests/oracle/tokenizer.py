"""The built-in character tokenizer, made and run by Hugging Face's `tokenizers` (needed: pip install tokenizers).

Writes tests/golden/tokenizer.json (the library's own serialisation, which the built-in file must equal member by member)
and tests/golden/tokenizer.jsonl (texts with the ids and the decoded text that the library gives; seed 1; exact).
"""
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SPECIAL = ["<pad>", "<eos>", "<think>", "</think>", "<answer>", "</answer>", "<unk>"]
BY_HAND = [
    "", "3,6,8:32", "(6-2)*8=4*8=32:32y</think><answer>(6-2)*8</answer><eos>", "<think>\n", "<unk><pad>", "<thin<think>k>",
    "< think>", "<<think>>", "</think></answer", "<answer><answer>", "tab\there", "line\r\nline\n", "\x00\x01\x7f~ ", "é日本🙂e\u0301",
    "\ufeff<eos>\ufffd", "  two  spaces ", "\u2028\u00a0",
]


def build():
    words = SPECIAL + ["\n"] + [chr(c) for c in range(0x20, 0x7F)]
    t = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    t.decoder = decoders.Fuse()
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in SPECIAL])
    return t


def texts():
    rng = random.Random(1)
    pieces = SPECIAL + list("0123456789+-*/()=:;,x \nABz~<>/\té日🙂\x00") + ["<th", "</ans", "wer>"]
    return BY_HAND + ["".join(rng.choices(pieces, k=rng.randrange(1, 30))) for _ in range(50)]


def main():
    t = build()
    t.save(str(GOLDEN / "tokenizer.json"))
    t = Tokenizer.from_file(str(GOLDEN / "tokenizer.json"))
    with open(GOLDEN / "tokenizer.jsonl", "w", encoding="ascii") as out:
        for text in texts():
            for special in (False, True):
                t.encode_special_tokens = not special
                ids = t.encode(text).ids
                decoded = t.decode(ids, skip_special_tokens=False)
                row = {"text": text, "special": special, "ids": ids, "decoded": decoded}
                out.write(json.dumps(row) + "\n")


main()
