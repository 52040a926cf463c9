"""Small BPE tokenizers of all families, trained and run by Hugging Face's `tokenizers` 0.23 (needed: pip install tokenizers).

Writes, for each family, tests/golden/bpe_FAMILY.json (a tokenizer.json) and bpe_FAMILY.jsonl: hard texts with the ids that the
library gives (special tokens recognised; "data": with no added token recognised; "around": with the post_processor's ids; each
only where it differs from "ids") and "decoded" where it is not the text. And bpe_changes.jsonl: rows of bpe_gpt2.json with some
members changed. Seed 1; exact.
"""
import json
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "peers"))
from texts import CODE, WORDS, Texts  # noqa: E402

GOLDEN = ROOT / "golden"
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")
DEEPSEEK = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+"]
TRAINED_ON = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))] + CODE * 3 + [
    "the cat sat on the mat and the rat ran; then they've all gone, haven't they? 1234567890 12 345 2024",
    "    four spaces\n\n\n        eight\t\ttabs\r\nCRLF", *["x    y      z 2024 2024 1000 1000\n\n\n"] * 9, "日本語の文章 中文 한국어 Ärger über Öl", "\\boxed{42} \\frac{1}{2} = 0.5"]


def byte_level(use_regex=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def splits(*patterns):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), "isolated") for p in patterns] + [byte_level()])


def template(t, token):
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token} $B",
                                         special_tokens=[(token, t.token_to_id(token))])


def train(pre_tokenizer, normalizer, special, size=420):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizer, decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    t.train_from_iterator(TRAINED_ON, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    t.add_tokens(special)
    return t


def gpt2():
    return train(byte_level(use_regex=True), None, [
        AddedToken("<|endoftext|>", special=True, normalized=False), AddedToken("<left>", lstrip=True, normalized=False),
        AddedToken("<right>", rstrip=True, normalized=False), AddedToken("word", single_word=True, normalized=False),
        AddedToken("<both>", lstrip=True, rstrip=True, special=True), AddedToken("<bo", normalized=True)])


def llama3():
    t = train(splits(LLAMA3), None, [AddedToken(s, special=True) for s in ("<|begin_of_text|>", "<|eot_id|>")])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template(t, "<|begin_of_text|>")])
    changed = json.loads(t.to_str())
    changed["model"]["ignore_merges"] = True  # and a word that merges do not lead to
    vocab = changed["model"]["vocab"]
    changed["added_tokens"] = [{**a, "id": a["id"] + 1} for a in changed["added_tokens"]]
    changed["post_processor"]["processors"][1]["special_tokens"]["<|begin_of_text|>"]["ids"] = [len(vocab) + 1]
    vocab["Ġreward"] = len(vocab)
    return Tokenizer.from_str(json.dumps(changed))


def qwen():
    return train(splits(QWEN), normalizers.NFC(), [
        AddedToken("<|endoftext|>", special=True, normalized=False), AddedToken("<|im_end|>", special=True, normalized=False),
        AddedToken("<think>", normalized=False), AddedToken("Ae\u0301 ", normalized=True)])


def deepseek():
    t = train(splits(*DEEPSEEK), normalizers.Sequence([]), [
        AddedToken("<｜begin▁of▁sentence｜>", special=True, normalized=False), AddedToken("<｜User｜>", normalized=True)])
    t.post_processor = template(t, "<｜begin▁of▁sentence｜>")
    return t


def llama2():
    """Characters with byte fallback: trained over words with U+2581, then the bytes put in front."""
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.Metaspace()
    plain.train_from_iterator(TRAINED_ON, trainers.BpeTrainer(vocab_size=330, limit_alphabet=90, show_progress=False))
    model = json.loads(plain.to_str())["model"]
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    vocab = {n: i for i, n in enumerate(names + sorted(model["vocab"], key=model["vocab"].get))}
    merges = [tuple(m) for m in model["merges"]]
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken(s, normalized=False) for s in names[:3]])
    t.add_tokens([AddedToken("<n>", normalized=True)])
    t.post_processor = template(t, "<s>")
    return t


def data_mode(t):
    """No added token is recognised."""
    model = json.loads(t.to_str())
    for token in model["added_tokens"]:
        token["special"] = True
    other = Tokenizer.from_str(json.dumps(model))
    other.encode_special_tokens = True
    return other


def write_rows(name, t, texts):
    data = data_mode(t)
    with open(GOLDEN / name, "w", encoding="ascii") as out:
        for i, text in enumerate(texts):
            ids = t.encode(text, add_special_tokens=False).ids
            others = {"data": data.encode(text, add_special_tokens=False).ids, "around": t.encode(text).ids if i < 10 else ids}
            row = {"text": text, "ids": ids} | {k: v for k, v in others.items() if v != ids}
            decoded = t.decode(ids, skip_special_tokens=False)
            out.write(json.dumps(row | ({"decoded": decoded} if decoded != text else {})) + "\n")


def write_family(name, t):
    model = json.loads(t.to_str())
    if name == "gpt2":  # the older spelling of merges
        model["model"]["merges"] = [" ".join(m) for m in model["model"]["merges"]]
    text = json.dumps(model, ensure_ascii=False, separators=(",", ":"))
    (GOLDEN / f"bpe_{name}.json").write_text(text, "utf-8")
    t = Tokenizer.from_str(text)
    special = [a["content"] for a in model["added_tokens"]]
    write_rows(f"bpe_{name}.jsonl", t, BY_HAND + [" ".join(special), " a ".join(special)] + Texts(1, special).batch(200))


BY_HAND = ["", " ", "  ", "a", "Hello  world", "I'm I'M we'LL don't 'S 'ſ", "1234567890 ١٢٣٤٥ ⅷ½ ௧௨௩", "a\r\nb\n\n \n\tc  \u3000\u180e d",
           "e\u0301\u0316 Å ﬁ 한글 \u1112\u1161\u11ab ｶﾞ", "x\u0000y\u0007\u001b[0m", "<|endoftext|><|im_end|>", "🙂👨\u200d👩\u200d👧", " " * 40 + "x", "aaaa" * 20,
           "foreword word words word_ (word)word", "a <left> b <right> c  <both>  d<both> <left>", "\u0345\u0301 \U00010f83\u0301"]


def changes():
    split = lambda pattern, behavior, invert=False: {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    level = lambda prefix, regex: {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}
    sequence = lambda *steps: {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}}
    behaviors = ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous")
    rows = [sequence(split({"Regex": r"\s"}, b, i), level(False, False)) for b in behaviors for i in (False, True)]
    rows += [sequence(split({"String": "the"}, b), level(False, True)) for b in behaviors]
    rows += [sequence({"type": "Digits", "individual_digits": d}, level(False, True)) for d in (False, True)]
    rows += [{"pre_tokenizer": level(True, True)}, sequence(split({"Regex": r"[,;]\s?"}, "Isolated"), level(True, True))]
    rows += [{"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"String": "aa"}, "content": "b "},
                                                                {"type": "Prepend", "prepend": "Xe"}]}}]
    texts = ["the cat, the  rat;12 345 theatre", "  a\n\nb ", "thethe aaa", "e\u0301a, \u0301", "12a3 ⅷ٣"]
    base = json.loads((GOLDEN / "bpe_gpt2.json").read_text("utf-8"))
    with open(GOLDEN / "bpe_changes.jsonl", "w", encoding="ascii") as out:
        for change in rows:
            t = Tokenizer.from_str(json.dumps(base | change))
            for text in texts:
                ids = t.encode(text, add_special_tokens=False).ids
                out.write(json.dumps({"change": change, "text": text, "ids": ids, "decoded": t.decode(ids, skip_special_tokens=False)}) + "\n")


def main():
    for make in (gpt2, llama3, qwen, deepseek, llama2):
        write_family(make.__name__, make())
    changes()


main()
